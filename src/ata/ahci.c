/* SPDX-License-Identifier: Apache-2.0 */
/* The controller: its registers and those of its ports, interrupts, resets, saved states. */
#include "ata/ahci.h"

#include <stdlib.h>
#include <string.h>

#include "ata/ahci_internal.h"
#include "machine/pci/bus.h"

#define BAR 5
#define BAR_SIZE 0x1000
#define PORTS_AT 0x100u
#define PORT_SIZE 0x80u

/* Registers of all (AHCI 1.3, 3.1) */
enum {
	HOST_CAP = 0x00,
	HOST_CONTROL = 0x04,
	HOST_STATUS = 0x08,
	HOST_PORTS = 0x0c,
	HOST_VERSION = 0x10
};

/* 64-bit addresses, AHCI alone, 3 Gbit/s, slots, ports */
#define CAP (0x80000000u | 0x00040000u | 2u << 20 | (AHCI_SLOTS - 1) << 8 | (AHCI_PORTS - 1))
#define VERSION 0x00010300u
#define CONTROL_RESET 0x00000001u
#define CONTROL_INTERRUPTS 0x00000002u
#define CONTROL_AHCI 0x80000000u

#define PORT_COMMAND_WRITABLE (PORT_START | PORT_SPIN_UP | PORT_POWER | PORT_RECEIVE)
#define PORT_STATUS_ALL 0xfdc000ffu
#define PORT_STATUS_CLEARABLE (PORT_STATUS_ALL & ~0x00000050u)
#define SATA_DETECTION 0xfu
#define SATA_RESET 1u
#define SATA_CONNECTED 0x123u /* there, 3 Gbit/s, active */
#define SATA_EXCHANGED 0x04000000u

/* --- interrupts -------------------------------------------------------------------------------------- */

static uint32_t port_status(const struct ahci_port *a)
{
	return a->status | (a->sata_error & SATA_EXCHANGED ? PORT_CONNECTED : 0);
}

/* Which ports have something to tell. */
static uint32_t host_status(const struct ahci *ahci)
{
	uint32_t ports = 0;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		if (port_status(&ahci->port[i]) & ahci->port[i].enable)
			ports |= 1u << i;
	return ports;
}

static void update_line(struct ahci *ahci)
{
	pci_intx_set(&ahci->pci, ahci->control & CONTROL_INTERRUPTS && host_status(ahci));
}

void ahci_raise(struct ahci_port *a, uint32_t bits)
{
	a->status |= bits;
	update_line(a->ahci);
}

/* --- resets ------------------------------------------------------------------------------------------ */

/* Whether that has to wait for what is under way. Nothing new begins until it is done. */
static bool later(struct ahci_port *a, uint8_t what)
{
	if (a->port.active)
		a->waits |= what;
	return a->port.active;
}

static void stop(struct ahci_port *a)
{
	a->command &= ~PORT_START;
	if (later(a, WAITS_TO_STOP))
		return;
	a->issue = 0;
	a->slot = AHCI_SLOTS - 1; /* so that the first is next */
	a->busy = a->stuck = false;
}

static void reset_port(struct ahci_port *a)
{
	stop(a);
	if (later(a, WAITS_FOR_RESET))
		return;
	a->status = a->enable = a->sata_control = a->sata_error = 0;
	a->list = a->fis = 0;
	a->command = PORT_SPIN_UP | PORT_POWER;
	a->resetting = false;
	a->pieces = a->piece = a->piece_at = a->moved = 0;
	a->table = 0;
	ahci_reset_drive(a);
}

/* The line is being reset, or has been, which the drive takes for a reset of its own (10.4.2). */
static void reset_line(struct ahci_port *a)
{
	if (later(a, WAITS_FOR_LINE))
		return;
	a->busy = false;
	if ((a->sata_control & SATA_DETECTION) == SATA_RESET) {
		a->shown_status = ATA_BUSY;
	} else {
		ahci_reset_drive(a);
		if (a->port.drive[0].there)
			a->sata_error |= SATA_EXCHANGED;
	}
}

