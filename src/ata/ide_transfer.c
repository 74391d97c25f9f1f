/* SPDX-License-Identifier: Apache-2.0 */
/* How a channel's buffer goes to the guest and comes from it: by the data port, or by the bus master. */
#include <string.h>

#include "ata/ide_internal.h"

#define BM_START 0x01u
#define BM_TO_MEMORY 0x08u
#define BM_ACTIVE 0x01u
#define BM_FAILED 0x02u
#define BM_INTERRUPT 0x04u
#define BM_DRIVES_CAN 0x60u
#define PRD_LAST 0x80000000u

/* --- the data port --------------------------------------------------------------------------------- */

/* The next block; a CD drive says how long it is. */
static void offer_block(struct ata_port *p)
{
	struct ata_drive *d = ata_current(p);
	uint32_t length = p->filled - p->pos < p->block ? p->filled - p->pos : p->block;

	p->end = p->pos + length;
	d->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
	if (!p->packet)
		return;
	d->mid[0] = length & 0xff;
	d->high[0] = length >> 8;
	d->count[0] = ATAPI_TO_HOST;
}

static void block_moved(struct ata_port *p)
{
	if (p->pos < p->filled) {
		offer_block(p);
		p->ops->interrupt(p);
		return;
	}
	p->phase = ATA_IDLE;
	ata_moved(p);
}

uint32_t transfer_read(struct ata_port *p, unsigned size)
{
	uint32_t value = 0;

	if (p->phase != ATA_TO_HOST || p->dma)
		return 0;
	if (size > p->end - p->pos)
		size = p->end - p->pos;
	memcpy(&value, p->buffer + p->pos, size);
	p->pos += size;
	if (p->pos == p->end)
		block_moved(p);
	return value;
}

void transfer_write(struct ata_port *p, unsigned size, uint32_t value)
{
	if (p->phase != ATA_PACKET && (p->phase != ATA_TO_DRIVE || p->dma))
		return;
	if (size > p->end - p->pos)
		size = p->end - p->pos;
	memcpy(p->buffer + p->pos, &value, size);
	p->pos += size;
	if (p->pos < p->end)
		return;
	if (p->phase == ATA_PACKET) {
		p->phase = ATA_IDLE;
		atapi_packet(p);
	} else {
		block_moved(p);
	}
}

/* --- the bus master -------------------------------------------------------------------------------- */

/* The next piece of guest memory. false: the table is at its end, or is not in memory. */
static bool next_piece(struct ide_channel *c)
{
	uint32_t entry[2];

	if (c->bm_last || memory_read(c->ide->memory, c->bm_entry, entry, sizeof entry))
		return false;
	c->bm_entry += sizeof entry;
	c->bm_address = entry[0] & ~1u;
	c->bm_left = entry[1] & 0xfffe ? entry[1] & 0xfffe : 0x10000;
	c->bm_last = entry[1] & PRD_LAST;
	return true;
}

/* All of the buffer. */
static bool move_by_table(struct ide_channel *c)
{
	struct memory *mem = c->ide->memory;

	while (c->port.pos < c->port.filled) {
		uint32_t n = c->port.filled - c->port.pos;
		int r;

		if (!c->bm_left && !next_piece(c))
			return false;
		if (n > c->bm_left)
			n = c->bm_left;
		r = c->port.writes
			? memory_read(mem, c->bm_address, c->port.buffer + c->port.pos, n)
			: memory_write(mem, c->bm_address, c->port.buffer + c->port.pos, n);
		if (r)
			return false;
		c->bm_address += n;
		c->bm_left -= n;
		c->port.pos += n;
	}
	return true;
}

void transfer_go(struct ide_channel *c)
{
	if (!c->waits || !(c->bm_status & BM_ACTIVE))
		return;
	c->waits = false;
	c->port.phase = ATA_IDLE;
	if (!move_by_table(c)) {
		c->bm_status |= BM_FAILED;
		ata_end(&c->port, ATA_ABORTED);
		return;
	}
	ata_moved(&c->port);
}

void transfer_begin(struct ata_port *p)
{
	struct ide_channel *c = ide_channel_of(p);

	p->pos = 0;
	p->phase = p->writes ? ATA_TO_DRIVE : ATA_TO_HOST;
	if (!p->dma) {
		offer_block(p);
		return;
	}
	p->end = p->filled;
	ata_current(p)->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
	c->waits = true;
	transfer_go(c);
}

uint8_t transfer_bm_read(struct ide_channel *c, unsigned reg)
{
	return reg == 0    ? c->bm_command
		: reg == 2 ? c->bm_status
		: reg < 4  ? 0
			   : c->bm_table >> (8 * (reg - 4));
}

void transfer_bm_write(struct ide_channel *c, unsigned reg, uint8_t value)
{
	if (reg == 0) {
		const bool was = c->bm_command & BM_START;

		c->bm_command = value & (BM_START | BM_TO_MEMORY);
		if (!(value & BM_START)) {
			c->bm_status &= ~BM_ACTIVE;
		} else if (!was) {
			c->bm_status |= BM_ACTIVE;
			c->bm_entry = c->bm_table;
			c->bm_left = 0;
			c->bm_last = false;
			transfer_go(c);
		}
	} else if (reg == 2) {
		c->bm_status = (value & BM_DRIVES_CAN) |
			(c->bm_status & ~BM_DRIVES_CAN & ~(value & (BM_FAILED | BM_INTERRUPT)));
	}
}

void transfer_bm_write_table(struct ide_channel *c, uint32_t value)
{
	c->bm_table = value & ~3u;
}
