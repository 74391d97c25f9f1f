/* SPDX-License-Identifier: Apache-2.0 */
/* The controller: its ports, registers of its channels and drives, interrupts, and what is under way. */
#include "ata/ide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ata/internal.h"
#include "base/container.h"
#include "machine/pci/bus.h"

#define BM_BAR 4
#define BM_SIZE 16
#define TIMING 0x40 /* four bytes, and four more */

#define CONTROL_NO_INTERRUPT 0x02u
#define CONTROL_RESET 0x04u
#define CONTROL_OLD 0x80u /* reads are of what was written before */

#define DIAGNOSTIC_PASSED 1
#define TRACK_SECTORS 63
#define HEADS 16

enum { REG_DATA, REG_FEATURE, REG_COUNT, REG_LOW, REG_MID, REG_HIGH, REG_SELECT, REG_COMMAND };

static struct ide_drive *selected(struct ide_channel *c)
{
	return &c->drive[c->select & SELECT_SECOND ? 1 : 0];
}

static void set_line(struct ide_channel *c, bool level)
{
	level &= !(c->control & CONTROL_NO_INTERRUPT);
	if (c->line == level)
		return;
	c->line = level;
	c->ide->owner.irq(c->ide->owner.ctx, c->irq, level);
}

void ide_interrupt(struct ide_channel *c)
{
	c->bm_status |= 0x04;
	set_line(c, true);
}

void ide_end(struct ide_channel *c, uint8_t error)
{
	struct ide_drive *d = ide_current(c);

	c->phase = IDE_IDLE;
	c->waits = false;
	c->left = 0;
	c->pos = c->end = c->filled = 0;
	if (c->dma)
		c->bm_status &= ~0x01u;
	d->error = error;
	d->status = ATA_READY | ATA_SEEK_DONE | (error ? ATA_FAILED : 0);
	ide_interrupt(c);
}

static void image_done(struct block_request *request, int result)
{
	struct ide_channel *c = container_of(request, struct ide_channel, request);
	struct ide *ide = c->ide;

	mutex_lock(&ide->lock);
	c->active = false;
	if (ide_current(c)->cdrom)
		atapi_done(c, result);
	else
		disk_done(c, result);
	if (!c->active)
		pthread_cond_broadcast(&ide->idle);
	mutex_unlock(&ide->lock);
}

void ide_submit(struct ide_channel *c, enum block_op op, uint64_t offset, uint32_t length)
{
	struct ide_drive *d = ide_current(c);
	const uint64_t size = d->sectors * ATA_SECTOR;

	/* A saved state may have said anything. */
	if (!d->image || offset > size || length > size - offset) {
		ide_end(c, ATA_ABORTED);
		return;
	}
	c->phase = IDE_IDLE;
	d->status = ATA_BUSY;
	c->iov = (struct iovec){c->buffer, length};
	/* On one of the image's own threads, since the lock is held here. */
	c->request = (struct block_request){.op = op,
		.background = true,
		.offset = offset,
		.length = length,
		.iov = &c->iov,
		.iov_count = length ? 1 : 0,
		.done = image_done};
	c->active = true;
	block_submit(d->image, &c->request);
}

static void wait_idle(struct ide *ide) REQUIRES(ide->lock)
{
	while (ide->channel[0].active || ide->channel[1].active)
		mutex_wait(&ide->lock, &ide->idle);
}

/* --- the task file ---------------------------------------------------------------------------------- */

static void reset_drive(struct ide_drive *d)
{
	memset(d->feature, 0, sizeof d->feature);
	memset(d->count, 0, sizeof d->count);
	memset(d->low, 0, sizeof d->low);
	memset(d->mid, 0, sizeof d->mid);
	memset(d->high, 0, sizeof d->high);
	d->multiple = 0;
	d->heads = HEADS;
	d->track = TRACK_SECTORS;
	d->sense = d->sense_code = d->sense_more = 0;
	d->error = DIAGNOSTIC_PASSED;
	d->status = d->there && !d->cdrom ? ATA_READY | ATA_SEEK_DONE : 0;
	if (d->there)
		disk_signature(d);
}

/* Not while the image has a request. */
static void reset_channel(struct ide_channel *c)
{
	c->phase = IDE_IDLE;
	c->waits = c->dma = c->writes = c->packet = false;
	c->left = c->now = c->pos = c->end = c->filled = 0;
	c->select = c->current = 0;
	reset_drive(&c->drive[0]);
	reset_drive(&c->drive[1]);
	set_line(c, false);
}

