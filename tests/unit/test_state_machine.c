/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's state: out of one and into another, and states that are not one's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "../layouts.h"
#include "base/io.h"
#include "cpu/describe.h"
#include "machine/chipset/pm.h"
#include "machine/internal.h"
#include "machine/pci/bus.h"
#include "state_rig.h"

#define DISK (64u << 10)

static void put(struct rig *rig, uint64_t port, unsigned size, uint64_t value)
{
	bus_write(machine_io(rig->machine), port, size, value);
}

static uint64_t get(struct rig *rig, uint64_t port, unsigned size)
{
	return bus_read(machine_io(rig->machine), port, size);
}

static struct cpu_state *cpu(struct rig *rig, unsigned n)
{
	return &machine_vcpu(rig->machine, n)->state;
}

/* Traces of a guest in all of it. */
static void use(struct rig *rig)
{
	struct cpu_state *c = cpu(rig, 1);

	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = 0x1111111111111111ull * i;
	c->rflags = 0x202;
	c->cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
	c->cr3 = 0x1000;
	c->cr4 = CR4_PAE;
	c->efer = EFER_LME | EFER_LMA | EFER_NXE;
	c->seg[SEG_CS].attr = 0xa09b;
	c->seg[SEG_CS].base = 0;
	c->rip = 0xffffffff81000000;
	c->lstar = 0xffffffff81234567;
	c->xcr0 = 7;
	c->xsave[512] = 7;
	memset(c->xsave + 160, 0x5a, 256);
	memset(c->xsave + 576, 0xa5, 256);
	c->tsc_offset = -1234567890;
	c->tsc_adjust = 1234567;
	put(rig, 0x21, 1, 0x5b); /* interrupt mask */
	put(rig, 0x43, 1, 0x34); /* timer 0: rate generator */
	put(rig, 0x40, 1, 0x9c);
	put(rig, 0x40, 1, 0x2e);
	put(rig, 0x3ff, 1, 0x77); /* serial scratch */
	put(rig, PM1_EVENT + 2, 2, 0x100);
	put(rig, 0x70, 1, 0x40);
	put(rig, 0x71, 1, 0x66); /* CMOS memory */
	put(rig, 0xcf8, 4, 0x80000804);
	put(rig, 0xcfc, 2, 6); /* the disk: memory, bus master */
	bus_write(machine_mmio(rig->machine), 0xfec00000, 4, 0x10);
	bus_write(machine_mmio(rig->machine), 0xfec00010, 4, 0x1a55);
	assert_int_equal(memory_write(machine_memory(rig->machine), 0x7123, "guest", 6), 0);
}

static void moves(void **unused)
{
	struct rig from, to;
	struct bytes b = {0};
	struct error err = {0};
	struct cpu_state was;
	char text[6];

	assert_true(rig_open(&from, DISK) && rig_open(&to, DISK));
	use(&from);
	was = *cpu(&from, 1);
	assert_int_equal(rig_save(&from, &b, &err), 0);
	/* It could go on: nothing has changed. */
	assert_memory_equal(cpu(&from, 1), &was, sizeof was);
	assert_int_equal(rig_load(&to, &b, &err), 0);
	assert_string_equal(err.text, "");
	assert_int_equal(memory_read(machine_memory(to.machine), 0x7123, text, 6), 0);
	assert_string_equal(text, "guest");
	assert_memory_equal(cpu(&to, 1)->gpr, was.gpr, sizeof was.gpr);
	assert_int_equal(cpu(&to, 1)->rip, was.rip);
	assert_int_equal(cpu(&to, 1)->efer, was.efer);
	assert_int_equal(cpu(&to, 1)->tsc_adjust, 1234567);
	assert_int_equal(cpu(&to, 1)->lstar, was.lstar);
	assert_memory_equal(cpu(&to, 1)->xsave, was.xsave, 832);
	assert_int_equal(get(&to, 0x21, 1), 0x5b);
	assert_int_equal(get(&to, 0x3ff, 1), 0x77);
	assert_int_equal(get(&to, PM1_EVENT + 2, 2), 0x100);
	assert_int_equal(get(&to, 0xcfc, 2), 6);
	put(&to, 0x70, 1, 0x40);
	assert_int_equal(get(&to, 0x71, 1), 0x66);
	put(&to, 0x43, 1, 0xe2); /* latches timer 0's status */
	assert_int_equal(get(&to, 0x40, 1) & 0x3f, 0x34);
	assert_int_equal(bus_read(machine_mmio(to.machine), 0xfec00010, 4), 0x1a55 & ~0x1000);
	/* Both clocks and TSCs go on together. */
	assert_true(llabs(cpu(&to, 1)->tsc_offset - was.tsc_offset) < 2000000000ll);
	free(b.data);
	rig_close(&from);
	rig_close(&to);
}

