/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine over an engine that is a few lines of C: each vCPU "runs" a
 * function that stands for its guest. Ends, resets, halts, start-up messages,
 * pauses, and that no wake-up is ever lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/lapic.h"
#include "machine/machine.h"
#include "machine/pm.h"

#define MIB 0x100000ull
#define CPUS 2

struct engine_vcpu {
	struct engine_vm *vm;
	unsigned index, step, boots;
	struct cpu_state state;
	atomic_bool forced, kicked, nmi, running;
	bool interruptible;
};

struct engine_vm {
	struct engine_vm_config config;
	struct engine_vcpu vcpu[CPUS];
	atomic_uint written;
};

typedef enum engine_exit program(struct engine_vcpu *vcpu, struct error *err);

static struct {
	program *program[CPUS];
	struct engine_vm *vm;
	struct machine *machine;
	struct loop *loop;
	struct loop_timer timer;
	unsigned stops, rounds, pauses;
	bool endless;
	char out[64];
	atomic_uint outs;
} test;

/* The engine */

static int fake_create(const struct engine_vm_config *config, struct engine_vm **out,
	struct error *err)
{
	*out = calloc(1, sizeof **out);
	(*out)->config = *config;
	test.vm = *out;
	return 0;
}

static void fake_destroy(struct engine_vm *vm)
{
	free(vm);
}

static int fake_map(struct engine_vm *vm, uint64_t gpa, uint64_t size, void *host, int fd,
	uint64_t offset, struct error *err)
{
	return 0;
}

static void fake_written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	vm->written++;
}

static int fake_vcpu_create(struct engine_vm *vm, unsigned index, struct engine_vcpu **out,
	struct error *err)
{
	*out = &vm->vcpu[index];
	(*out)->vm = vm;
	(*out)->index = index;
	(*out)->interruptible = true;
	return 0;
}

static void fake_vcpu_destroy(struct engine_vcpu *vcpu)
{
}

static enum engine_exit fake_run(struct engine_vcpu *vcpu, struct error *err)
{
	enum engine_exit exit;

	vcpu->running = true;
	exit = test.program[vcpu->index](vcpu, err);
	vcpu->running = false;
	return exit;
}

static void fake_kick(struct engine_vcpu *vcpu, bool force)
{
	vcpu->kicked = true;
	if (force)
		vcpu->forced = true;
}

static void fake_nmi(struct engine_vcpu *vcpu)
{
	vcpu->nmi = true;
}

static void fake_get(struct engine_vcpu *vcpu, struct cpu_state *state)
{
	assert_false(vcpu->running);
	*state = vcpu->state;
}

static int fake_set(struct engine_vcpu *vcpu, const struct cpu_state *state, struct error *err)
{
	assert_false(vcpu->running);
	vcpu->state = *state;
	vcpu->boots++;
	return 0;
}

static bool fake_interruptible(struct engine_vcpu *vcpu)
{
	return vcpu->interruptible;
}

static const struct engine fake = {
	.name = "fake",
	.vm_create = fake_create,
	.vm_destroy = fake_destroy,
	.vm_map = fake_map,
	.vm_written = fake_written,
	.vcpu_create = fake_vcpu_create,
	.vcpu_destroy = fake_vcpu_destroy,
	.vcpu_run = fake_run,
	.vcpu_kick = fake_kick,
	.vcpu_nmi = fake_nmi,
	.vcpu_get_state = fake_get,
	.vcpu_set_state = fake_set,
	.vcpu_interruptible = fake_interruptible,
};

/* What programs do */

static void out(struct engine_vcpu *vcpu, uint16_t port, unsigned size, uint64_t value)
{
	vcpu->vm->config.callbacks->io_write(vcpu->vm->config.ctx, vcpu->index, port, size, value);
}

static void apic(struct engine_vcpu *vcpu, unsigned reg, uint32_t value)
{
	vcpu->vm->config.callbacks->mmio_write(vcpu->vm->config.ctx, vcpu->index, LAPIC_BASE + reg,
		4, value);
}

static int ack(struct engine_vcpu *vcpu)
{
	int vector = vcpu->vm->config.callbacks->irq_ack(vcpu->vm->config.ctx, vcpu->index);

	if (vector >= 0)
		apic(vcpu, 0xb0, 0);
	return vector;
}

