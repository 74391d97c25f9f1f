/* SPDX-License-Identifier: Apache-2.0 */
/* Disks: the commands of ATA/ATAPI-6, chapter 8, that systems use. */
#include <string.h>

#include "ata/internal.h"

#define HEADS 16
#define TRACK 63
#define MULTIPLE_MAX 16
#define SECTORS_28 0x0fffffffu

/* How a command that moves sectors does it. */
#define EXTENDED 1u /* 48-bit address and 16-bit count */
#define DMA 2u
#define WRITES 4u
#define MULTIPLE 8u

static const struct {
	uint8_t command, how;
} movers[] = {
	{0x20, 0},
	{0x21, 0},
	{0x24, EXTENDED},
	{0xc4, MULTIPLE},
	{0x29, MULTIPLE | EXTENDED},
	{0xc8, DMA},
	{0xc9, DMA},
	{0x25, DMA | EXTENDED},
	{0x30, WRITES},
	{0x31, WRITES},
	{0x34, WRITES | EXTENDED},
	{0xc5, WRITES | MULTIPLE},
	{0x39, WRITES | MULTIPLE | EXTENDED},
	{0xca, WRITES | DMA},
	{0xcb, WRITES | DMA},
	{0x35, WRITES | DMA | EXTENDED},
};

void disk_put_text(uint16_t *words, const char *text, unsigned count)
{
	const size_t len = strlen(text);

	for (unsigned i = 0; i < count; i++) {
		uint8_t first = 2 * i < len ? text[2 * i] : ' ';
		uint8_t second = 2 * i + 1 < len ? text[2 * i + 1] : ' ';

		words[i] = first << 8 | second;
	}
}

void disk_signature(struct ata_drive *d)
{
	d->count[0] = d->low[0] = 1;
	d->mid[0] = d->cdrom ? 0x14 : 0;
	d->high[0] = d->cdrom ? 0xeb : 0;
}

static void identify(struct ata_port *p)
{
	struct ata_drive *d = ata_current(p);
	uint32_t few = d->sectors < SECTORS_28 ? (uint32_t)d->sectors : SECTORS_28;
	uint32_t cylinders =
		d->sectors / (HEADS * TRACK) < 16383 ? d->sectors / (HEADS * TRACK) : 16383;
	uint16_t w[256] = {[0] = 0x0040, /* fixed */
		[1] = cylinders,
		[3] = HEADS,
		[6] = TRACK,
		[47] = 0x8000 | MULTIPLE_MAX,
		[49] = 0x0f00, /* LBA, DMA, IORDY */
		[50] = 0x4000,
		[51] = 0x0200,
		[52] = 0x0200,
		[53] = 7,
		[54] = cylinders,
		[55] = d->heads,
		[56] = d->track,
		[59] = d->multiple ? 0x100 | d->multiple : 0,
		[60] = few & 0xffff,
		[61] = few >> 16,
		[63] = 0x0007,
		[64] = 0x0003,
		[65] = 120,
		[66] = 120,
		[67] = 120,
		[68] = 120,
		[76] = p->ops->sata ? ATA_SATA_SPEEDS : 0,
		[80] = 0x007e, /* ATA-1 to 6 */
		[82] = 0x4020,
		[83] = 0x7400,
		[84] = 0x4000, /* write cache, 48-bit addresses, flush */
		[85] = d->write_through ? 0x4000 : 0x4020,
		[86] = 0x3400,
		[87] = 0x4000,
		[88] = 0x203f, /* Ultra DMA, mode 5 */
		[93] = p->ops->sata ? 0 : 0x6001,
		[100] = d->sectors & 0xffff,
		[101] = d->sectors >> 16 & 0xffff,
		[102] = d->sectors >> 32 & 0xffff};
	uint32_t current = cylinders * d->heads * d->track;

	w[57] = current & 0xffff;
	w[58] = current >> 16;
	disk_put_text(w + 10, d->serial, 10);
	disk_put_text(w + 23, DACH_VERSION, 4);
	disk_put_text(w + 27, "dach disk", 20);
	memcpy(p->buffer, w, sizeof w);
	p->filled = p->block = sizeof w;
	p->left = p->now = 0;
	ata_offer(p);
}

/* The address in the task file, in sectors. false: there is no such place. */
static bool find_place(const struct ata_port *p, const struct ata_drive *d, bool extended,
	uint64_t *at)
{
	const uint64_t lba = d->low[0] | d->mid[0] << 8 | (uint32_t)d->high[0] << 16;

	if (extended) {
		*at = lba | (uint64_t)d->low[1] << 24 | (uint64_t)d->mid[1] << 32 |
			(uint64_t)d->high[1] << 40;
	} else if (p->select & SELECT_LBA) {
		*at = lba | (uint64_t)(p->select & 15) << 24;
	} else {
		if (!d->low[0] || d->low[0] > d->track || (p->select & 15) >= d->heads)
			return false;
		*at = ((uint64_t)(d->mid[0] | d->high[0] << 8) * d->heads + (p->select & 15)) *
				d->track +
			d->low[0] - 1;
	}
	return true;
}

/* The next part of the command: as much as the buffer holds. */
static void next_part(struct ata_port *p)
{
	p->now = p->left < ATA_BUFFER / ATA_SECTOR ? p->left : ATA_BUFFER / ATA_SECTOR;
	p->filled = p->now * ATA_SECTOR;
	if (p->writes)
		p->ops->transfer(p);
	else
		ata_submit(p, BLOCK_READ, p->at * ATA_SECTOR, p->filled);
}

