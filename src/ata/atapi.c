/* SPDX-License-Identifier: Apache-2.0 */
/* CD-ROM drives: PACKET (ATA/ATAPI-6, 8.23), and the commands in it (MMC-3, SPC-2) that systems use. */
#include <endian.h>
#include <string.h>

#include "ata/internal.h"

#define PACKET_SIZE 12
#define BLOCKS (IDE_BUFFER / CD_BLOCK)
#define LEAD_OUT 0xaa

/* Sense keys and codes (MMC-3, annex F) */
#define NOT_READY 2
#define MEDIUM_ERROR 3
#define ILLEGAL 5
#define NO_MEDIUM 0x3a
#define UNREADABLE 0x11
#define BAD_COMMAND 0x20
#define BAD_ADDRESS 0x21
#define BAD_FIELD 0x24

static uint32_t blocks(const struct ide_drive *d)
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

static void good(struct ide_channel *c)
{
	struct ide_drive *d = ide_current(c);

	d->sense = d->sense_code = d->sense_more = 0;
	d->count[0] = ATAPI_COMMAND | ATAPI_TO_HOST;
	ide_end(c, 0);
}

static void bad(struct ide_channel *c, uint8_t sense, uint8_t code)
{
	struct ide_drive *d = ide_current(c);

	d->sense = sense;
	d->sense_code = code;
	d->sense_more = 0;
	d->count[0] = ATAPI_COMMAND | ATAPI_TO_HOST;
	ide_end(c, (uint8_t)(sense << 4 | ATA_ABORTED));
}

/* What the buffer holds, and no more than the guest has room for. */
static void reply(struct ide_channel *c, uint32_t length, uint32_t room)
{
	c->filled = length < room ? length : room;
	c->left = c->now = 0;
	if (!c->filled) {
		good(c);
		return;
	}
	transfer_begin(c);
	if (!c->dma)
		ide_interrupt(c);
}

static void next_part(struct ide_channel *c)
{
	c->now = c->left < BLOCKS ? c->left : BLOCKS;
	c->filled = c->now * CD_BLOCK;
	ide_submit(c, BLOCK_READ, c->at * CD_BLOCK, c->filled);
}

static void read_blocks(struct ide_channel *c, uint32_t at, uint32_t count)
{
	const struct ide_drive *d = ide_current(c);

	if (at > blocks(d) || count > blocks(d) - at) {
		bad(c, ILLEGAL, BAD_ADDRESS);
		return;
	}
	if (!count) {
		good(c);
		return;
	}
	c->at = at;
	c->left = count;
	next_part(c);
}

void atapi_done(struct ide_channel *c, int result)
{
	if (result) {
		bad(c, MEDIUM_ERROR, UNREADABLE);
		return;
	}
	transfer_begin(c);
	if (!c->dma)
		ide_interrupt(c);
}

void atapi_moved(struct ide_channel *c)
{
	if (c->left) {
		c->left -= c->now;
		c->at += c->now;
	}
	if (!c->packet) /* IDENTIFY PACKET DEVICE */
		ide_current(c)->status = ATA_READY | ATA_SEEK_DONE;
	else if (c->left)
		next_part(c);
	else
		good(c);
}

static void inquiry(struct ide_channel *c, uint32_t room)
{
	static const uint8_t data[36] = "\x05\x80\x00\x21\x1f\0\0\0dach    CD-ROM drive    1.0 ";

	memcpy(c->buffer, data, sizeof data);
	reply(c, sizeof data, room);
}