/* A diagnosis is of both drives. */
static void diagnose(struct ide_channel *c)
{
	reset_channel(c);
	ide_interrupt(c);
}

static void command(struct ide_channel *c, uint8_t value)
{
	struct ide_drive *d = selected(c);

	set_line(c, false);
	if (!d->there || c->active)
		return;
	if (d->cdrom && value == 0x08) { /* DEVICE RESET */
		c->phase = IDE_IDLE;
		c->waits = false;
		c->left = 0;
		reset_drive(d);
		return;
	}
	if (value == 0x90) {
		diagnose(c);
		return;
	}
	c->current = c->select & SELECT_SECOND ? 1 : 0;
	c->phase = IDE_IDLE;
	c->waits = c->dma = c->writes = c->packet = false;
	c->left = 0;
	d->error = 0;
	if (d->cdrom)
		atapi_command(c, value);
	else
		disk_command(c, value);
}

/* Both drives of a channel hear it. */
static void task_write(struct ide_channel *c, unsigned reg, uint8_t value)
{
	for (unsigned i = 0; i < 2; i++) {
		struct ide_drive *d = &c->drive[i];
		uint8_t *at = reg == REG_FEATURE ? d->feature
			: reg == REG_COUNT       ? d->count
			: reg == REG_LOW         ? d->low
			: reg == REG_MID         ? d->mid
						 : d->high;

		at[1] = at[0];
		at[0] = value;
	}
}

static void write_register(struct ide_channel *c, unsigned reg, uint8_t value)
{
	c->control &= ~CONTROL_OLD;
	if (reg == REG_COMMAND) {
		command(c, value);
		return;
	}
	/* While a command is under way they stay what it was given. */
	if (c->active || c->waits)
		return;
	if (reg == REG_SELECT)
		c->select = value;
	else
		task_write(c, reg, value);
}

/* Not ones, as of a port where nobody is: those say "busy", and who waits for the end of that waits for long (OVMF). */
static bool is_empty(const struct ide_channel *c)
{
	return !c->drive[0].there && !c->drive[1].there;
}

static uint8_t read_register(struct ide_channel *c, unsigned reg)
{
	const struct ide_drive *d = selected(c);
	const unsigned old = c->control & CONTROL_OLD ? 1 : 0;

	if (is_empty(c))
		return 0;
	switch (reg) {
	case REG_FEATURE:
		return d->there ? d->error : 0;
	case REG_COUNT:
		return d->there ? d->count[old] : 0;
	case REG_LOW:
		return d->there ? d->low[old] : 0;
	case REG_MID:
		return d->there ? d->mid[old] : 0;
	case REG_HIGH:
		return d->there ? d->high[old] : 0;
	case REG_SELECT:
		return c->select | 0xa0;
	default:
		set_line(c, false);
		return d->there ? d->status : 0;
	}
}

/* --- ports ------------------------------------------------------------------------------------------- */

static uint64_t command_read(void *ctx, uint64_t offset, unsigned size)
{
	struct ide_channel *c = ctx;
	uint64_t value = 0;

	mutex_assert_held(&c->ide->lock);
	if (offset == REG_DATA)
		return transfer_read(c, size);
	for (unsigned i = 0; i < size && offset + i < 8; i++)
		value |= (uint64_t)read_register(c, offset + i) << (8 * i);
	return value;
}

static void command_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ide_channel *c = ctx;

	mutex_assert_held(&c->ide->lock);
	if (offset == REG_DATA) {
		transfer_write(c, size, value);
		return;
	}
	for (unsigned i = 0; i < size && offset + i < 8; i++)
		write_register(c, offset + i, value >> (8 * i));
}

static uint64_t control_read(void *ctx, uint64_t offset, unsigned size)
{
	struct ide_channel *c = ctx;
	const struct ide_drive *d = selected(c);

	mutex_assert_held(&c->ide->lock);
	if (is_empty(c))
		return 0;
	return d->there ? d->status : 0;
}

static void control_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ide_channel *c = ctx;
	const uint8_t was = c->control;

	mutex_assert_held(&c->ide->lock);
	c->control = value & (CONTROL_NO_INTERRUPT | CONTROL_RESET | CONTROL_OLD);
	if (value & CONTROL_NO_INTERRUPT)
		set_line(c, false);
	/* While the image has a request there is nothing to be reset yet: that comes with its end. */
	if (was & CONTROL_RESET && !(value & CONTROL_RESET)) {
		wait_idle(c->ide);
		reset_channel(c);
	}
}