static void off(struct engine_vcpu *vcpu)
{
	out(vcpu, PM1_CONTROL, 2, 0x2000 | 5 << 10);
}

/* Until somebody asks this vCPU to leave. */
static enum engine_exit spin(struct engine_vcpu *vcpu, struct error *err)
{
	while (!atomic_exchange(&vcpu->forced, false))
		usleep(100);
	return ENGINE_EXIT_INTERRUPTED;
}

static enum engine_exit unreachable(struct engine_vcpu *vcpu, struct error *err)
{
	error_set(err, EIO, "a vCPU ran that should not");
	return ENGINE_EXIT_ERROR;
}

static void serial(void *ctx, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && test.outs < sizeof test.out - 1; i++)
		test.out[test.outs++] = data[i];
}

static void debug_stop(void *ctx, unsigned vcpu)
{
	test.stops++;
	assert_true(machine_paused(test.machine));
	machine_resume_one(test.machine, vcpu);
}

/* A kernel that only has an entry. */
static int kernel(void)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr seg[1];
		Elf64_Nhdr note;
		char name[4];
		uint32_t entry;
	} e = {
		.head = {.e_machine = EM_X86_64,
			.e_phoff = sizeof(Elf64_Ehdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1},
		.seg = {{.p_type = PT_NOTE,
			.p_filesz = 20,
			.p_offset = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr)}},
		.note = {.n_namesz = 4, .n_descsz = 4, .n_type = 18},
		.name = "Xen",
		.entry = 0x100000,
	};
	int fd = memfd_create("kernel", 0);

	memcpy(e.head.e_ident, "\177ELF\2\1\1", 7);
	assert_int_equal(write(fd, &e, sizeof e), sizeof e);
	return fd;
}

static enum machine_result run(program *first, program *second, void (*tick)(void *ctx),
	struct error *err)
{
	static const struct cpuid_policy cpuid = {.tsc_khz = 2000000};
	struct machine_config config = {.engine = &fake,
		.cpuid = &cpuid,
		.vcpus = CPUS,
		.memory = 16 * MIB,
		.initrd = {-1, ""},
		.cmdline = "",
		.serial_output = serial,
		.debug_stop = debug_stop};
	enum machine_result result;

	memset(&test, 0, sizeof test);
	err->text[0] = 0;
	test.endless = tick;
	test.program[0] = first;
	test.program[1] = second;
	config.kernel = (struct machine_file){kernel(), "kernel"};
	assert_int_equal(loop_create(&test.loop, err), 0);
	config.loop = test.loop;
	assert_int_equal(machine_create(&config, &test.machine, err), 0);
	assert_true(test.vm->written > 0);
	if (tick) {
		loop_timer_init(&test.timer, test.loop, tick, NULL);
		loop_timer_arm(&test.timer, clock_now() + 2000000);
	}
	result = machine_run(test.machine, err);
	machine_destroy(test.machine);
	loop_destroy(test.loop);
	close(config.kernel.fd);
	return result;
}

/* Ends */

static enum engine_exit switches_off(struct engine_vcpu *vcpu, struct error *err)
{
	assert_int_equal(vcpu->state.rip, 0x100000);
	out(vcpu, 0x3f8, 1, '!');
	off(vcpu);
	return spin(vcpu, err);
}

static enum engine_exit triple_faults(struct engine_vcpu *vcpu, struct error *err)
{
	return ENGINE_EXIT_SHUTDOWN;
}

static enum engine_exit panics(struct engine_vcpu *vcpu, struct error *err)
{
	out(vcpu, PVPANIC_PORT, 1, 1);
	return spin(vcpu, err);
}

static void stop(void *ctx)
{
	machine_stop(test.machine);
}

static void ends(void **state)
{
	struct error err;

	assert_int_equal(run(switches_off, unreachable, NULL, &err), MACHINE_POWEROFF);
	assert_int_equal(test.out[0], '!');
	assert_int_equal(run(triple_faults, unreachable, NULL, &err), MACHINE_CRASH);
	assert_int_equal(run(panics, unreachable, NULL, &err), MACHINE_CRASH);
	assert_string_equal(err.text, "");
	assert_int_equal(run(unreachable, unreachable, NULL, &err), MACHINE_ENGINE_FAILED);
	assert_string_equal(err.text, "a vCPU ran that should not");
	assert_int_equal(run(spin, unreachable, stop, &err), MACHINE_STOPPED);
}