static void request_sense(struct ide_channel *c, uint32_t room)
{
	const struct ide_drive *d = ide_current(c);

	memset(c->buffer, 0, 18);
	c->buffer[0] = 0x70;
	c->buffer[2] = d->sense;
	c->buffer[7] = 10;
	c->buffer[12] = d->sense_code;
	c->buffer[13] = d->sense_more;
	reply(c, 18, room);
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
static void read_toc(struct ide_channel *c, const uint8_t *packet)
{
	const bool msf = packet[1] & 2;
	const uint8_t format = packet[2] & 15 ? packet[2] & 15 : packet[9] >> 6, first = packet[6];
	uint8_t *to = c->buffer + 4;

	if (format > 1 || (!format && first > 1 && first != LEAD_OUT)) {
		bad(c, ILLEGAL, BAD_FIELD);
		return;
	}
	memset(c->buffer, 0, 20);
	c->buffer[2] = c->buffer[3] = 1;
	if (format || first <= 1) {
		to[1] = 0x14;
		to[2] = 1;
		put_time(to + 4, msf, 0);
		to += 8;
	}
	if (!format) {
		to[1] = 0x14;
		to[2] = LEAD_OUT;
		put_time(to + 4, msf, blocks(ide_current(c)));
		to += 8;
	}
	put_be(c->buffer, 2, to - c->buffer - 2);
	reply(c, to - c->buffer, get_be(packet + 7, 2));
}

/* The page of what it can do (MMC-3, 6.3.11), and that of errors. */
static void mode_sense(struct ide_channel *c, const uint8_t *packet)
{
	const uint8_t page = packet[2] & 0x3f;
	uint8_t *to = c->buffer + 8;

	if (packet[2] >> 6 == 1 || (page != 0x01 && page != 0x2a && page != 0x3f)) {
		bad(c, ILLEGAL, BAD_FIELD);
		return;
	}
	memset(c->buffer, 0, 64);
	c->buffer[2] = ide_current(c)->image ? 0x01 : 0x70;
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
	put_be(c->buffer, 2, to - c->buffer - 2);
	reply(c, to - c->buffer, get_be(packet + 7, 2));
}

static void get_configuration(struct ide_channel *c, const uint8_t *packet)
{
	memset(c->buffer, 0, 20);
	put_be(c->buffer, 4, 16);
	put_be(c->buffer + 6, 2, ide_current(c)->image ? 0x0008 : 0); /* CD-ROM */
	c->buffer[10] = 0x03; /* the list of profiles, current */
	c->buffer[11] = 4;
	put_be(c->buffer + 12, 2, 0x0008);
	c->buffer[14] = ide_current(c)->image ? 1 : 0;
	reply(c, 16, get_be(packet + 7, 2));
}

static void event_status(struct ide_channel *c, const uint8_t *packet)
{
	if (!(packet[1] & 1)) { /* it tells of nothing by itself */
		bad(c, ILLEGAL, BAD_FIELD);
		return;
	}
	memset(c->buffer, 0, 8);
	if (packet[4] & 0x10) { /* of the medium */
		put_be(c->buffer, 2, 6);
		c->buffer[2] = 4;
		c->buffer[5] = ide_current(c)->image ? 2 : 0;
	} else {
		put_be(c->buffer, 2, 2);
		c->buffer[2] = 0x80;
	}
	c->buffer[3] = 0x10;
	reply(c, packet[4] & 0x10 ? 8 : 4, get_be(packet + 7, 2));
}

static void disc_information(struct ide_channel *c, const uint8_t *packet)
{
	memset(c->buffer, 0, 34);
	put_be(c->buffer, 2, 32);
	c->buffer[2] = 0x0e; /* complete */
	c->buffer[3] = c->buffer[4] = c->buffer[5] = c->buffer[6] = 1;
	c->buffer[7] = 0x20;
	reply(c, 34, get_be(packet + 7, 2));
}

/* Of a CD's blocks only their data are here. */
static void read_cd(struct ide_channel *c, const uint8_t *packet)
{
	const uint32_t count = get_be(packet + 6, 3);

	switch (packet[9] & 0xf8) {
	case 0x00:
		good(c);
		break;
	case 0x10:
		read_blocks(c, get_be(packet + 2, 4), count);
		break;
	default:
		bad(c, ILLEGAL, BAD_FIELD);
	}
}

/* Those that need a medium. */
static void of_medium(struct ide_channel *c, const uint8_t *packet)
{
	const struct ide_drive *d = ide_current(c);

	if (!d->image || !blocks(d)) {
		bad(c, NOT_READY, NO_MEDIUM);
		return;
	}
	switch (packet[0]) {
	case 0x25: /* READ CAPACITY */
		put_be(c->buffer, 4, blocks(d) - 1);
		put_be(c->buffer + 4, 4, CD_BLOCK);
		reply(c, 8, 8);
		break;
	case 0x28:
		read_blocks(c, get_be(packet + 2, 4), get_be(packet + 7, 2));
		break;
	case 0xa8:
		read_blocks(c, get_be(packet + 2, 4), get_be(packet + 6, 4));
		break;
	case 0xbe:
		read_cd(c, packet);
		break;
	case 0x43:
		read_toc(c, packet);
		break;
	case 0x51:
		disc_information(c, packet);
		break;
	default: /* TEST UNIT READY, SEEK */
		good(c);
	}
}

void atapi_packet(struct ide_channel *c)
{
	uint8_t packet[PACKET_SIZE];

	memcpy(packet, c->buffer, sizeof packet);
	switch (packet[0]) {
	case 0x03:
		request_sense(c, packet[4]);
		break;
	case 0x12:
		inquiry(c, packet[4]);
		break;
	case 0x1b: /* START STOP UNIT: the tray stays where it is */
	case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
	case 0xbb: /* SET CD SPEED */
		good(c);
		break;
	case 0x46:
		get_configuration(c, packet);
		break;
	case 0x4a:
		event_status(c, packet);
		break;
	case 0x5a:
		mode_sense(c, packet);
		break;
	case 0xbd: /* MECHANISM STATUS */
		memset(c->buffer, 0, 8);
		reply(c, 8, get_be(packet + 8, 2));
		break;
	case 0x00:
	case 0x25:
	case 0x28:
	case 0x2b:
	case 0x43:
	case 0x51:
	case 0xa8:
	case 0xbe:
		of_medium(c, packet);
		break;
	default:
		bad(c, ILLEGAL, BAD_COMMAND);
	}
}

static void identify(struct ide_channel *c)
{
	struct ide_drive *d = ide_current(c);
	uint16_t w[256] = {[0] = 0x85c0, /* a CD-ROM drive, 12-byte packets, removable */
		[49] = 0x0f00,
		[53] = 7,
		[63] = 0x0007,
		[64] = 0x0003,
		[65] = 120,
		[66] = 120,
		[67] = 120,
		[68] = 120,
		[80] = 0x007e,
		[82] = 0x0210,
		[83] = 0x4000,
		[84] = 0x4000,
		[85] = 0x0210,
		[87] = 0x4000,
		[88] = 0x203f,
		[93] = 0x6001};

	disk_put_text(w + 10, d->serial, 10);
	disk_put_text(w + 23, DACH_VERSION, 4);
	disk_put_text(w + 27, "dach CD-ROM drive", 20);
	memcpy(c->buffer, w, sizeof w);
	c->filled = c->block = sizeof w;
	transfer_begin(c);
	ide_interrupt(c);
}

/* How long the guest's blocks are, by the data port; even but for the last. */
static uint32_t byte_limit(const struct ide_drive *d)
{
	const uint32_t limit = d->mid[0] | d->high[0] << 8;

	if (!limit || limit == 0xffff)
		return 0xfffe;
	return limit > 1 ? limit & ~1u : 2;
}

void atapi_command(struct ide_channel *c, uint8_t command)
{
	struct ide_drive *d = ide_current(c);

	switch (command) {
	case 0xa0:
		c->packet = true;
		c->dma = d->feature[0] & 1;
		c->block = byte_limit(d);
		c->phase = IDE_PACKET;
		c->pos = 0;
		c->filled = c->end = PACKET_SIZE;
		d->count[0] = ATAPI_COMMAND;
		d->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
		break;
	case 0xa1:
		identify(c);
		break;
	case 0x20: /* READ SECTORS and IDENTIFY: who it is instead */
	case 0xec:
		disk_signature(d);
		ide_end(c, ATA_ABORTED);
		break;
	case 0xe0 ... 0xe3:
	case 0xe5:
	case 0xe6:
	case 0xef:
		ide_end(c, 0);
		break;
	default:
		ide_end(c, ATA_ABORTED);
	}
}
