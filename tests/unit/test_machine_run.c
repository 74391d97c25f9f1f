/* SPDX-License-Identifier: Apache-2.0 */
/* A machine that runs: ends, resets, halts, start-up messages, pauses, and that no wake-up is ever lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "machine/internal.h"
#include "machine/pci/bus.h"
#include "machine_rig.h"

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

/* With no interrupt descriptors: a way to reset. */
static enum engine_exit triple_faults_on_purpose(struct engine_vcpu *vcpu, struct error *err)
{
	if (vcpu->boots == 2) {
		off(vcpu);
		return spin(vcpu, err);
	}
	vcpu->state.idtr.limit = 0;
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
	assert_int_equal(run(triple_faults_on_purpose, unreachable, NULL, &err), MACHINE_POWEROFF);
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

	return config->callbacks->hypercall(config->ctx, vcpu->index,
		(const uint64_t[16]){[RAX] = number, [RBX] = a, [RCX] = b, [RDX] = c, [RSI] = d});
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
	assert_int_equal(vcpu->state.gpr[RDX], RIG_SIGNATURE);
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

/* The loop's thread looks at processors while they run, and sees the second one start. */

_Static_assert(_Generic(&(struct machine_vcpu){0}.wait_sipi, _Atomic(bool) * : 1, default : 0),
	"read by other threads");

static enum engine_exit starts_late(struct engine_vcpu *vcpu, struct error *err)
{
	if (vcpu->step++ < 200) {
		usleep(100);
		return ENGINE_EXIT_INTERRUPTED;
	}
	apic(vcpu, 0xf0, 0x1ff);
	apic(vcpu, 0x310, 1u << 24);
	apic(vcpu, 0x300, 0x4500);
	apic(vcpu, 0x300, 0x4601);
	return spin(vcpu, err);
}

static void look(void *ctx)
{
	struct machine_vcpu_info info;

	machine_vcpu_info(test.machine, 1, &info);
	test.waited += info.wait_sipi;
	if (info.wait_sipi || !info.tid)
		loop_timer_arm(&test.timer, clock_now() + 50000);
	else
		machine_stop(test.machine);
}

static void start_is_seen(void **state)
{
	struct error err;

	assert_int_equal(run(starts_late, spin, look, &err), MACHINE_STOPPED);
	assert_true(test.waited > 0);
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
		cb->hypercall(ctx, vcpu->index,
			(const uint64_t[16]){[RAX] = seed >> 50 & 15,
				[RBX] = seed,
				[RCX] = value,
				[RDX] = seed >> 60,
				[RSI] = value >> 7});
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

/* What the processors do: halted with interrupts off (bit 0: the first, ...), or in a program. */
static unsigned masked;
static uint8_t level;

static enum engine_exit starts_and_halts(struct engine_vcpu *vcpu, struct error *err)
{
	if (vcpu->step++ == 0) {
		apic(vcpu, 0xf0, 0x1ff);
		if (vcpu->index == 0 && level) { /* the second processor stays as it was made */
			vcpu->state.cpl = level;
			return spin(vcpu, err);
		}
		apic(vcpu, 0x310, 1u << 24);
		if (vcpu->index == 0) {
			apic(vcpu, 0x300, 0x4500);
			apic(vcpu, 0x300, 0x4612);
		}
	}
	if (level)
		return spin(vcpu, err);
	vcpu->state.rflags = masked & 1u << vcpu->index ? 2 : 2 | FL_IF;
	vcpu->interruptible = !(masked & 1u << vcpu->index);
	return masked & 4 && vcpu->index ? spin(vcpu, err) : ENGINE_EXIT_HALT;
}

static enum machine_pulse pulse;
static uint64_t spaces;

static void take_pulse(void *ctx)
{
	machine_pause(test.machine);
	pulse = machine_pulse(test.machine, &spaces);
	machine_resume(test.machine);
	/* Until the second processor is where it is to be. */
	if (++test.pauses < 50)
		loop_timer_arm(&test.timer, clock_now() + 1000000);
	else
		machine_finish(test.machine, MACHINE_CRASH, "enough");
}

static void pulses(void **state)
{
	struct error err;

	masked = 3;
	assert_int_equal(run(starts_and_halts, starts_and_halts, take_pulse, &err), MACHINE_CRASH);
	assert_string_equal(err.text, "enough");
	assert_int_equal(pulse, MACHINE_STANDS);
	masked = 1;
	run(starts_and_halts, starts_and_halts, take_pulse, &err);
	assert_int_equal(pulse, MACHINE_ALIVE);
	masked = 5;
	run(starts_and_halts, starts_and_halts, take_pulse, &err);
	assert_int_equal(pulse, MACHINE_IN_KERNEL);
	level = 3;
	run(starts_and_halts, unreachable, take_pulse, &err);
	assert_int_equal(pulse, MACHINE_ALIVE);
	level = 0;
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
	assert_int_equal(machine_create(&config, &machine, &err), 0);
	assert_true(machine_boot(machine, &err) < 0);
	assert_true(err.text[0]);
	machine_destroy(machine);
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
		cmocka_unit_test(start_is_seen),
		cmocka_unit_test(pauses),
		cmocka_unit_test(garbage),
		cmocka_unit_test(call_ends_masked_halt),
		cmocka_unit_test(pulses),
		cmocka_unit_test(debugger),
		cmocka_unit_test(refused),
		cmocka_unit_test(stuck_engine),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