void ahci_idle(struct ata_port *p)
{
	struct ahci_port *a = ahci_port_of(p);
	const uint8_t waited = a->waits;

	if (!waited)
		return;
	a->waits = 0;
	if (waited & WAITS_TO_STOP)
		stop(a);
	if (waited & WAITS_FOR_LINE)
		reset_line(a);
	if (waited & WAITS_FOR_RESET)
		reset_port(a);
	update_line(a->ahci);
}

static bool is_resetting(const struct ahci *ahci)
{
	bool resetting = false;

	for (unsigned i = 0; i < AHCI_PORTS; i++)
		resetting |= ahci->port[i].waits & WAITS_FOR_RESET;
	return resetting;
}

static void reset_host(struct ahci *ahci)
{
	ahci->control = 0;
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		reset_port(&ahci->port[i]);
	update_line(ahci);
}

/* --- registers --------------------------------------------------------------------------------------- */

static uint32_t read_port(const struct ahci_port *a, uint32_t reg)
{
	const uint32_t runs = a->command & PORT_START || a->waits & WAITS_TO_STOP
		? PORT_RUNS | (a->slot % AHCI_SLOTS) << 8
		: 0;

	switch (reg) {
	case PORT_LIST:
		return a->list;
	case PORT_LIST_HIGH:
		return a->list >> 32;
	case PORT_FIS:
		return a->fis;
	case PORT_FIS_HIGH:
		return a->fis >> 32;
	case PORT_STATUS:
		return port_status(a);
	case PORT_ENABLE:
		return a->enable;
	case PORT_COMMAND:
		return a->command | runs | (a->command & PORT_RECEIVE ? PORT_RECEIVES : 0);
	case PORT_TASK_FILE:
		return a->shown_status | a->shown_error << 8;
	case PORT_SIGNATURE:
		return a->signature;
	case PORT_SATA_STATUS:
		return a->port.drive[0].there && !(a->waits & WAITS_FOR_LINE) &&
				(a->sata_control & SATA_DETECTION) != SATA_RESET
			? SATA_CONNECTED
			: 0;
	case PORT_SATA_CONTROL:
		return a->sata_control;
	case PORT_SATA_ERROR:
		return a->sata_error;
	case PORT_ISSUE:
		return a->issue;
	default:
		return 0;
	}
}

static void set_low(uint64_t *value, uint32_t low)
{
	*value = (*value & ~0xffffffffull) | low;
}

static void set_high(uint64_t *value, uint32_t high)
{
	*value = (*value & 0xffffffffull) | (uint64_t)high << 32;
}

static void write_command(struct ahci_port *a, uint32_t value)
{
	if (a->command & PORT_START && !(value & PORT_START))
		stop(a);
	a->command = value & PORT_COMMAND_WRITABLE;
	/* It does not start again before it has stopped. */
	if (a->waits & (WAITS_TO_STOP | WAITS_FOR_RESET))
		a->command &= ~PORT_START;
	ahci_try(a);
}

static void write_sata_control(struct ahci_port *a, uint32_t value)
{
	const uint32_t was = a->sata_control & SATA_DETECTION, is = value & SATA_DETECTION;

	a->sata_control = value & 0xfff;
	if ((is == SATA_RESET) != (was == SATA_RESET))
		reset_line(a);
}

static void write_port(struct ahci_port *a, uint32_t reg, uint32_t value)
{
	switch (reg) {
	case PORT_LIST:
		set_low(&a->list, value & ~0x3ffu);
		break;
	case PORT_LIST_HIGH:
		set_high(&a->list, value);
		break;
	case PORT_FIS:
		set_low(&a->fis, value & ~0xffu);
		break;
	case PORT_FIS_HIGH:
		set_high(&a->fis, value);
		break;
	case PORT_STATUS:
		a->status &= ~(value & PORT_STATUS_CLEARABLE);
		break;
	case PORT_ENABLE:
		a->enable = value & PORT_STATUS_ALL;
		break;
	case PORT_COMMAND:
		write_command(a, value);
		break;
	case PORT_SATA_CONTROL:
		write_sata_control(a, value);
		break;
	case PORT_SATA_ERROR:
		a->sata_error &= ~value;
		break;
	case PORT_ISSUE:
		if (a->command & PORT_START)
			a->issue |= value;
		ahci_try(a);
		break;
	}
}