static bool stands;

static void note_quiesce(struct pci_device *dev, bool quiet)
{
	stands = quiet;
}

/* What a guest has asked of its disks waits until they are its own, which may be after its state has come. */
static void devices_stand_until_the_end(void **unused)
{
	struct pci_device_ops ops;
	struct pci_device *disk;
	struct machine_head head = {0};
	struct rig from, to;
	struct bytes b = {0};
	struct error err = {0};
	struct state *s;

	assert_true(rig_open(&from, DISK) && rig_open(&to, DISK));
	disk = machine_pci(to.machine)->at[1][0];
	ops = *disk->ops;
	ops.quiesce = note_quiesce;
	disk->ops = &ops;
	assert_int_equal(rig_save(&from, &b, &err), 0);
	assert_int_equal(state_load(&(struct state_io){.read = bytes_read, .ctx = &b}, "saved", &s,
				 &err),
		0);
	machine_describe_head(&head, s);
	machine_load(to.machine, s);
	assert_int_equal(state_finish(s), 0);
	assert_true(stands);
	assert_int_equal(machine_load_end(to.machine, &err), 0);
	assert_false(stands);
	state_destroy(s);
	free(b.data);
	rig_close(&from);
	rig_close(&to);
}

/* --- what earlier programs saved ------------------------------------------------------------- */

/*
 * tests/unit/saved/machine-N.state are states of the machine of use(), each by the program of its day. One
 * is added whenever a section changes: DACH_STATE_TO=FILE tests/unit/test_state_machine writes it.
 */
static void save_to_file(const char *path)
{
	struct bytes b = {0};
	FILE *file = fopen(path, "w");
	struct rig rig;

	assert_non_null(file);
	assert_true(rig_open(&rig, DISK));
	use(&rig);
	assert_int_equal(rig_save(&rig, &b, NULL), 0);
	rig_close(&rig);
	assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
	fclose(file);
	free(b.data);
}

static void assert_used(struct rig *rig)
{
	char text[6];

	assert_int_equal(memory_read(machine_memory(rig->machine), 0x7123, text, 6), 0);
	assert_string_equal(text, "guest");
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(cpu(rig, 1)->gpr[i], 0x1111111111111111ull * i);
	assert_int_equal(cpu(rig, 1)->rip, 0xffffffff81000000);
	assert_int_equal(cpu(rig, 1)->xsave[160], 0x5a);
	assert_int_equal(cpu(rig, 1)->xsave[576], 0xa5);
	assert_int_equal(get(rig, 0x21, 1), 0x5b);
	assert_int_equal(get(rig, 0x3ff, 1), 0x77);
	assert_int_equal(get(rig, PM1_EVENT + 2, 2), 0x100);
	assert_int_equal(get(rig, 0xcfc, 2), 6);
	put(rig, 0x70, 1, 0x40);
	assert_int_equal(get(rig, 0x71, 1), 0x66);
	put(rig, 0x43, 1, 0xe2);
	assert_int_equal(get(rig, 0x40, 1) & 0x3f, 0x34);
	assert_int_equal(bus_read(machine_mmio(rig->machine), 0xfec00010, 4), 0x1a55 & ~0x1000);
}

static void states_of_earlier_programs_load(void **unused)
{
	unsigned n = 0;

	if (getenv("DACH_STATE_TO"))
		save_to_file(getenv("DACH_STATE_TO"));
	for (;; n++) {
		struct bytes b = {0};
		struct error err = {0};
		struct rig rig;
		char path[512];
		int fd;

		snprintf(path, sizeof path, "%s/saved/machine-%u.state", TEST_SOURCE_DIR, n + 1);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		assert_int_equal(io_read_file(fd, 1 << 20, (char **)&b.data, &b.len), 0);
		close(fd);
		assert_true(rig_open(&rig, DISK));
		if (rig_load(&rig, &b, &err))
			fail_msg("%s: %s", path, err.text);
		assert_used(&rig);
		free(b.data);
		rig_close(&rig);
	}
	assert_true(n >= 1);
}

