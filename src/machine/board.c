/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's devices and the wires between them. */
#include <errno.h>
#include <string.h>

#include "machine/internal.h"

#define PORT_FPU 0xf0
#define IRQ_PIT 0
#define IRQ_SERIAL_COM1 4
#define IRQ_RTC 8
#define GSI_PIT 2 /* the MADT says so */
#define GSI_PCI 16

void machine_irq(struct machine *machine, unsigned gsi, bool level)
{
	if (gsi < 16)
		pic_set(&machine->pic, gsi, level);
	ioapic_set(&machine->ioapic, gsi == IRQ_PIT ? GSI_PIT : gsi, level);
}

/* Wires: device to interrupt controller. */

static void pic_raised(void *ctx)
{
	vcpu_kick(ctx, 0);
}

static void pit_irq(void *ctx, bool level)
{
	machine_irq(ctx, IRQ_PIT, level);
}

static void rtc_irq(void *ctx, bool level)
{
	machine_irq(ctx, IRQ_RTC, level);
}

static void serial_irq(void *ctx, bool level)
{
	machine_irq(ctx, IRQ_SERIAL_COM1, level);
}

static void serial_output(void *ctx, const uint8_t *data, size_t len)
{
	struct machine *machine = ctx;

	if (machine->config.serial_output)
		machine->config.serial_output(machine->config.serial_ctx, data, len);
}

static void serial_room(void *ctx)
{
	struct machine *machine = ctx;

	if (machine->config.serial_room)
		machine->config.serial_room(machine->config.serial_ctx);
}

/* To the local APICs, from a device or the I/O APIC. */
static void message(void *ctx, uint64_t addr, uint32_t data)
{
	struct machine *machine = ctx;

	if (machine->engine_apics)
		machine->config.engine->vm_message(machine->vm, addr, data);
	else
		lapic_msi(&machine->apics, addr, data);
}

static void ioapic_route(void *ctx, unsigned pin, uint64_t addr, uint32_t data)
{
	struct machine *machine = ctx;

	if (machine->engine_apics)
		machine->config.engine->vm_route(machine->vm, pin, addr, data);
}

static int pci_notify_fd(void *ctx, uint64_t gpa, int fd, bool on)
{
	struct machine *machine = ctx;

	if (!machine->vm || !machine->config.engine->vm_notify_fd)
		return -ENOTSUP;
	return machine->config.engine->vm_notify_fd(machine->vm, gpa, fd, on);
}

static void pci_intx(void *ctx, unsigned pin, bool level)
{
	machine_irq(ctx, GSI_PCI + pin, level);
}

static void pci_reset_control(void *ctx, uint8_t value)
{
	struct machine *machine = ctx;

	pm_reset_control(&machine->pm, value);
}

/* Power */

static void pm_sci(void *ctx, bool level)
{
	machine_irq(ctx, PM_SCI, level);
}

static void pm_poweroff(void *ctx)
{
	machine_end(ctx, MACHINE_POWEROFF, NULL);
}

static void pm_ask_reset(void *ctx)
{
	machine_reset(ctx);
}

static void pm_panicked(void *ctx)
{
	machine_end(ctx, MACHINE_CRASH, NULL);
}

static const struct pm_ops pm_ops = {
	.sci = pm_sci,
	.poweroff = pm_poweroff,
	.reset = pm_ask_reset,
	.panicked = pm_panicked,
};

/* The coprocessor's error: what is written to the port does not count. */
static void fpu_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	machine_irq(ctx, IRQ_FPU, false);
}

static uint64_t fpu_read(void *ctx, uint64_t offset, unsigned size)
{
	return ~0ull;
}

static const struct bus_ops fpu_ops = {.read = fpu_read, .write = fpu_write};

/* For tests */

static void test_end(void *ctx)
{
	machine_end(ctx, MACHINE_TEST_END, NULL);
}

static void test_irq(void *ctx, unsigned gsi, bool level)
{
	machine_irq(ctx, gsi, level);
}

/* Local APICs */

static void apic_nmi(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	machine->config.engine->vcpu_nmi(machine->vcpu[index].engine);
	vcpu_request(&machine->vcpu[index], VCPU_NMI);
}

static void apic_init(void *ctx, unsigned index)
{
	struct machine *machine = ctx;

	/* A start-up message that came before does not survive it. */
	atomic_fetch_and(&machine->vcpu[index].requests, ~VCPU_SIPI);
	vcpu_request(&machine->vcpu[index], VCPU_INIT);
}

static void apic_sipi(void *ctx, unsigned index, uint8_t vector)
{
	struct machine *machine = ctx;

	atomic_store(&machine->vcpu[index].sipi_vector, vector);
	vcpu_request(&machine->vcpu[index], VCPU_SIPI);
}

static void apic_eoi(void *ctx, uint8_t vector)
{
	struct machine *machine = ctx;

	ioapic_eoi(&machine->ioapic, vector);
}

static void apic_arm(void *ctx, unsigned index, uint64_t deadline)
{
	struct machine *machine = ctx;

	loop_timer_arm(&machine->apic_timer[index], deadline);
}

static void apic_timer_fired(void *ctx)
{
	struct lapic *lapic = ctx;
	uint64_t next = lapic_timer_check(lapic, clock_now());

	if (next)
		lapic->set->ops.arm(lapic->set->ctx, lapic->index, next);
}