static enum engine_exit resets_twice(struct engine_vcpu *vcpu, struct error *err)
{
	assert_int_equal(vcpu->state.rip, 0x100000);
	vcpu->state.rip = 0;
	if (vcpu->boots < 3) {
		out(vcpu, vcpu->boots == 1 ? 0xcf9 : 0x64, 1, vcpu->boots == 1 ? 6 : 0xfe);
		return spin(vcpu, err);
	}
	off(vcpu);
	return spin(vcpu, err);
}

/* An engine that does not come back: an error, not a hang. */
static enum engine_exit never_leaves(struct engine_vcpu *vcpu, struct error *err)
{
	off(vcpu);
	while (vcpu)
		pause();
	return ENGINE_EXIT_INTERRUPTED;
}

static void stuck_engine(void **state)
{
	struct error err;

	assert_int_equal(run(never_leaves, unreachable, NULL, &err), MACHINE_ENGINE_FAILED);
	assert_string_equal(err.text, "processor 0 does not stop");
}

static void resets(void **state)
{
	struct error err;

	assert_int_equal(run(resets_twice, unreachable, NULL, &err), MACHINE_POWEROFF);
}

/* Halts */

static int64_t call(struct engine_vcpu *vcpu, uint64_t number, uint64_t a, uint64_t b, uint64_t c,
	uint64_t d)
{
	const struct engine_vm_config *config = &vcpu->vm->config;

	return config->callbacks->hypercall(config->ctx, vcpu->index, number,
		(const uint64_t[4]){a, b, c, d});
}

static enum engine_exit waits_for_timer(struct engine_vcpu *vcpu, struct error *err)
{
	int vector = ack(vcpu);

	if (vcpu->step++ == 0) {
		apic(vcpu, 0xf0, 0x1ff);
		apic(vcpu, 0x3e0, 0xb);
		apic(vcpu, 0x320, 0x20055);
		apic(vcpu, 0x380, 500000);
		return ENGINE_EXIT_HALT;
	}
	assert_int_equal(vector, 0x55);
	if (vcpu->step == 20)
		off(vcpu);
	return ENGINE_EXIT_HALT;
}

static void timer_ends_halt(void **state)
{
	struct error err;
	uint64_t start = clock_now();

	assert_int_equal(run(waits_for_timer, unreachable, NULL, &err), MACHINE_POWEROFF);
	assert_true(clock_now() - start >= 9000000);
}

/* With interrupts off only an NMI ends it: sent by the other vCPU to the first. */
static enum engine_exit halts_masked(struct engine_vcpu *vcpu, struct error *err)
{
	if (vcpu->step++ == 0) {
		vcpu->interruptible = false;
		apic(vcpu, 0xf0, 0x1ff);
		apic(vcpu, 0x3e0, 0xb);
		apic(vcpu, 0x320, 0x55);
		apic(vcpu, 0x380, 100000);
		apic(vcpu, 0x310, 1u << 24);
		apic(vcpu, 0x300, 0x4500);
		apic(vcpu, 0x300, 0x4612);
		return ENGINE_EXIT_HALT;
	}
	assert_true(vcpu->nmi);
	off(vcpu);
	return spin(vcpu, err);
}

static enum engine_exit sends_nmi(struct engine_vcpu *vcpu, struct error *err)
{
	assert_int_equal(vcpu->state.seg[SEG_CS].base, 0x12000);
	assert_int_equal(vcpu->state.seg[SEG_CS].selector, 0x1200);
	assert_int_equal(vcpu->state.rip, 0);
	usleep(10000);
	apic(vcpu, 0x310, 0);
	apic(vcpu, 0x300, 0x4400);
	return ENGINE_EXIT_HALT;
}

static void nmi_ends_masked_halt(void **state)
{
	struct error err;

	assert_int_equal(run(halts_masked, sends_nmi, NULL, &err), MACHINE_POWEROFF);
}

/* Two vCPUs wake each other by turns; a wake-up lost would hang. */
static enum engine_exit ping(struct engine_vcpu *vcpu, struct error *err)
{
	int vector = ack(vcpu);

