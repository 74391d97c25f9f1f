/* SPDX-License-Identifier: Apache-2.0 */
/* How a channel's buffer goes to the guest and comes from it: by the data port, or by the bus master. */
#include <string.h>

#include "ata/internal.h"

#define BM_START 0x01u
#define BM_TO_MEMORY 0x08u
#define BM_ACTIVE 0x01u
#define BM_FAILED 0x02u
#define BM_INTERRUPT 0x04u
#define BM_DRIVES_CAN 0x60u
#define PRD_LAST 0x80000000u

static void moved(struct ide_channel *c)
{
	if (ide_current(c)->cdrom)
		atapi_moved(c);
	else
		disk_moved(c);
}

/* --- the data port --------------------------------------------------------------------------------- */

/* The next block; a CD drive says how long it is. */
static void offer_block(struct ide_channel *c)
{
	struct ide_drive *d = ide_current(c);
	uint32_t length = c->filled - c->pos < c->block ? c->filled - c->pos : c->block;

	c->end = c->pos + length;
	d->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
	if (!c->packet)
		return;
	d->mid[0] = length & 0xff;
	d->high[0] = length >> 8;
	d->count[0] = ATAPI_TO_HOST;
}

static void block_moved(struct ide_channel *c)
{
	if (c->pos < c->filled) {
		offer_block(c);
		ide_interrupt(c);
		return;
	}
	c->phase = IDE_IDLE;
	moved(c);
}

uint32_t transfer_read(struct ide_channel *c, unsigned size)
{
	uint32_t value = 0;

	if (c->phase != IDE_TO_HOST || c->dma)
		return 0;
	if (size > c->end - c->pos)
		size = c->end - c->pos;
	memcpy(&value, c->buffer + c->pos, size);
	c->pos += size;
	if (c->pos == c->end)
		block_moved(c);
	return value;
}

void transfer_write(struct ide_channel *c, unsigned size, uint32_t value)
{
	if (c->phase != IDE_PACKET && (c->phase != IDE_TO_DRIVE || c->dma))
		return;
	if (size > c->end - c->pos)
		size = c->end - c->pos;
	memcpy(c->buffer + c->pos, &value, size);
	c->pos += size;
	if (c->pos < c->end)
		return;
	if (c->phase == IDE_PACKET) {
		c->phase = IDE_IDLE;
		atapi_packet(c);
	} else {
		block_moved(c);
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

	while (c->pos < c->filled) {
		uint32_t n = c->filled - c->pos;
		int r;

		if (!c->bm_left && !next_piece(c))
			return false;
		if (n > c->bm_left)
			n = c->bm_left;
		r = c->writes ? memory_read(mem, c->bm_address, c->buffer + c->pos, n)
			      : memory_write(mem, c->bm_address, c->buffer + c->pos, n);
		if (r)
			return false;
		c->bm_address += n;
		c->bm_left -= n;
		c->pos += n;
	}
	return true;
}

void transfer_go(struct ide_channel *c)
{
	if (!c->waits || !(c->bm_status & BM_ACTIVE))
		return;
	c->waits = false;
	c->phase = IDE_IDLE;
	if (!move_by_table(c)) {
		c->bm_status |= BM_FAILED;
		ide_end(c, ATA_ABORTED);
		return;
	}
	moved(c);
}

void transfer_begin(struct ide_channel *c)
{
	c->pos = 0;
	c->phase = c->writes ? IDE_TO_DRIVE : IDE_TO_HOST;
	if (c->dma) {
		c->end = c->filled;
		ide_current(c)->status = ATA_READY | ATA_SEEK_DONE | ATA_DATA;
		c->waits = true;
		transfer_go(c);
		return;
	}
	offer_block(c);
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