static int apic_extint_pending(void *ctx)
{
	struct machine *machine = ctx;

	return pic_pending(&machine->pic);
}

static int apic_extint_ack(void *ctx)
{
	struct machine *machine = ctx;

	return pic_ack(&machine->pic);
}

static bool apic_page_fits(void *ctx, uint64_t gpa)
{
	struct machine *machine = ctx;

	return !(gpa >> machine->config.cpuid->phys_bits) &&
		!memory_ptr(&machine->mem, gpa, LAPIC_SIZE);
}

static const struct lapic_ops apic_ops = {
	.kick = vcpu_kick,
	.nmi = apic_nmi,
	.init = apic_init,
	.sipi = apic_sipi,
	.eoi = apic_eoi,
	.arm = apic_arm,
	.tsc = machine_tsc,
	.extint_pending = apic_extint_pending,
	.extint_ack = apic_extint_ack,
	.page_fits = apic_page_fits,
};

static void init_apics(struct machine *machine)
{
	lapic_set_init(&machine->apics, machine->lapic, machine->config.vcpus,
		machine->config.cpuid->tsc_khz, &apic_ops, machine);
	for (unsigned i = 0; i < machine->config.vcpus; i++)
		loop_timer_init(&machine->apic_timer[i], machine->config.loop, apic_timer_fired,
			&machine->lapic[i]);
}

/* All parts are made even if one fails, so that all can be taken apart. */
int board_init(struct machine *machine, struct error *err)
{
	const struct serial_backend serial = {.ctx = machine,
		.output = serial_output,
		.room = serial_room,
		.irq = serial_irq};
	const struct pci_host host = {.ctx = machine,
		.msi = message,
		.intx = pci_intx,
		.reset_control = pci_reset_control,
		.notify_fd = machine->config.engine->vm_notify_fd ? pci_notify_fd : NULL};
	const struct ioapic_host ioapic = {.ctx = machine,
		.message = message,
		.route = ioapic_route};
	struct loop *loop = machine->config.loop;
	int r[9] = {0};

	bus_init(&machine->io);
	bus_init(&machine->mmio);
	init_apics(machine);
	r[0] = ioapic_init(&machine->ioapic, &machine->mmio, &ioapic);
	r[1] = pic_init(&machine->pic, &machine->io, pic_raised, machine);
	r[2] = pit_init(&machine->pit, &machine->io, loop, pit_irq, machine);
	r[3] = rtc_init(&machine->rtc, &machine->io, loop, rtc_irq, machine);
	r[4] = serial_init(&machine->serial, &machine->io, SERIAL_COM1, &serial);
	r[5] = pm_init(&machine->pm, &machine->io, &pm_ops, machine);
	r[6] = pci_bus_init(&machine->pci, &machine->io, &machine->mmio, &host, err);
	r[8] = bus_map(&machine->io, PORT_FPU, 1, &fpu_ops, machine, NULL);
	if (machine->config.test_devices)
		r[7] = testdev_init(&machine->testdev, &machine->io, &machine->mmio, test_irq,
			test_end, machine);
	pvclock_init(&machine->clock, &machine->mem, machine->config.cpuid->tsc_khz);
	for (unsigned i = 0; i < 9; i++)
		if (r[i] < 0)
			return error_set(err, -r[i], "two devices at one address (part %u)", i);
	return 0;
}

void board_destroy(struct machine *machine)
{
	for (unsigned i = 0; i < machine->config.vcpus; i++)
		loop_timer_cancel(&machine->apic_timer[i]);
	pvclock_destroy(&machine->clock);
	pci_bus_destroy(&machine->pci);
	pm_destroy(&machine->pm);
	serial_destroy(&machine->serial);
	rtc_destroy(&machine->rtc);
	pit_destroy(&machine->pit);
	pic_destroy(&machine->pic);
	ioapic_destroy(&machine->ioapic);
	bus_destroy(&machine->mmio);
	bus_destroy(&machine->io);
}

/*
 * The interrupt controllers as a PC's firmware leaves them, for tests that begin in 16-bit code:
 * IRQ 0-7 at vector 8, IRQ 8-15 at 0x70.
 */
void board_firmware(struct machine *machine)
{
	static const struct {
		uint8_t port, value;
	} pic[] = {{0x20, 0x11}, {0x21, 8}, {0x21, 4}, {0x21, 1}, {0x21, 0xb8}, {0xa0, 0x11},
		{0xa1, 0x70}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0x87}};

	for (unsigned i = 0; i < sizeof pic / sizeof *pic; i++)
		bus_write(&machine->io, pic[i].port, 1, pic[i].value);
}

void board_reset(struct machine *machine)
{
	pci_bus_reset(&machine->pci);
	pm_reset(&machine->pm);
	serial_reset(&machine->serial);
	rtc_reset(&machine->rtc);
	pit_reset(&machine->pit);
	ioapic_reset(&machine->ioapic);
	pic_reset(&machine->pic);
	/* Last, since the others may still have sent something. */
	for (unsigned i = 0; i < machine->config.vcpus; i++)
		lapic_reset(&machine->lapic[i], false);
}
