/* SPDX-License-Identifier: Apache-2.0 */
/* What the board asks of the machine: interrupts to the processors, power, the first serial port. */
#include <errno.h>

#include "machine/chipset/pm.h"
#include "machine/internal.h"

#define IRQ_PIT 0
#define GSI_PIT 2 /* the MADT says so */

void machine_irq(void *ctx, unsigned irq, bool level)
{
	struct machine *machine = ctx;

	if (irq < 16)
		pic_set(machine_pic(machine), irq, level);
	ioapic_set(machine_ioapic(machine), irq == IRQ_PIT ? GSI_PIT : irq, level);
}

/* To the local APICs, from a device or the I/O APIC. */
static void wire_message(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *machine = ctx;

	if (machine->engine_apic)
		machine->engine_apic->message(machine->vm, addr, data);
	else
		lapic_msi(&machine->apics, addr, data);
}

static void wire_route(void *ctx, unsigned pin, uint64_t addr, uint32_t data)
{
	struct machine *machine = ctx;

	if (machine->engine_apic)
		machine->engine_apic->route(machine->vm, pin, addr, data);
}

/* The 8259s are the boot processor's. */
static void wire_intr(void *ctx)
{
	vcpu_kick(ctx, 0);
}

static int wire_notify_fd(void *ctx, uint64_t gpa, int fd, bool on)
{
	struct machine *machine = ctx;

	if (!machine->vm || !machine->config.engine->vm_notify_fd)
		return -ENOTSUP;
	return machine->config.engine->vm_notify_fd(machine->vm, gpa, fd, on);
}

static void wire_poweroff(void *ctx)
{
	machine_end(ctx, MACHINE_POWEROFF, NULL);
}

static void wire_reset(void *ctx)
{
	machine_guest_reset(ctx);
}

static void wire_panicked(void *ctx)
{
	machine_end(ctx, MACHINE_CRASH, NULL);
}

static void wire_reset_control(void *ctx, uint8_t value)
{
	struct machine *machine = ctx;

	pm_reset_control(board_find(&machine->board, &pm_device), value);
}

static void wire_ejected(void *ctx, uint32_t slots)
{
	struct machine *machine = ctx;

	if (machine->config.owner.ejected)
		machine->config.owner.ejected(machine->config.owner.ctx, slots);
}

static void wire_test_end(void *ctx)
{
	machine_end(ctx, MACHINE_TEST_END, NULL);
}

static int64_t wire_tsc_offset(void *ctx)
{
	struct machine *machine = ctx;

	return atomic_load(&machine->tsc_offset);
}

static void wire_serial_output(void *ctx, const uint8_t *data, size_t len)
{
	struct machine *machine = ctx;

	if (machine->config.owner.serial_output)
		machine->config.owner.serial_output(machine->config.owner.ctx, data, len);
}

static void wire_serial_room(void *ctx)
{
	struct machine *machine = ctx;

	if (machine->config.owner.serial_room)
		machine->config.owner.serial_room(machine->config.owner.ctx);
}

static void wire_firmware_text(void *ctx, char byte)
{
	struct machine *machine = ctx;

	machine->config.owner.firmware_text(machine->config.owner.ctx, byte);
}

static const struct board_owner wires = {
	.irq = machine_irq,
	.message = wire_message,
	.route = wire_route,
	.intr = wire_intr,
	.notify_fd = wire_notify_fd,
	.remap = machine_ask_remap,
	.poweroff = wire_poweroff,
	.reset = wire_reset,
	.panicked = wire_panicked,
	.reset_control = wire_reset_control,
	.ejected = wire_ejected,
	.test_end = wire_test_end,
	.tsc_offset = wire_tsc_offset,
	.serial_output = wire_serial_output,
	.serial_room = wire_serial_room,
	.firmware_text = wire_firmware_text,
};

int machine_board_init(struct machine *machine, struct error *err)
{
	const struct machine_config *config = &machine->config;
	struct board *board = &machine->board;
	int r;

	machine->board_owner = wires;
	if (!config->owner.firmware_text)
		machine->board_owner.firmware_text = NULL;
	machine->firmware = (struct board_firmware){.fd = config->firmware.fd,
		.name = config->firmware.name,
		.variables = config->variables.fd,
		.variables_name = config->variables.name,
		.vcpus = config->vcpus,
		.boot = config->boot ? config->boot : ""};
	board->owner = &machine->board_owner;
	board->ctx = machine;
	board->loop = config->loop;
	board->memory = &machine->mem;
	board->tsc_khz = config->cpuid->tsc_khz;
	board->test_devices = config->test_devices;
	board->keyboard = config->keyboard;
	board->firmware = config->firmware.name ? &machine->firmware : NULL;
	board_init(board);
	r = machine_apics_init(machine, err);
	if (!r)
		r = machine_paravirt_init(machine, err);
	if (!r)
		r = board_populate(board, err);
	return r;
}