/*
 * Sections come in the order in which they always have: a state of an older version loads. What is new
 * goes last, or is optional.
 */
static void sections_keep_their_order(void **unused)
{
	static const char *const order[] = {"guest", "cpuid", "memory", "clock", "machine", "lapic",
		"cpu", "lapic", "cpu", "ioapic", "pic", "pit", "rtc", "pm", "serial", "pvclock",
		"pci", "pci-device", "pci-device", "virtio-blk", "pci-device", "virtio-console",
		"pci-device", "virtio-rng", "end"};
	struct rig rig;
	struct bytes b = {0};
	struct error err = {0};
	size_t at = 16, n = 0;

	assert_true(rig_open(&rig, DISK));
	use(&rig);
	assert_int_equal(rig_save(&rig, &b, &err), 0);
	while (at < b.len) {
		const char *name = (const char *)b.data + at;
		uint32_t len;

		assert_true(at + 48 <= b.len);
		memcpy(&len, name + 40, sizeof len);
		/* One "memory" for as many as there are. */
		if (!n || strcmp(order[n - 1], "memory") || strcmp(name, "memory")) {
			assert_true(n < sizeof order / sizeof *order);
			assert_string_equal(name, order[n++]);
		}
		at += 48 + len;
	}
	assert_int_equal(n, sizeof order / sizeof *order);
	free(b.data);
	rig_close(&rig);
}

static const uint8_t odd_places[] = {7, 1, 30};

static void move_devices(struct rig *rig)
{
	virtio_rng_destroy(rig->rng);
	virtio_console_destroy(rig->console);
	virtio_blk_destroy(rig->blk);
	pci_bus_places(machine_pci(rig->machine), odd_places, sizeof odd_places);
	assert_true(rig_devices(rig));
}

/* What came and went left the devices in other slots: who goes on from there is told, and puts them there. */
static void devices_in_other_places(void **unused)
{
	struct rig from, to;
	struct machine_head head = {0};
	struct bytes b = {0};
	struct error err = {0};
	struct state *s;

	assert_true(rig_open(&from, DISK));
	assert_true(rig_open(&to, DISK));
	move_devices(&from);
	assert_int_equal(virtio_blk_slot(from.blk), 7);
	assert_int_equal(virtio_console_slot(from.console), 1);
	assert_int_equal(virtio_rng_slot(from.rng), 30);
	machine_set_places(from.machine, odd_places, sizeof odd_places);
	assert_int_equal(rig_save(&from, &b, &err), 0);
	assert_true(rig_load(&to, &b, &err) < 0);
	b.at = 0;
	assert_int_equal(state_load(BYTES_FROM(&b), "saved", &s, &err), 0);
	machine_describe_head(&head, s);
	state_destroy(s);
	assert_memory_equal(head.place, odd_places, sizeof odd_places);
	assert_int_equal(head.place[3], 0);
	move_devices(&to);
	b.at = 0;
	err.text[0] = '\0';
	if (rig_load(&to, &b, &err))
		fail_msg("%s", err.text);
	machine_set_places(from.machine, (const uint8_t[]){32}, 1);
	b.len = b.at = 0;
	assert_int_equal(rig_save(&from, &b, &err), 0);
	err.text[0] = '\0';
	assert_true(rig_load(&to, &b, &err) < 0);
	assert_non_null(strstr(err.text, "a PCI slot that cannot be"));
	free(b.data);
	rig_close(&to);
	rig_close(&from);
}