static uint64_t bm_read(void *ctx, uint64_t offset, unsigned size)
{
	struct ide *ide = ctx;
	uint64_t value = 0;

	mutex_assert_held(&ide->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)transfer_bm_read(&ide->channel[(offset + i) / 8],
				 (offset + i) % 8)
			<< (8 * i);
	return value;
}

static void bm_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ide *ide = ctx;
	struct ide_channel *c = &ide->channel[offset / 8];

	mutex_assert_held(&ide->lock);
	if (offset % 8 == 4 && size == 4) {
		transfer_bm_write_table(c, value);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		transfer_bm_write(c, (offset + i) % 8, value >> (8 * i));
}

static const struct bus_ops command_ops = {command_read, command_write, 1 | 2 | 4, false};
static const struct bus_ops control_ops = {control_read, control_write, 1, false};
static const struct bus_ops bm_ops = {bm_read, bm_write, 1 | 2 | 4, true};

/* --- on the bus -------------------------------------------------------------------------------------- */

static struct ide *from_pci(struct pci_device *dev)
{
	return container_of(dev, struct ide, pci);
}

static void on_reset(struct pci_device *dev)
{
	struct ide *ide = from_pci(dev);

	mutex_lock(&ide->lock);
	wait_idle(ide);
	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *c = &ide->channel[i];

		reset_channel(c);
		c->drive[0].write_through = c->drive[1].write_through = false;
		c->control = c->bm_command = c->bm_status = 0;
		c->bm_table = c->bm_entry = c->bm_address = c->bm_left = 0;
		c->bm_last = false;
	}
	mutex_unlock(&ide->lock);
}

/* A command goes on without the guest as far as its data are the image's or the bus master's. */
static void on_quiesce(struct pci_device *dev, bool quiet)
{
	struct ide *ide = from_pci(dev);

	if (!quiet)
		return;
	mutex_lock(&ide->lock);
	wait_idle(ide);
	mutex_unlock(&ide->lock);
}

static void describe_drive(struct ide_drive *d, unsigned n, struct state *s)
{
	uint8_t kind = !d->there ? 0 : d->cdrom ? 2 : 1, was = kind;
	uint64_t sectors = d->sectors;

	state_group(s, "drive", n);
	state_u8(s, "kind", &kind);
	state_u64(s, "sectors", &sectors);
	state_bytes(s, "feature", d->feature, 2);
	state_bytes(s, "count", d->count, 2);
	state_bytes(s, "low", d->low, 2);
	state_bytes(s, "mid", d->mid, 2);
	state_bytes(s, "high", d->high, 2);
	state_u8(s, "status", &d->status);
	state_u8(s, "error", &d->error);
	state_u8(s, "multiple", &d->multiple);
	state_u8(s, "heads", &d->heads);
	state_u8(s, "track", &d->track);
	state_u8(s, "sense", &d->sense);
	state_u8(s, "sense_code", &d->sense_code);
	state_u8(s, "sense_more", &d->sense_more);
	if (state_optional(s, "uncached", d->write_through))
		state_bool(s, "write_through", &d->write_through);
	state_require(s, kind == was && sectors == d->sectors, "another drive than there is here");
	state_require(s, d->heads && d->heads <= HEADS && d->track, "a geometry that cannot be");
	state_require(s, d->multiple <= 16, "a block that is too long");
}

static void describe_channel(struct ide_channel *c, struct state *s)
{
	state_bool(s, "line", &c->line);
	state_u8(s, "select", &c->select);
	state_u8(s, "control", &c->control);
	state_u8(s, "current", &c->current);
	state_u8(s, "phase", &c->phase);
	state_bool(s, "dma", &c->dma);
	state_bool(s, "writes", &c->writes);
	state_bool(s, "packet", &c->packet);
	state_bool(s, "waits", &c->waits);
	state_u64(s, "at", &c->at);
	state_u32(s, "left", &c->left);
	state_u32(s, "now", &c->now);
	state_u32(s, "block", &c->block);
	state_u32(s, "pos", &c->pos);
	state_u32(s, "end", &c->end);
	state_u32(s, "filled", &c->filled);
	state_u8(s, "bm_command", &c->bm_command);
	state_u8(s, "bm_status", &c->bm_status);
	state_u32(s, "bm_table", &c->bm_table);
	state_u32(s, "bm_entry", &c->bm_entry);
	state_u32(s, "bm_address", &c->bm_address);
	state_u32(s, "bm_left", &c->bm_left);
	state_bool(s, "bm_last", &c->bm_last);
	state_require(s, c->phase < IDE_PHASES && c->current < 2, "an unknown phase");
	state_require(s,
		c->filled <= IDE_BUFFER && c->end <= c->filled && c->pos <= c->end &&
			(c->block || c->phase == IDE_IDLE),
		"a place beyond its buffer");
	/* What it says of the rest is looked at again before the image is asked. */
	state_require(s, c->now <= IDE_BUFFER / ATA_SECTOR && (!c->left || c->now <= c->left),
		"a command that cannot be");
}

