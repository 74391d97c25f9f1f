/* SPDX-License-Identifier: Apache-2.0 */
/* The controller: its ports, registers of its channels and drives, interrupts. */
#include "ata/ide.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ata/ide_internal.h"
#include "machine/pci/bus.h"

#define BM_BAR 4
#define BM_SIZE 16
#define TIMING 0x40 /* four bytes, and four more */

#define CONTROL_NO_INTERRUPT 0x02u
#define CONTROL_RESET 0x04u
#define CONTROL_OLD 0x80u /* reads are of what was written before */

#define DIAGNOSE 0x90

enum { REG_DATA, REG_FEATURE, REG_COUNT, REG_LOW, REG_MID, REG_HIGH, REG_SELECT, REG_COMMAND };

static void set_line(struct ide_channel *c, bool level)
{
	level &= !(c->control & CONTROL_NO_INTERRUPT);
	if (c->line == level)
		return;
	c->line = level;
	c->ide->owner.irq(c->ide->owner.ctx, c->irq, level);
}

static void on_interrupt(struct ata_port *p)
{
	struct ide_channel *c = ide_channel_of(p);

	c->bm_status |= 0x04;
	set_line(c, true);
}

static void on_ended(struct ata_port *p)
{
	struct ide_channel *c = ide_channel_of(p);

	c->waits = false;
	if (p->dma)
		c->bm_status &= ~0x01u;
	on_interrupt(p);
}

static bool is_active(const struct ide *ide)
{
	return ide->channel[0].port.active || ide->channel[1].port.active;
}

/* Of both at once: while one is waited for the guest may give the other a command. */
static void wait_idle(struct ide *ide)
{
	mutex_assert_held(&ide->lock);
	while (is_active(ide))
		mutex_wait(&ide->lock, &ide->idle);
}

/* --- the task file ---------------------------------------------------------------------------------- */

/* Not while the image has a request. */
static void reset_channel(struct ide_channel *c)
{
	ata_reset(&c->port);
	c->waits = c->resetting = false;
	set_line(c, false);
}

static void on_idle(struct ata_port *p)
{
	struct ide_channel *c = ide_channel_of(p);

	if (c->resetting)
		reset_channel(c);
}

static const struct ata_port_ops port_ops = {false, on_interrupt, on_ended, transfer_begin,
	on_idle};

static void command(struct ide_channel *c, uint8_t value)
{
	set_line(c, false);
	if (!ata_selected(&c->port)->there || c->port.active)
		return;
	c->waits = false;
	if (value == DIAGNOSE) { /* of both drives */
		reset_channel(c);
		on_interrupt(&c->port);
	} else {
		ata_command(&c->port, value);
	}
}

/* Both drives of a channel hear it. */
static void task_write(struct ide_channel *c, unsigned reg, uint8_t value)
{
	for (unsigned i = 0; i < 2; i++) {
		struct ata_drive *d = &c->port.drive[i];
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
	if (c->port.active || c->waits)
		return;
	if (reg == REG_SELECT)
		c->port.select = value;
	else
		task_write(c, reg, value);
}

/* Not ones, as of a port where nobody is: those say "busy", and who waits for the end of that waits for long (OVMF). */
static bool is_empty(const struct ide_channel *c)
{
	return !c->port.drive[0].there && !c->port.drive[1].there;
}

/* Both drives are busy until they have been reset. */
static uint8_t read_status(struct ide_channel *c)
{
	const struct ata_drive *d = ata_selected(&c->port);

	if (!d->there)
		return 0;
	return c->resetting ? ATA_BUSY : d->status;
}

static uint8_t read_register(struct ide_channel *c, unsigned reg)
{
	const struct ata_drive *d = ata_selected(&c->port);
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
		return c->port.select | 0xa0;
	default:
		set_line(c, false);
		return read_status(c);
	}
}

/* --- ports ------------------------------------------------------------------------------------------- */

static uint64_t command_read(void *ctx, uint64_t offset, unsigned size)
{
	struct ide_channel *c = ctx;
	uint64_t value = 0;

	mutex_assert_held(&c->ide->lock);
	if (offset == REG_DATA)
		return transfer_read(&c->port, size);
	for (unsigned i = 0; i < size && offset + i < 8; i++)
		value |= (uint64_t)read_register(c, offset + i) << (8 * i);
	return value;
}

static void command_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ide_channel *c = ctx;

	mutex_assert_held(&c->ide->lock);
	if (offset == REG_DATA) {
		transfer_write(&c->port, size, value);
		return;
	}
	for (unsigned i = 0; i < size && offset + i < 8; i++)
		write_register(c, offset + i, value >> (8 * i));
}

static uint64_t control_read(void *ctx, uint64_t offset, unsigned size)
{
	struct ide_channel *c = ctx;

	mutex_assert_held(&c->ide->lock);
	return read_status(c);
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
		c->resetting = true;
		if (!c->port.active)
			on_idle(&c->port);
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
		c->port.drive[0].write_through = c->port.drive[1].write_through = false;
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

static bool on_busy(struct pci_device *dev)
{
	struct ide *ide = from_pci(dev);
	bool busy;

	mutex_lock(&ide->lock);
	busy = is_active(ide);
	mutex_unlock(&ide->lock);
	return busy;
}

static void describe_channel(struct ide_channel *c, struct state *s)
{
	state_bool(s, "line", &c->line);
	state_u8(s, "select", &c->port.select);
	state_u8(s, "control", &c->control);
	ata_describe_command(&c->port, &c->waits, s);
	state_u8(s, "bm_command", &c->bm_command);
	state_u8(s, "bm_status", &c->bm_status);
	state_u32(s, "bm_table", &c->bm_table);
	state_u32(s, "bm_entry", &c->bm_entry);
	state_u32(s, "bm_address", &c->bm_address);
	state_u32(s, "bm_left", &c->bm_left);
	state_bool(s, "bm_last", &c->bm_last);
}

static void on_describe(struct pci_device *dev, struct state *s)
{
	struct ide *ide = from_pci(dev);

	mutex_lock(&ide->lock);
	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *c = &ide->channel[i];
		const bool line = c->line;

		state_begin(s, "ide", i, 1);
		ata_describe_drive(&c->port.drive[0], 0, s);
		ata_describe_drive(&c->port.drive[1], 1, s);
		describe_channel(c, s);
		state_bytes(s, "buffer", c->port.buffer, state_ok(s) ? c->port.filled : 0);
		state_end(s);
		if (!state_ok(s)) { /* nobody uses it any more but to destroy it */
			c->port.current = 0;
			c->line = line;
		}
	}
	mutex_unlock(&ide->lock);
}

static const struct pci_device_ops pci_ops = {.reset = on_reset,
	.quiesce = on_quiesce,
	.busy = on_busy,
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

static void put_drives(struct ide *ide, const struct ata_drive_config config[IDE_DRIVES])
{
	for (unsigned i = 0; i < 2; i++) {
		struct ide_channel *c = &ide->channel[i];

		c->ide = ide;
		c->irq = 14 + i;
		ata_port_init(&c->port, &port_ops, &ide->lock, &ide->idle);
		ata_put_drive(&c->port, 0, &config[2 * i]);
		ata_put_drive(&c->port, 1, &config[2 * i + 1]);
	}
}

int ide_create(struct pci_bus *bus, struct bus *io, struct memory *memory,
	const struct ide_owner *owner, const struct ata_drive_config drive[IDE_DRIVES],
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

struct ata_drive *ide_drive(struct ide *ide, unsigned n)
{
	return &ide->channel[n / 2].port.drive[n % 2];
}