/* The state, changed at some byte or cut off there, into machines; not one may break. */
static void hostile(void **unused)
{
	struct rig rig;
	struct bytes b = {0};
	struct error err = {0};
	unsigned taken = 0;

	assert_true(rig_open(&rig, DISK));
	use(&rig);
	assert_int_equal(rig_save(&rig, &b, &err), 0);
	for (size_t at = 0; at < b.len; at += at % 5 + 3) {
		struct bytes copy = {.data = malloc(b.len), .len = b.len};

		memcpy(copy.data, b.data, b.len);
		copy.data[at] ^= 1u << at % 8;
		err.text[0] = '\0';
		assert_true(rig_load(&rig, &copy, &err) < 0);
		bytes_seal(&copy);
		copy.at = 0;
		taken += !rig_load(&rig, &copy, &err);
		free(copy.data);

		copy = (struct bytes){.data = b.data, .len = at};
		err.text[0] = '\0';
		assert_true(rig_load(&rig, &copy, &err) < 0);
		assert_true(err.text[0]);
	}
	/* Most of the bytes are values that may be any. */
	assert_true(taken > 100);
	free(b.data);
	rig_close(&rig);
}

/* A local APIC's registers on the way: interrupts in service and waiting, priorities, the timer. */
/* The registers of a processor in a layout: each component has a byte of its own. */
static void fill_vectors(struct cpu_state *c, const struct xsave_layout *area, uint64_t bv)
{
	memset(c->xsave + XSAVE_END, 0, sizeof c->xsave - XSAVE_END);
	for (unsigned k = 2; k < COMP_COUNT; k++)
		if (bv >> k & 1)
			memset(c->xsave + area->offset[k], 0xa0 + k, area->size[k]);
	*xsave_bv(c->xsave) = bv;
}

/* A state from a host with one layout of the XSAVE area goes on where it is another. */
static void layouts_move(void **unused)
{
	for (unsigned n = 0; n < 16; n++) {
		const struct layout *there = &layouts[n & 1], *here = &layouts[n >> 1 & 1];
		uint64_t bv = (const uint64_t[]){0xe7, 0x43, 0x87, 0x23}[n >> 2];
		struct rig from, to;
		struct bytes b = {0};
		struct error err = {0};
		static struct cpu_state expected;

		assert_true(rig_open(&from, DISK) && rig_open(&to, DISK));
		use(&from);
		from.policy.area = there->area;
		layout_tell(&from.policy, there, 7);
		to.policy = from.policy;
		to.policy.area = here->area;
		cpu(&from, 1)->xcr0 = 0xe7;
		fill_vectors(cpu(&from, 1), &there->area, bv);
		assert_int_equal(rig_save(&from, &b, &err), 0);
		if (rig_load(&to, &b, &err))
			fail_msg("%s", err.text);
		fill_vectors(&expected, &here->area, bv);
		assert_memory_equal(cpu(&to, 1)->xsave + XSAVE_BV, expected.xsave + XSAVE_BV,
			sizeof expected.xsave - XSAVE_BV);
		assert_memory_equal(cpu(&to, 1)->xsave, cpu(&from, 1)->xsave, XSAVE_BV);
		rig_close(&from);
		rig_close(&to);
		free(b.data);
	}
}

/* MXCSR.MM, which a guest may set where this host has it, is for those alone that are told of it. */
static void misaligned_bit_moves(void **unused)
{
	for (unsigned told = 0; told < 2; told++) {
		struct rig from, to;
		struct bytes b = {0};
		struct error err = {0};

		assert_true(rig_open(&from, DISK) && rig_open(&to, DISK));
		use(&from);
		if (told)
			from.policy.leaf[from.policy.count++] =
				(struct cpuid_leaf){.leaf = 0x80000001, .ecx = 1u << 7};
		to.policy = from.policy;
		*(uint32_t *)(cpu(&from, 1)->xsave + XSAVE_MXCSR) = MXCSR_INITIAL | MXCSR_MM;
		assert_int_equal(rig_save(&from, &b, &err), 0);
		assert_int_equal(rig_load(&to, &b, &err), 0);
		assert_int_equal(*(uint32_t *)(cpu(&to, 1)->xsave + XSAVE_MXCSR),
			told ? MXCSR_INITIAL | MXCSR_MM : MXCSR_INITIAL);
		rig_close(&from);
		rig_close(&to);
		free(b.data);
	}
}