static void on_describe(struct pci_device *dev, struct state *s)
{
	struct ide *ide = from_pci(dev);

	mutex_lock(&ide->lock);
	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *c = &ide->channel[i];
		const bool line = c->line;

		state_begin(s, "ide", i, 1);
		describe_drive(&c->drive[0], 0, s);
		describe_drive(&c->drive[1], 1, s);
		state_group(s, NULL, 0);
		describe_channel(c, s);
		state_bytes(s, "buffer", c->buffer, state_ok(s) ? c->filled : 0);
		state_end(s);
		if (!state_ok(s)) { /* nobody uses it any more but to destroy it */
			c->current = 0;
			c->line = line;
		}
	}
	mutex_unlock(&ide->lock);
}

static const struct pci_device_ops pci_ops = {.reset = on_reset,
	.quiesce = on_quiesce,
	.describe = on_describe};

static int map_ports(struct ide *ide, struct error *err)
{
	static const uint16_t command_port[2] = {0x1f0, 0x170}, control_port[2] = {0x3f6, 0x376};
	int r = 0;

	for (unsigned i = 0; i < 2 && !r; i++) {
		r = bus_map(ide->io, command_port[i], 8, &command_ops, &ide->channel[i],
			&ide->lock);
		if (!r)
			r = bus_map(ide->io, control_port[i], 1, &control_ops, &ide->channel[i],
				&ide->lock);
	}
	return r ? error_set(err, -r, "IDE: its ports are another device's") : 0;
}

static void put_drives(struct ide *ide, const struct ide_drive_config config[IDE_DRIVES])
{
	for (unsigned i = 0; i < IDE_DRIVES; i++) {
		struct ide_channel *c = &ide->channel[i / 2];
		struct ide_drive *d = &c->drive[i % 2];

		c->ide = ide;
		c->irq = 14 + i / 2;
		d->image = config[i].image;
		d->cdrom = config[i].cdrom;
		d->there = d->image || d->cdrom;
		d->sectors = d->image ? block_size(d->image) / ATA_SECTOR : 0;
		strncpy(d->serial, config[i].serial ? config[i].serial : "", sizeof d->serial - 1);
	}
}

int ide_create(struct pci_bus *bus, struct bus *io, struct memory *memory,
	const struct ide_owner *owner, const struct ide_drive_config drive[IDE_DRIVES],
	struct ide **out, struct error *err)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
		.device = 0x7010,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x010180};
	struct ide *ide = calloc(1, sizeof *ide);
	int r;

	*out = ide;
	if (!ide)
		return error_nomem(err);
	ide->io = io;
	ide->memory = memory;
	ide->owner = *owner;
	mutex_init(&ide->lock);
	pthread_cond_init(&ide->idle, NULL);
	put_drives(ide, drive);
	pci_device_init(&ide->pci, "IDE controller", &ids, &pci_ops);
	memset(&ide->pci.wmask[TIMING], 0xff, 8);
	on_reset(&ide->pci);
	r = pci_add_bar(&ide->pci, BM_BAR, BM_SIZE, PCI_BAR_IO, &bm_ops, ide, &ide->lock);
	if (!r)
		r = map_ports(ide, err);
	return r ? r : pci_bus_add_function(bus, &ide->pci, IDE_SLOT, IDE_FUNCTION, err);
}

void ide_destroy(struct ide *ide)
{
	if (!ide)
		return;
	mutex_lock(&ide->lock);
	wait_idle(ide);
	mutex_unlock(&ide->lock);
	if (ide->pci.bus)
		pci_bus_remove(&ide->pci, NULL);
	for (unsigned i = 0; i < 2; i++) {
		bus_unmap(ide->io, i ? 0x170 : 0x1f0, &ide->channel[i]);
		bus_unmap(ide->io, i ? 0x376 : 0x3f6, &ide->channel[i]);
	}
	pci_device_destroy(&ide->pci);
	pthread_cond_destroy(&ide->idle);
	mutex_destroy(&ide->lock);
	free(ide);
}