static uint32_t read_host(const struct ahci *ahci, uint32_t reg)
{
	switch (reg) {
	case HOST_CAP:
		return CAP;
	case HOST_CONTROL:
		return ahci->control | CONTROL_AHCI | (is_resetting(ahci) ? CONTROL_RESET : 0);
	case HOST_STATUS:
		return host_status(ahci);
	case HOST_PORTS:
		return (1u << AHCI_PORTS) - 1;
	case HOST_VERSION:
		return VERSION;
	default:
		return 0;
	}
}

static uint64_t on_read(void *ctx, uint64_t offset, unsigned size)
{
	const struct ahci *ahci = ctx;
	const uint64_t at = offset - PORTS_AT;

	mutex_assert_held(&ahci->lock);
	if (offset < PORTS_AT)
		return read_host(ahci, offset);
	return at / PORT_SIZE < AHCI_PORTS ? read_port(&ahci->port[at / PORT_SIZE], at % PORT_SIZE)
					   : 0;
}

static void on_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ahci *ahci = ctx;
	const uint64_t at = offset - PORTS_AT;

	mutex_assert_held(&ahci->lock);
	if (offset >= PORTS_AT) {
		if (at / PORT_SIZE < AHCI_PORTS)
			write_port(&ahci->port[at / PORT_SIZE], at % PORT_SIZE, value);
	} else if (offset == HOST_CONTROL) {
		if (value & CONTROL_RESET)
			reset_host(ahci);
		else
			ahci->control = value & CONTROL_INTERRUPTS;
	}
	update_line(ahci);
}

static const struct bus_ops ops = {on_read, on_write, 4, true};

/* --- on the bus -------------------------------------------------------------------------------------- */

static struct ahci *from_pci(struct pci_device *dev)
{
	return container_of(dev, struct ahci, pci);
}

static void wait_idle(struct ahci *ahci)
{
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ata_wait(&ahci->port[i].port);
}

static void on_reset(struct pci_device *dev)
{
	struct ahci *ahci = from_pci(dev);

	mutex_lock(&ahci->lock);
	reset_host(ahci); /* so that nothing new begins */
	wait_idle(ahci);
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		ahci->port[i].port.drive[0].write_through = false;
	mutex_unlock(&ahci->lock);
}

/* A command that has begun goes on to its end, and what the guest has issued behind it stays where it is. */
static void on_quiesce(struct pci_device *dev, bool quiet)
{
	struct ahci *ahci = from_pci(dev);

	mutex_lock(&ahci->lock);
	ahci->quiet = quiet;
	if (quiet)
		wait_idle(ahci);
	else
		for (unsigned i = 0; i < AHCI_PORTS; i++)
			ahci_try(&ahci->port[i]);
	mutex_unlock(&ahci->lock);
}

static bool on_busy(struct pci_device *dev)
{
	struct ahci *ahci = from_pci(dev);
	bool busy = false;

	mutex_lock(&ahci->lock);
	for (unsigned i = 0; i < AHCI_PORTS; i++)
		busy |= ahci->port[i].port.active;
	mutex_unlock(&ahci->lock);
	return busy;
}