static void apic_moves(void **unused)
{
	struct rig from, to;
	struct bytes b = {0};
	struct error err = {0};
	struct lapic *was, *is;
	uint32_t page[LAPIC_PAGE];

	assert_true(rig_open(&from, DISK) && rig_open(&to, DISK));
	was = &from.machine->lapic[1];
	is = &to.machine->lapic[1];
	lapic_mmio_write(was, 0xf0, 4, 0x1ff);
	lapic_mmio_write(was, 0xd0, 4, 0x02000000);
	lapic_mmio_write(was, 0x350, 4, 0x700);
	lapic_raise(was, 0x55, true);
	assert_int_equal(lapic_ack(was), 0x55);
	lapic_raise(was, 0x41, false);
	lapic_raise(was, 0x61, false);
	lapic_mmio_write(was, 0x320, 4, 0x200ee); /* periodic */
	lapic_mmio_write(was, 0x3e0, 4, 0);       /* by 2 */
	lapic_mmio_write(was, 0x380, 4, 500000000);
	assert_int_equal(rig_save(&from, &b, &err), 0);
	assert_int_equal(rig_load(&to, &b, &err), 0);
	assert_int_equal(lapic_mmio_read(is, 0xd0, 4), 0x02000000);
	assert_int_equal(lapic_mmio_read(is, 0x350, 4), 0x700);
	assert_int_equal(lapic_mmio_read(is, 0xa0, 4), 0x50);
	assert_int_equal(lapic_mmio_read(is, 0x1a0, 4), 1u << 0x15); /* level-triggered */
	assert_int_equal(lapic_ack(is), 0x61);
	assert_int_equal(lapic_ack(is), -1); /* 0x41 is below what is in service */
	lapic_mmio_write(is, 0xb0, 4, 0);
	lapic_mmio_write(is, 0xb0, 4, 0);
	assert_int_equal(lapic_ack(is), 0x41);
	assert_in_range(lapic_mmio_read(is, 0x390, 4), 400000000, 500000000);
	assert_int_equal(is->period, 1000000000);
	/* Due by now, and not lost: a count of 1 is the least. */
	lapic_mmio_write(was, 0x320, 4, 0xee);
	lapic_mmio_write(was, 0x380, 4, 1);
	lapic_page_get(was, page);
	assert_true(page[0x39] == 1 || (page[0x27] >> 14 & 1));
	free(b.data);
	rig_close(&from);
	rig_close(&to);
}

/* Registers that no processor has together. */
static void impossible_registers(void **unused)
{
	static const struct cpuid_policy policy = {.phys_bits = 40, .virt_bits = 48, .xcr0 = 7};
	struct cpu_state good, c;

	cpu_state_reset(&good);
	good.cr0 = CR0_PE | CR0_PG | CR0_ET;
	good.cr4 = CR4_PAE;
	good.efer = EFER_LME | EFER_LMA;
	good.seg[SEG_CS].attr = 0xa09b;
	good.seg[SEG_CS].base = 0;
	assert_null(cpu_state_check(&good, &policy));
#define IMPOSSIBLE(change)                                     \
	do {                                                   \
		c = good;                                      \
		c.change;                                      \
		assert_non_null(cpu_state_check(&c, &policy)); \
	} while (0)
	IMPOSSIBLE(cr0 &= ~CR0_PE);
	IMPOSSIBLE(cr0 |= 1u << 7);
	IMPOSSIBLE(cr0 |= CR0_NW);
	IMPOSSIBLE(cr3 = 1ull << 40);
	IMPOSSIBLE(cr4 = 0);
	IMPOSSIBLE(cr4 |= 1u << 30);
	IMPOSSIBLE(efer &= ~EFER_LMA);
	IMPOSSIBLE(efer |= 2);
	IMPOSSIBLE(rip = 1ull << 47);
	IMPOSSIBLE(seg[SEG_CS].attr |= SEG_ATTR_DB);
	IMPOSSIBLE(rflags = 0);
	IMPOSSIBLE(rflags |= FL_VM);
	IMPOSSIBLE(rflags |= 1ull << 40);
	IMPOSSIBLE(cpl = 4);
	IMPOSSIBLE(lstar = 1ull << 60);
	IMPOSSIBLE(gdtr.base = 1ull << 50);
	IMPOSSIBLE(seg[SEG_DS].base = 1ull << 32);
	IMPOSSIBLE(pat = 2);
	IMPOSSIBLE(xcr0 = 6);
	IMPOSSIBLE(xcr0 = 5);
	IMPOSSIBLE(xcr0 = 0xe7);
	IMPOSSIBLE(spec_ctrl = 1);
	IMPOSSIBLE(dr7 = 1ull << 32);
	c = good;
	c.sti_shadow = SHADOW_MOV_SS;
	assert_null(cpu_state_check(&c, &policy));
	IMPOSSIBLE(sti_shadow = 3);
	IMPOSSIBLE(event.pending = 2);
#undef IMPOSSIBLE
}

