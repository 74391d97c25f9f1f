/* SPDX-License-Identifier: Apache-2.0 */
/* CD-ROM drives: PACKET (ATA/ATAPI-6, 8.23), and the commands in it (MMC-3, SPC-2) that systems use. */
#include <endian.h>
#include <string.h>

#include "ata/internal.h"

#define BLOCKS (ATA_BUFFER / CD_BLOCK)
#define LEAD_OUT 0xaa

/* Sense keys and codes (MMC-3, annex F) */
#define NOT_READY 2
#define MEDIUM_ERROR 3
#define ILLEGAL 5
#define ATTENTION 6
#define MEDIUM_CHANGED 0x28
#define NO_MEDIUM 0x3a
#define NOT_REMOVABLE 0x53
#define UNREADABLE 0x11
#define BAD_COMMAND 0x20
#define BAD_ADDRESS 0x21
#define BAD_FIELD 0x24

static uint32_t blocks(const struct ata_drive *d)
{
	const uint64_t count = d->sectors / (CD_BLOCK / ATA_SECTOR);

	return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static void put_be(uint8_t *to, unsigned bytes, uint32_t value)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = value >> (8 * (bytes - 1 - i));
}

static uint32_t get_be(const uint8_t *from, unsigned bytes)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return value;
}

/* A medium that can be read. */
static bool has_medium(const struct ata_drive *d)
{
	return d->image && !d->open && !d->withdrawn && blocks(d);
}

static void good(struct ata_port *p)
{
	struct ata_drive *d = ata_current(p);

	d->sense = d->sense_code = d->sense_more = 0;
	d->count[0] = ATAPI_COMMAND | ATAPI_TO_HOST;
	ata_end(p, 0);
}

static void bad(struct ata_port *p, uint8_t sense, uint8_t code)
{
	struct ata_drive *d = ata_current(p);

	d->sense = sense;
	d->sense_code = code;
	d->sense_more = 0;
	d->count[0] = ATAPI_COMMAND | ATAPI_TO_HOST;
	ata_end(p, (uint8_t)(sense << 4 | ATA_ABORTED));
}

/* What the buffer holds, and no more than the guest has room for. */
static void reply(struct ata_port *p, uint32_t length, uint32_t room)
{
	p->filled = length < room ? length : room;
	p->left = p->now = 0;
	if (!p->filled) {
		good(p);
		return;
	}
	ata_offer(p);
}

/* Is it there, and the one that the guest knows of? If not, the command has ended. */
static bool check_medium(struct ata_port *p)
{
	struct ata_drive *d = ata_current(p);

	if (d->changed && !d->withdrawn) {
		d->changed = false;
		bad(p, ATTENTION, MEDIUM_CHANGED);
		return false;
	}
	if (!has_medium(d)) {
		bad(p, NOT_READY, NO_MEDIUM);
		return false;
	}
	return true;
}

static void next_part(struct ata_port *p)
{
	if (!check_medium(p)) /* which may have gone between two parts */
		return;
	p->now = p->left < BLOCKS ? p->left : BLOCKS;
	p->filled = p->now * CD_BLOCK;
	ata_submit(p, BLOCK_READ, p->at * CD_BLOCK, p->filled);
}

static void read_blocks(struct ata_port *p, uint32_t at, uint32_t count)
{
	const struct ata_drive *d = ata_current(p);

	if (at > blocks(d) || count > blocks(d) - at) {
		bad(p, ILLEGAL, BAD_ADDRESS);
		return;
	}
	if (!count) {
		good(p);
		return;
	}
	p->at = at;
	p->left = count;
	next_part(p);
}

void atapi_done(struct ata_port *p, int result)
{
	if (result) {
		bad(p, MEDIUM_ERROR, UNREADABLE);
		return;
	}
	ata_offer(p);
}

void atapi_moved(struct ata_port *p)
{
	if (p->left) {
		p->left -= p->now;
		p->at += p->now;
	}
	if (!p->packet) /* IDENTIFY PACKET DEVICE */
		ata_end_read(p);
	else if (p->left)
		next_part(p);
	else
		good(p);
}

static void inquiry(struct ata_port *p, uint32_t room)
{
	static const uint8_t data[36] = "\x05\x80\x00\x21\x1f\0\0\0dach    CD-ROM drive    1.0 ";

	memcpy(p->buffer, data, sizeof data);
	reply(p, sizeof data, room);
}

static void request_sense(struct ata_port *p, uint32_t room)
{
	struct ata_drive *d = ata_current(p);

	if (d->changed && !d->sense) {
		d->sense = ATTENTION;
		d->sense_code = MEDIUM_CHANGED;
		d->changed = false;
	}
	memset(p->buffer, 0, 18);
	p->buffer[0] = 0x70;
	p->buffer[2] = d->sense;
	p->buffer[7] = 10;
	p->buffer[12] = d->sense_code;
	p->buffer[13] = d->sense_more;
	reply(p, 18, room);
}