	if (vcpu->step++ == 0) {
		apic(vcpu, 0xf0, 0x1ff);
		apic(vcpu, 0x310, 1u << 24);
		apic(vcpu, 0x300, 0x4500);
		apic(vcpu, 0x300, 0x4601);
		return ENGINE_EXIT_HALT;
	}
	if (vector < 0)
		return ENGINE_EXIT_HALT;
	assert_int_equal(vector, 0x41);
	if (++test.rounds == 20000 && !test.endless)
		off(vcpu);
	apic(vcpu, 0x310, 1u << 24);
	apic(vcpu, 0x300, 0x42);
	return ENGINE_EXIT_HALT;
}

static enum engine_exit pong(struct engine_vcpu *vcpu, struct error *err)
{
	int vector = ack(vcpu);

	if (vcpu->step++ == 0)
		apic(vcpu, 0xf0, 0x1ff);
	else if (vector < 0)
		return ENGINE_EXIT_HALT;
	apic(vcpu, 0x310, 0);
	apic(vcpu, 0x300, 0x41);
	return ENGINE_EXIT_HALT;
}

static void no_wake_up_is_lost(void **state)
{
	struct error err;

	assert_int_equal(run(ping, pong, NULL, &err), MACHINE_POWEROFF);
	assert_int_equal(test.rounds, 20000);
}

/* Pauses */

static void pause_and_go(void *ctx)
{
	struct cpu_state state;

	machine_pause(test.machine);
	machine_pause(test.machine);
	for (unsigned i = 0; i < CPUS; i++)
		fake.vcpu_get_state(machine_vcpu(test.machine, i), &state);
	assert_true(machine_paused(test.machine));
	if (++test.pauses == 200) {
		machine_stop(test.machine);
		return;
	}
	machine_resume(test.machine);
	if (test.pauses % 2)
		loop_timer_arm(&test.timer, clock_now());
	else
		loop_timer_arm(&test.timer, clock_now() + 100000);
}

static void pauses(void **state)
{
	struct error err;

	assert_int_equal(run(ping, pong, pause_and_go, &err), MACHINE_STOPPED);
	assert_int_equal(run(spin, unreachable, pause_and_go, &err), MACHINE_STOPPED);
}

/* Both vCPUs at once write garbage wherever something may answer, and reset by accident. */
static enum engine_exit scribbles(struct engine_vcpu *vcpu, struct error *err)
{
	const struct engine_callbacks *cb = vcpu->vm->config.callbacks;
	void *ctx = vcpu->vm->config.ctx;
	uint64_t seed = vcpu->index * 77 + ++vcpu->step * 1000003ull, value;

	for (unsigned n = 0; n < 500 && !atomic_exchange(&vcpu->forced, false); n++) {
		static const uint64_t places[] = {LAPIC_BASE, 0xfec00000, PCI_WINDOW_START, 0xcf8,
			0x20, 0xa0, 0x40, 0x60, 0x70, 0x3f8, 0x4d0, 0x600, 0x800};
		unsigned size, where;
		uint64_t at;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		value = seed >> 13;
		size = 1u << (seed >> 60 & 3);
		where = (seed >> 33) % 13;
		at = places[where] + (seed >> 40) % (where < 3 ? 0x2000 : 0x10);
		if (where == 12)
			cb->msr_write(ctx, vcpu->index, at + (seed >> 50), value);
		else if (where < 3 && (seed & 1024))
			cb->mmio_write(ctx, vcpu->index, at, size, value);
		else if (where < 3)
			cb->mmio_read(ctx, vcpu->index, at, size);
		else if (seed & 1024)
			cb->io_read(ctx, vcpu->index, at, size & 7 ? size : 4);
		else if (at / 4 != PM1_CONTROL / 4)
			cb->io_write(ctx, vcpu->index, at, size & 7 ? size : 4, value);
		cb->hypercall(ctx, vcpu->index, seed >> 50 & 15,
			(const uint64_t[4]){seed, value, seed >> 60, value >> 7});
		ack(vcpu);
		cb->tpr_write(ctx, vcpu->index, seed >> 20 & 15);
	}
	/* The other one may have been sent to wait for a start-up message. */
	apic(vcpu, 0xf0, 0x1ff);
	apic(vcpu, 0x300, 0xc4612);
	if (vcpu->index == 0 && vcpu->step == 400)
		off(vcpu);
	return ENGINE_EXIT_INTERRUPTED;
}