static void move(struct ata_port *p, uint8_t how)
{
	struct ata_drive *d = ata_current(p);
	uint32_t count = d->count[0];

	if (how & EXTENDED)
		count |= d->count[1] << 8;
	if (!count)
		count = how & EXTENDED ? 0x10000 : 0x100;
	if (how & MULTIPLE && !d->multiple) {
		ata_end(p, ATA_ABORTED);
		return;
	}
	if (!find_place(p, d, how & EXTENDED, &p->at) || p->at >= d->sectors ||
		count > d->sectors - p->at) {
		ata_end(p, ATA_NO_SUCH_SECTOR);
		return;
	}
	if (how & WRITES && block_read_only(d->image)) {
		ata_end(p, ATA_ABORTED);
		return;
	}
	p->left = count;
	p->dma = how & DMA;
	p->writes = how & WRITES;
	p->block = (how & MULTIPLE ? d->multiple : 1) * ATA_SECTOR;
	next_part(p);
}

void disk_moved(struct ata_port *p)
{
	if (!p->left) { /* IDENTIFY */
		ata_end_read(p);
		return;
	}
	if (p->writes) {
		ata_submit(p, BLOCK_WRITE, p->at * ATA_SECTOR, p->filled);
		return;
	}
	p->left -= p->now;
	p->at += p->now;
	if (p->left)
		next_part(p);
	else
		ata_end_read(p);
}

void disk_done(struct ata_port *p, int result)
{
	if (result) {
		ata_end(p, ATA_UNCORRECTABLE);
		return;
	}
	if (!p->left) { /* a flush */
		ata_end(p, 0);
		return;
	}
	if (p->request.op == BLOCK_WRITE && p->left == p->now && ata_current(p)->write_through) {
		ata_submit(p, BLOCK_FLUSH, 0, 0);
		return;
	}
	if (!p->writes) {
		ata_offer(p);
		return;
	}
	p->left -= p->now;
	p->at += p->now;
	if (!p->left) {
		ata_end(p, 0);
		return;
	}
	next_part(p);
	if (ata_by_port(p))
		p->ops->interrupt(p);
}

static void flush(struct ata_port *p)
{
	p->left = 0;
	if (block_read_only(ata_current(p)->image))
		ata_end(p, 0);
	else
		ata_submit(p, BLOCK_FLUSH, 0, 0);
}

/* READ NATIVE MAX ADDRESS: the last sector. */
static void native_max(struct ata_port *p, bool extended)
{
	struct ata_drive *d = ata_current(p);
	uint64_t last = d->sectors - 1;

	if (!extended && last > SECTORS_28)
		last = SECTORS_28;
	for (unsigned old = 0; old < 2; old++) {
		d->low[old] = last >> (24 * old);
		d->mid[old] = last >> (24 * old + 8);
		d->high[old] = last >> (24 * old + 16);
	}
	if (!extended)
		p->select = (p->select & 0xf0) | (last >> 24 & 15);
	ata_end(p, 0);
}

static uint8_t set_features(struct ata_drive *d)
{
	switch (d->feature[0]) {
	case 0x02: /* write cache: on */
	case 0x82: /* off */
		d->write_through = d->feature[0] == 0x82;
		return 0;
	case 0x03: /* transfer mode */
	case 0x05:
	case 0x42:
	case 0x55:
	case 0x66:
	case 0x85:
	case 0xaa:
	case 0xc2:
	case 0xcc:
		return 0;
	default:
		return ATA_ABORTED;
	}
}

/* Those without data: an error, or 0. */
static uint8_t simple(struct ata_port *p, uint8_t command)
{
	struct ata_drive *d = ata_current(p);
	uint64_t at;

	switch (command) {
	case 0x10 ... 0x1f: /* RECALIBRATE */
	case 0x94 ... 0x97: /* power: it stays on */
	case 0x99:
	case 0xe0 ... 0xe3:
	case 0xe6:
		return 0;
	case 0x98: /* CHECK POWER MODE */
	case 0xe5:
		d->count[0] = 0xff;
		return 0;
	case 0x40 ... 0x42: /* READ VERIFY: what is there can be read */
	case 0x70 ... 0x7f: /* SEEK */
		return find_place(p, d, command == 0x42, &at) && at < d->sectors
			? 0
			: ATA_NO_SUCH_SECTOR;
	case 0x91: /* INITIALIZE DEVICE PARAMETERS */
		if (!d->count[0])
			return ATA_ABORTED;
		d->track = d->count[0];
		d->heads = (p->select & 15) + 1;
		return 0;
	case 0xc6: /* SET MULTIPLE MODE */
		if (d->count[0] > MULTIPLE_MAX || d->count[0] & (d->count[0] - 1))
			return ATA_ABORTED;
		d->multiple = d->count[0];
		return 0;
	case 0xef:
		return set_features(d);
	default:
		return ATA_ABORTED;
	}
}

void disk_command(struct ata_port *p, uint8_t command)
{
	for (unsigned i = 0; i < sizeof movers / sizeof *movers; i++)
		if (movers[i].command == command) {
			move(p, movers[i].how);
			return;
		}
	switch (command) {
	case 0xec:
		identify(p);
		break;
	case 0xe7:
	case 0xea:
		flush(p);
		break;
	case 0xf8:
	case 0x27:
		native_max(p, command == 0x27);
		break;
	default:
		ata_end(p, simple(p, command));
	}
}