static void put_time(uint8_t *to, bool msf, uint32_t block)
{
	put_be(to, 4, block);
	if (msf) {
		block += 150;
		to[1] = block / (75 * 60);
		to[2] = block / 75 % 60;
		to[3] = block % 75;
	}
}

/* One track of data, and one session. */
static void read_toc(struct ata_port *p, const uint8_t *packet)
{
	const bool msf = packet[1] & 2;
	const uint8_t format = packet[2] & 15 ? packet[2] & 15 : packet[9] >> 6, first = packet[6];
	uint8_t *to = p->buffer + 4;

	if (format > 1 || (!format && first > 1 && first != LEAD_OUT)) {
		bad(p, ILLEGAL, BAD_FIELD);
		return;
	}
	memset(p->buffer, 0, 20);
	p->buffer[2] = p->buffer[3] = 1;
	if (format || first <= 1) {
		to[1] = 0x14;
		to[2] = 1;
		put_time(to + 4, msf, 0);
		to += 8;
	}
	if (!format) {
		to[1] = 0x14;
		to[2] = LEAD_OUT;
		put_time(to + 4, msf, blocks(ata_current(p)));
		to += 8;
	}
	put_be(p->buffer, 2, to - p->buffer - 2);
	reply(p, to - p->buffer, get_be(packet + 7, 2));
}

/* The page of what it can do (MMC-3, 6.3.11), and that of errors. */
static void mode_sense(struct ata_port *p, const uint8_t *packet)
{
	const uint8_t page = packet[2] & 0x3f;
	uint8_t *to = p->buffer + 8;

	if (packet[2] >> 6 == 1 || (page != 0x01 && page != 0x2a && page != 0x3f)) {
		bad(p, ILLEGAL, BAD_FIELD);
		return;
	}
	memset(p->buffer, 0, 64);
	p->buffer[2] = has_medium(ata_current(p)) ? 0x01 : 0x70;
	if (page != 0x2a) {
		to[0] = 0x01;
		to[1] = 6;
		to[3] = 5; /* tries */
		to += 8;
	}
	if (page != 0x01) {
		to[0] = 0x2a;
		to[1] = 18;
		to[2] = 0x03;
		to[4] = 0x71; /* plays, mode 2 forms 1 and 2, sessions */
		to[6] = 0x29; /* a tray that can be locked */
		put_be(to + 8, 2, 706);
		put_be(to + 10, 2, 2);
		put_be(to + 12, 2, 512);
		put_be(to + 14, 2, 706);
		to += 20;
	}
	put_be(p->buffer, 2, to - p->buffer - 2);
	reply(p, to - p->buffer, get_be(packet + 7, 2));
}

static void get_configuration(struct ata_port *p, const uint8_t *packet)
{
	memset(p->buffer, 0, 20);
	put_be(p->buffer, 4, 16);
	put_be(p->buffer + 6, 2, has_medium(ata_current(p)) ? 0x0008 : 0); /* CD-ROM */
	p->buffer[10] = 0x03; /* the list of profiles, current */
	p->buffer[11] = 4;
	put_be(p->buffer + 12, 2, 0x0008);
	p->buffer[14] = has_medium(ata_current(p)) ? 1 : 0;
	reply(p, 16, get_be(packet + 7, 2));
}

static void event_status(struct ata_port *p, const uint8_t *packet)
{
	struct ata_drive *d = ata_current(p);

	if (!(packet[1] & 1)) { /* it tells of nothing by itself */
		bad(p, ILLEGAL, BAD_FIELD);
		return;
	}
	memset(p->buffer, 0, 8);
	if (packet[4] & 0x10) { /* of the medium */
		put_be(p->buffer, 2, 6);
		p->buffer[2] = 4;
		p->buffer[4] = d->event;
		p->buffer[5] = (has_medium(d) ? 2 : 0) | (d->open ? 1 : 0);
		d->event = CD_NO_EVENT;
	} else {
		put_be(p->buffer, 2, 2);
		p->buffer[2] = 0x80;
	}
	p->buffer[3] = 0x10;
	reply(p, packet[4] & 0x10 ? 8 : 4, get_be(packet + 7, 2));
}

static void disc_information(struct ata_port *p, const uint8_t *packet)
{
	memset(p->buffer, 0, 34);
	put_be(p->buffer, 2, 32);
	p->buffer[2] = 0x0e; /* complete */
	p->buffer[3] = p->buffer[4] = p->buffer[5] = p->buffer[6] = 1;
	p->buffer[7] = 0x20;
	reply(p, 34, get_be(packet + 7, 2));
}

/* Of a CD's blocks only their data are here. */
static void read_cd(struct ata_port *p, const uint8_t *packet)
{
	const uint32_t count = get_be(packet + 6, 3);

	switch (packet[9] & 0xf8) {
	case 0x00:
		good(p);
		break;
	case 0x10:
		read_blocks(p, get_be(packet + 2, 4), count);
		break;
	default:
		bad(p, ILLEGAL, BAD_FIELD);
	}
}