static void garbage(void **state)
{
	struct error err;

	assert_int_equal(run(scribbles, scribbles, NULL, &err), MACHINE_POWEROFF);
}

/* KVM's calls: a kick ends a masked halt, also one that comes first; interrupts to a bit map. */
static enum engine_exit halts_for_call(struct engine_vcpu *vcpu, struct error *err)
{
	switch (vcpu->step++) {
	case 0:
		vcpu->interruptible = false;
		apic(vcpu, 0xf0, 0x1ff);
		apic(vcpu, 0x310, 1u << 24);
		apic(vcpu, 0x300, 0x4500);
		apic(vcpu, 0x300, 0x4612);
		return ENGINE_EXIT_HALT;
	case 1:
		/* woken by the first kick; the second is remembered */
		call(vcpu, 5, 0, 0, 0, 0);
		return ENGINE_EXIT_HALT;
	case 2:
		vcpu->interruptible = true;
		return ENGINE_EXIT_HALT;
	default:
		if (ack(vcpu) != 0x77)
			return ENGINE_EXIT_INTERRUPTED;
		off(vcpu);
		return spin(vcpu, err);
	}
}

static enum engine_exit calls(struct engine_vcpu *vcpu, struct error *err)
{
	usleep(10000);
	if (vcpu->step == 0) {
		assert_int_equal(call(vcpu, 5, 0, 99, 0, 0), 0);
		assert_int_equal(call(vcpu, 5, 0, ~0ull, 0, 0), 0);
		assert_int_equal(call(vcpu, 5, 0, 0, 0, 0), 0);
		assert_int_equal(call(vcpu, 99, 0, 0, 0, 0), -1000);
		assert_int_equal(call(vcpu, 10, 1, 0, 0, 0x600), -1000); /* no start-up messages */
	}
	vcpu->step++;
	/* until it is seen: bits beyond the last processor do not count */
	assert_int_equal(call(vcpu, 10, ~2ull, ~0ull, 0, 0x77), 1);
	assert_int_equal(call(vcpu, 10, ~0ull, ~0ull, ~0ull - 64, 0x77), 0);
	assert_int_equal(call(vcpu, 10, ~0ull, ~0ull, 1ull << 32, 0x77), 0);
	return ENGINE_EXIT_INTERRUPTED;
}

static void call_ends_masked_halt(void **state)
{
	struct error err;

	assert_int_equal(run(halts_for_call, calls, NULL, &err), MACHINE_POWEROFF);
}

static enum engine_exit breaks(struct engine_vcpu *vcpu, struct error *err)
{
	if (vcpu->step++ < 3)
		return ENGINE_EXIT_DEBUG;
	off(vcpu);
	return spin(vcpu, err);
}

static void debugger(void **state)
{
	struct error err;

	assert_int_equal(run(breaks, unreachable, NULL, &err), MACHINE_POWEROFF);
	assert_int_equal(test.stops, 3);
}

static void refused(void **state)
{
	static const struct cpuid_policy cpuid = {.tsc_khz = 2000000};
	struct machine_config config = {.engine = &fake,
		.cpuid = &cpuid,
		.vcpus = 0,
		.memory = 16 * MIB,
		.initrd = {-1, ""},
		.kernel = {-1, "none"}};
	struct machine *machine;
	struct error err = {0};

	assert_int_equal(loop_create(&config.loop, &err), 0);
	assert_int_equal(machine_create(&config, &machine, &err), -EINVAL);
	config.vcpus = MACHINE_VCPUS_MAX + 1;
	assert_int_equal(machine_create(&config, &machine, &err), -EINVAL);
	config.vcpus = 1;
	config.memory = 1ull << 50;
	err.text[0] = 0;
	assert_int_equal(machine_create(&config, &machine, &err), -ENOMEM);
	config.memory = 16 * MIB;
	err.text[0] = 0;
	assert_true(machine_create(&config, &machine, &err) < 0);
	assert_null(machine);
	assert_true(err.text[0]);
	machine_destroy(NULL);
	loop_destroy(config.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(resets),
		cmocka_unit_test(timer_ends_halt),
		cmocka_unit_test(nmi_ends_masked_halt),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(pauses),
		cmocka_unit_test(garbage),
		cmocka_unit_test(call_ends_masked_halt),
		cmocka_unit_test(debugger),
		cmocka_unit_test(refused),
		cmocka_unit_test(stuck_engine),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