static void other_guest(void **unused)
{
	struct rig from, to;
	struct bytes b = {0};
	struct error err = {0};

	assert_true(rig_open(&from, DISK) && rig_open(&to, 2 * DISK));
	assert_int_equal(rig_save(&from, &b, &err), 0);
	assert_true(rig_load(&to, &b, &err) < 0);
	assert_non_null(strstr(err.text, "disk had 65536 bytes"));
	free(b.data);
	rig_close(&from);
	rig_close(&to);
}

static int count_seen(void *ctx, uint64_t bytes)
{
	uint64_t *seen = ctx;

	*seen += bytes;
	return 0;
}

static int stop_at_once(void *ctx, uint64_t bytes)
{
	return -ECANCELED;
}

static int write_nothing(void *ctx, const void *data, size_t len)
{
	return 0;
}

static void loop_once(struct rig *rig)
{
	struct loop_work stop = {.run = (void (*)(void *))loop_stop, .ctx = rig->loop};

	loop_post(rig->loop, &stop);
	loop_run(rig->loop);
}

/* While it is saved nobody makes it run, a reset waits, and no second one begins. */
static void stands_while_saved(void **unused)
{
	uint64_t seen = 0;
	const struct state_io io = {.write = write_nothing, .seen = count_seen, .ctx = &seen};
	struct error err = {0};
	struct state *s, *other;
	struct rig rig;

	assert_true(rig_open(&rig, DISK));
	use(&rig);
	assert_int_equal(state_save(&io, "saved", &s, &err), 0);
	assert_int_equal(state_save(&io, "other", &other, NULL), 0);
	assert_int_equal(machine_save_begin(rig.machine, s), 0);
	machine_save_memory(rig.machine, s);
	assert_int_equal(seen, machine_memory(rig.machine)->size);
	machine_resume(rig.machine);
	assert_true(machine_paused(rig.machine));
	assert_int_equal(machine_save_begin(rig.machine, other), -EBUSY);
	machine_reset(rig.machine);
	loop_once(&rig);
	assert_int_equal(get(&rig, 0x21, 1), 0x5b);
	machine_save_devices(rig.machine, s);
	assert_int_equal(state_finish(s), 0);
	machine_save_end(rig.machine);
	assert_true(rig.machine->resetting);
	loop_once(&rig);
	assert_int_not_equal(get(&rig, 0x21, 1), 0x5b);
	state_destroy(s);
	state_destroy(other);
	rig_close(&rig);
}

/* Memory without an end is not looked through for nobody. */
static void save_can_be_stopped(void **unused)
{
	const struct state_io io = {.write = write_nothing, .seen = stop_at_once};
	struct error err = {0};
	struct state *s;
	struct rig rig;

	assert_true(rig_open(&rig, DISK));
	assert_int_equal(state_save(&io, "saved", &s, &err), 0);
	machine_save(rig.machine, s);
	assert_int_equal(state_finish(s), -ECANCELED);
	state_destroy(s);
	machine_resume(rig.machine);
	assert_false(machine_paused(rig.machine));
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves),
		cmocka_unit_test(devices_stand_until_the_end),
		cmocka_unit_test(states_of_earlier_programs_load),
		cmocka_unit_test(sections_keep_their_order),
		cmocka_unit_test(layouts_move),
		cmocka_unit_test(misaligned_bit_moves),
		cmocka_unit_test(devices_in_other_places),
		cmocka_unit_test(hostile),
		cmocka_unit_test(apic_moves),
		cmocka_unit_test(impossible_registers),
		cmocka_unit_test(other_guest),
		cmocka_unit_test(stands_while_saved),
		cmocka_unit_test(save_can_be_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