/* START STOP UNIT: a CD that the guest has ejected is in an open tray until somebody closes that. */
static void move_tray(struct ata_port *p, uint8_t how)
{
	struct ata_drive *d = ata_current(p);
	const bool moves = how & 2, opens = !(how & 1);

	if (moves && opens && d->locked) {
		bad(p, ILLEGAL, NOT_REMOVABLE);
		return;
	}
	if (moves && d->open != opens) {
		d->open = opens;
		d->changed = !opens && d->image;
		d->event = opens ? CD_MEDIUM_REMOVED : d->image ? CD_NEW_MEDIUM : CD_NO_EVENT;
	}
	good(p);
}

/* Those that need a medium. */
static void of_medium(struct ata_port *p, const uint8_t *packet)
{
	const struct ata_drive *d = ata_current(p);

	if (!check_medium(p))
		return;
	switch (packet[0]) {
	case 0x25: /* READ CAPACITY */
		put_be(p->buffer, 4, blocks(d) - 1);
		put_be(p->buffer + 4, 4, CD_BLOCK);
		reply(p, 8, 8);
		break;
	case 0x28:
		read_blocks(p, get_be(packet + 2, 4), get_be(packet + 7, 2));
		break;
	case 0xa8:
		read_blocks(p, get_be(packet + 2, 4), get_be(packet + 6, 4));
		break;
	case 0xbe:
		read_cd(p, packet);
		break;
	case 0x43:
		read_toc(p, packet);
		break;
	case 0x51:
		disc_information(p, packet);
		break;
	default: /* TEST UNIT READY, SEEK */
		good(p);
	}
}

void atapi_packet(struct ata_port *p)
{
	uint8_t packet[ATA_PACKET_SIZE];

	memcpy(packet, p->buffer, sizeof packet);
	switch (packet[0]) {
	case 0x03:
		request_sense(p, packet[4]);
		break;
	case 0x12:
		inquiry(p, packet[4]);
		break;
	case 0x1b:
		move_tray(p, packet[4]);
		break;
	case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
		ata_current(p)->locked = packet[4] & 1;
		good(p);
		break;
	case 0xbb: /* SET CD SPEED */
		good(p);
		break;
	case 0x46:
		get_configuration(p, packet);
		break;
	case 0x4a:
		event_status(p, packet);
		break;
	case 0x5a:
		mode_sense(p, packet);
		break;
	case 0xbd: /* MECHANISM STATUS */
		memset(p->buffer, 0, 8);
		reply(p, 8, get_be(packet + 8, 2));
		break;
	case 0x00:
	case 0x25:
	case 0x28:
	case 0x2b:
	case 0x43:
	case 0x51:
	case 0xa8:
	case 0xbe:
		of_medium(p, packet);
		break;
	default:
		bad(p, ILLEGAL, BAD_COMMAND);
	}
}

static void identify(struct ata_port *p)
{
	struct ata_drive *d = ata_current(p);
	uint16_t w[256] = {[0] = 0x85c0, /* a CD-ROM drive, 12-byte packets, removable */
		[49] = 0x0f00,
		[53] = 7,
		[63] = 0x0007,
		[64] = 0x0003,
		[65] = 120,
		[66] = 120,
		[67] = 120,
		[68] = 120,
		[76] = p->ops->sata ? ATA_SATA_SPEEDS : 0,
		[80] = 0x007e,
		[82] = 0x0210,
		[83] = 0x4000,
		[84] = 0x4000,
		[85] = 0x0210,
		[87] = 0x4000,
		[88] = 0x203f,
		[93] = p->ops->sata ? 0 : 0x6001};

	disk_put_text(w + 10, d->serial, 10);
	disk_put_text(w + 23, DACH_VERSION, 4);
	disk_put_text(w + 27, "dach CD-ROM drive", 20);
	memcpy(p->buffer, w, sizeof w);
	p->filled = p->block = sizeof w;
	ata_offer(p);
}

/* How long the guest's blocks are, by the data port; even but for the last. */
static uint32_t byte_limit(const struct ata_drive *d)
{
	const uint32_t limit = d->mid[0] | d->high[0] << 8;

	if (!limit || limit == 0xffff)
		return 0xfffe;
	return limit > 1 ? limit & ~1u : 2;
}

void atapi_command(struct ata_port *p, uint8_t command)
{
	struct ata_drive *d = ata_current(p);

	switch (command) {
	case ATA_PACKET_COMMAND:
		p->packet = true;
		p->dma = d->feature[0] & 1;
		p->block = byte_limit(d);
		p->phase = ATA_PACKET;
		p->pos = 0;
		p->filled = p->end = ATA_PACKET_SIZE;
		d->count[0] = ATAPI_COMMAND;
		d->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
		break;
	case 0xa1:
		identify(p);
		break;
	case 0x20: /* READ SECTORS and IDENTIFY: who it is instead */
	case 0xec:
		disk_signature(d);
		ata_end(p, ATA_ABORTED);
		break;
	case 0xe0 ... 0xe3:
	case 0xe5:
	case 0xe6:
	case 0xef:
		ata_end(p, 0);
		break;
	default:
		ata_end(p, ATA_ABORTED);
	}
}