static void describe_port(struct ahci_port *a, struct state *s)
{
	bool waits = false;

	state_u64(s, "list", &a->list);
	state_u64(s, "fis", &a->fis);
	state_u32(s, "status", &a->status);
	state_u32(s, "enable", &a->enable);
	state_u32(s, "command", &a->command);
	state_u32(s, "signature", &a->signature);
	state_u32(s, "sata_control", &a->sata_control);
	state_u32(s, "sata_error", &a->sata_error);
	state_u32(s, "issue", &a->issue);
	state_u8(s, "shown_status", &a->shown_status);
	state_u8(s, "shown_error", &a->shown_error);
	state_u32(s, "slot", &a->slot);
	state_bool(s, "stuck", &a->stuck);
	state_bool(s, "resetting", &a->resetting);
	state_u8(s, "select", &a->port.select);
	state_require(s,
		!(a->command & ~PORT_COMMAND_WRITABLE) && !(a->status & ~PORT_STATUS_CLEARABLE),
		"bits that no register has");
	state_require(s, a->slot < AHCI_SLOTS && !(a->port.select & SELECT_SECOND),
		"a slot or a drive that is not there");
	ata_describe_command(&a->port, &waits, s);
	/* Every command is at its end while the controller stands still. */
	state_require(s, a->port.phase == ATA_IDLE && !a->port.left && !a->port.current && !waits,
		"a command that has not ended");
}

static void on_describe(struct pci_device *dev, struct state *s)
{
	struct ahci *ahci = from_pci(dev);

	mutex_lock(&ahci->lock);
	state_begin(s, "ahci", pci_instance(dev), 1);
	state_u32(s, "control", &ahci->control);
	state_require(s, !(ahci->control & ~CONTROL_INTERRUPTS), "bits that no register has");
	state_end(s);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *a = &ahci->port[i];

		state_begin(s, "ahci-port", i, 1);
		ata_describe_drive(&a->port.drive[0], 0, s);
		describe_port(a, s);
		state_end(s);
		if (!state_ok(s)) /* nobody uses it any more but to destroy it */
			a->port.current = 0;
	}
	mutex_unlock(&ahci->lock);
}

static const struct pci_device_ops pci_ops = {.reset = on_reset,
	.quiesce = on_quiesce,
	.busy = on_busy,
	.describe = on_describe};

int ahci_create(struct pci_bus *bus, struct memory *memory,
	const struct ata_drive_config drive[AHCI_PORTS], struct ahci **out, struct error *err)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
		.device = 0x2922,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x010601,
		.revision = 2};
	struct ahci *ahci = calloc(1, sizeof *ahci);
	int r;

	*out = ahci;
	if (!ahci)
		return error_nomem(err);
	ahci->memory = memory;
	mutex_init(&ahci->lock);
	pthread_cond_init(&ahci->idle, NULL);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		struct ahci_port *a = &ahci->port[i];

		a->ahci = ahci;
		ata_port_init(&a->port, &ahci_port_ops, &ahci->lock, &ahci->idle);
		ata_put_drive(&a->port, 0, &drive[i]);
	}
	pci_device_init(&ahci->pci, "AHCI controller", &ids, &pci_ops);
	pci_use_intx(&ahci->pci);
	on_reset(&ahci->pci);
	r = pci_add_bar(&ahci->pci, BAR, BAR_SIZE, 0, &ops, ahci, &ahci->lock);
	return r ? error_set(err, -r, "AHCI: no place for its registers")
		 : pci_bus_add(bus, &ahci->pci, err);
}

void ahci_destroy(struct ahci *ahci)
{
	if (!ahci)
		return;
	mutex_lock(&ahci->lock);
	ahci->quiet = true;
	wait_idle(ahci);
	mutex_unlock(&ahci->lock);
	if (ahci->pci.bus)
		pci_bus_remove(&ahci->pci, NULL);
	pci_device_destroy(&ahci->pci);
	pthread_cond_destroy(&ahci->idle);
	mutex_destroy(&ahci->lock);
	free(ahci);
}

unsigned ahci_slot(const struct ahci *ahci)
{
	return ahci->pci.slot;
}

struct ata_drive *ahci_drive(struct ahci *ahci, unsigned n)
{
	return &ahci->port[n].port.drive[0];
}
