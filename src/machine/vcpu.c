/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of a virtual processor: runs the engine, sleeps while the guest
 * is halted, and does what others ask (INIT, SIPI, pause, end).
 *
 * Waking: whoever makes an interrupt pending first changes the APIC (an atomic
 * read-modify-write) and then looks at sleep_state; the thread first changes sleep_state and
 * then looks at the APIC. So one of the two always sees the other.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "machine/internal.h"

#define POLL_START 10000u /* ns */

/*
 * IA32_MTRR_DEF_TYPE (SDM 3A 11.11.2.1), which firmware would have set: where it is off, kernels
 * leave PAT alone too.
 */
#define MTRR_ENABLE 0x800u
#define MTRR_WRITE_BACK 6u

static void wake_vcpu(struct machine_vcpu *vcpu)
{
	if (atomic_load(&vcpu->sleep_state) == VCPU_SLEEPS &&
		atomic_exchange(&vcpu->sleep_state, VCPU_POLLS) == VCPU_SLEEPS)
		syscall(SYS_futex, &vcpu->sleep_state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void vcpu_kick(void *ctx, unsigned index)
{
	struct machine *machine = ctx;
	struct machine_vcpu *vcpu = &machine->vcpu[index];

	if (atomic_load(&vcpu->sleep_state) != VCPU_AWAKE)
		wake_vcpu(vcpu);
	else if (vcpu->engine)
		machine->config.engine->vcpu_kick(vcpu->engine, false);
}

void vcpu_unhalt(struct machine_vcpu *vcpu)
{
	wake_vcpu(vcpu);
}

void vcpu_look_soon(struct machine_vcpu *vcpu)
{
	atomic_store(&vcpu->request_pending, true);
	wake_vcpu(vcpu);
	if (vcpu->engine)
		vcpu->machine->config.engine->vcpu_kick(vcpu->engine, true);
}

void vcpu_request(struct machine_vcpu *vcpu, uint32_t requests)
{
	atomic_fetch_or(&vcpu->requests, requests);
	vcpu_look_soon(vcpu);
}

/* Waiting */

static bool interruptible(struct machine_vcpu *vcpu)
{
	const struct engine *engine = vcpu->machine->config.engine;
	struct cpu_state state;

	if (engine->vcpu_interruptible)
		return engine->vcpu_interruptible(vcpu->engine);
	engine->vcpu_get_state(vcpu->engine, &state);
	return state.rflags & FL_IF;
}

/* Something to do; *masked remembers that interrupts do not end this halt (-1: not known). */
static bool disturbed(struct machine_vcpu *vcpu, int *masked)
{
	if (atomic_load(&vcpu->request_pending))
		return true;
	if (vcpu->halted && atomic_load(&vcpu->unhalted))
		return true;
	if (!vcpu->halted || *masked == 1 || lapic_pending(&vcpu->machine->lapic[vcpu->index]) < 0)
		return false;
	if (*masked < 0)
		*masked = !interruptible(vcpu);
	return !*masked;
}

static void sleep_until(struct machine_vcpu *vcpu, uint64_t deadline)
{
	struct timespec when = {.tv_sec = deadline / 1000000000u,
		.tv_nsec = deadline % 1000000000u};

	syscall(SYS_futex, &vcpu->sleep_state, FUTEX_WAIT_BITSET_PRIVATE, VCPU_SLEEPS,
		deadline ? &when : NULL, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Waits a little without sleeping, which is quicker to end. */
static bool poll_short(struct machine_vcpu *vcpu, int *masked)
{
	struct lapic *lapic = &vcpu->machine->lapic[vcpu->index];
	uint64_t now = clock_now(), end = now + vcpu->poll;

	for (; now < end; now = clock_now()) {
		/* not at the expense of another vCPU */
		if (atomic_load_explicit(&vcpu->machine->awake, memory_order_relaxed) >
			(int)vcpu->machine->host_cpus)
			break;
		for (int i = 0; i < 16; i++) {
			if (disturbed(vcpu, masked))
				return true;
			_mm_pause();
		}
		lapic_timer_check(lapic, now);
	}
	return disturbed(vcpu, masked);
}

/* Polling is worth it when the sleeps that it replaces are short. */
static void adapt_polling(struct machine_vcpu *vcpu, uint64_t slept)
{
	uint64_t max = vcpu->machine->poll_max;

	if (slept > 2 * max)
		vcpu->poll = 0;
	else if (vcpu->poll < max)
		vcpu->poll = vcpu->poll ? vcpu->poll * 2 : POLL_START;
	if (vcpu->poll > max)
		vcpu->poll = max;
}

static void wait_event(struct machine_vcpu *vcpu)
{
	struct lapic *lapic = &vcpu->machine->lapic[vcpu->index];
	uint64_t start;
	int masked = -1;

	atomic_store(&vcpu->sleep_state, VCPU_POLLS);
	if (!disturbed(vcpu, &masked) && !poll_short(vcpu, &masked)) {
		start = clock_now();
		count(vcpu, COUNT_SLEEP);
		atomic_fetch_sub(&vcpu->machine->awake, 1);
		for (;;) {
			uint64_t deadline = lapic_timer_check(lapic, clock_now());

			atomic_store(&vcpu->sleep_state, VCPU_SLEEPS);
			if (disturbed(vcpu, &masked))
				break;
			sleep_until(vcpu, deadline);
		}
		atomic_fetch_add(&vcpu->machine->awake, 1);
		adapt_polling(vcpu, clock_now() - start);
	}
	atomic_store(&vcpu->sleep_state, VCPU_AWAKE);
}

/* Requests */

static int write_state(struct machine_vcpu *vcpu, const struct cpu_state *state)
{
	struct machine *machine = vcpu->machine;
	struct error err = {0};
	int r = machine->config.engine->vcpu_set_state(vcpu->engine, state, &err);

	if (r < 0)
		machine_end(machine, MACHINE_ENGINE_FAILED, &err);
	return r;
}

/* Power-on and INIT; EDX tells which processor it is (SDM 3A, table 9-1; APM 2, table 14-1). */
static void reset_state(const struct machine *machine, struct cpu_state *state)
{
	cpu_state_reset(state);
	state->gpr[RDX] = cpuid_policy_signature(machine->config.cpuid);
}

/* INIT leaves more alone than power-on: x87 and vector state, MTRRs, TSC (SDM 3A, table 9-1). */
static void serve_init(struct machine_vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct cpu_state state, old;

	machine->config.engine->vcpu_get_state(vcpu->engine, &old);
	reset_state(machine, &state);
	state.tsc_offset = old.tsc_offset;
	state.tsc_adjust = old.tsc_adjust;
	state.tsc_aux = old.tsc_aux;
	state.cr0 |= old.cr0 & (CR0_CD | CR0_NW);
	state.pat = old.pat;
	state.misc_enable = old.misc_enable;
	state.mtrr_def_type = old.mtrr_def_type;
	memcpy(state.mtrr_fixed, old.mtrr_fixed, sizeof state.mtrr_fixed);
	memcpy(state.mtrr_base, old.mtrr_base, sizeof state.mtrr_base);
	memcpy(state.mtrr_mask, old.mtrr_mask, sizeof state.mtrr_mask);
	state.xcr0 = old.xcr0;
	memcpy(state.xsave, old.xsave, sizeof state.xsave);
	lapic_reset(&machine->lapic[vcpu->index], true);
	state.apic_base = machine->lapic[vcpu->index].base;
	write_state(vcpu, &state);
	vcpu->halted = false;
	vcpu->wait_sipi = true;
}

static void serve_sipi(struct machine_vcpu *vcpu)
{
	uint8_t page = atomic_load(&vcpu->sipi_vector);
	struct cpu_state state;

	vcpu->machine->config.engine->vcpu_get_state(vcpu->engine, &state);
	state.seg[SEG_CS].selector = page << 8;
	state.seg[SEG_CS].base = (uint64_t)page << 12;
	state.rip = 0;
	write_state(vcpu, &state);
	vcpu->wait_sipi = false;
}

static void serve_requests(struct machine_vcpu *vcpu)
{
	uint32_t requests = atomic_exchange(&vcpu->requests, 0);

	if (requests & VCPU_INIT) {
		if (vcpu->index == 0)
			machine_reset(vcpu->machine); /* there is no firmware to run */
		else
			serve_init(vcpu);
	}
	if ((requests & VCPU_SIPI) && vcpu->wait_sipi)
		serve_sipi(vcpu);
	if (requests & VCPU_NMI)
		vcpu->halted = false;
}

/* The thread */

/* Waits while the vCPU may not run; false when the machine is over. */
static bool wait_permitted(struct machine_vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	bool go;

	mutex_lock(&machine->lock);
	/* Before looking, so that a change after the look is seen the next time. */
	atomic_store(&vcpu->request_pending, false);
	while (!vcpu->run_allowed && !atomic_load(&machine->over)) {
		/* Once: parked vCPUs that told each other time and again would never sleep. */
		if (!vcpu->parked)
			pthread_cond_broadcast(&machine->changed);
		vcpu->parked = true;
		mutex_wait(&machine->lock, &machine->changed);
		atomic_store(&vcpu->request_pending, false);
	}
	vcpu->parked = false;
	go = !atomic_load(&machine->over);
	if (!go) {
		vcpu->parked = true;
		pthread_cond_broadcast(&machine->changed);
	}
	mutex_unlock(&machine->lock);
	return go;
}

/*
 * A kernel whose last means to reset is a triple fault takes its interrupt descriptors away first (Linux's
 * reboot=t, FreeBSD): nothing but that has a table of no bytes.
 */
static bool triple_fault_on_purpose(struct machine_vcpu *vcpu)
{
	struct cpu_state state;

	vcpu->machine->config.engine->vcpu_get_state(vcpu->engine, &state);
	return state.idtr.limit == 0;
}

/* What came back from the engine. */
static void handle_exit(struct machine_vcpu *vcpu, enum engine_exit exit, const struct error *err)
{
	struct machine *machine = vcpu->machine;

	switch (exit) {
	case ENGINE_EXIT_INTERRUPTED:
		count(vcpu, COUNT_INTERRUPTED);
		break;
	case ENGINE_EXIT_HALT:
		count(vcpu, COUNT_HALT);
		vcpu->halted = true;
		break;
	case ENGINE_EXIT_RESET:
		machine_guest_reset(machine); /* there is no firmware to run */
		break;
	case ENGINE_EXIT_SHUTDOWN:
		/* A PC's chipset makes a reset of it. */
		if (machine_has_firmware(machine) || triple_fault_on_purpose(vcpu))
			machine_guest_reset(machine);
		else
			machine_end(machine, MACHINE_CRASH, NULL);
		break;
	case ENGINE_EXIT_DEBUG:
		machine_debug_stop(machine, vcpu->index);
		break;
	case ENGINE_EXIT_ERROR:
		machine_end(machine, MACHINE_ENGINE_FAILED, err);
		break;
	}
}

void *vcpu_thread(void *ctx)
{
	struct machine_vcpu *vcpu = ctx;
	const struct engine *engine = vcpu->machine->config.engine;
	struct lapic *lapic = &vcpu->machine->lapic[vcpu->index];
	char name[16];

	snprintf(name, sizeof name, "vcpu%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	if (__rseq_size)
		atomic_store(&vcpu->cpu,
			&((struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset))
				 ->cpu_id);
	atomic_store(&vcpu->tid, gettid());
	atomic_fetch_add(&vcpu->machine->awake, 1);
	for (;;) {
		struct error err = {0};

		if (atomic_load(&vcpu->request_pending)) {
			if (!wait_permitted(vcpu))
				break;
			serve_requests(vcpu);
			continue;
		}
		if (vcpu->halted || vcpu->wait_sipi) {
			wait_event(vcpu);
			if (atomic_load(&vcpu->request_pending))
				continue;
			vcpu->halted = false;
			atomic_store(&vcpu->unhalted, false);
			/* What was delivered during the wait was not told to the engine. */
			engine->vcpu_kick(vcpu->engine, false);
		}
		if (!vcpu->machine->engine_apic)
			lapic_timer_check(lapic, clock_now());
		handle_exit(vcpu, engine->vcpu_run(vcpu->engine, &err), &err);
	}
	atomic_fetch_sub(&vcpu->machine->awake, 1);
	return NULL;
}

int vcpu_boot(struct machine_vcpu *vcpu, const struct cpu_state *boot, struct error *err)
{
	struct machine *machine = vcpu->machine;
	struct cpu_state state;
	int r;

	if (vcpu->index == 0)
		state = *boot;
	else
		reset_state(machine, &state);
	state.tsc_offset = atomic_load(&machine->tsc_offset);
	state.apic_base = machine->lapic[vcpu->index].base;
	state.mtrr_def_type = MTRR_ENABLE | MTRR_WRITE_BACK;
	vcpu->halted = false;
	vcpu->wait_sipi = vcpu->index != 0;
	vcpu->pv_eoi = 0;
	atomic_store(&vcpu->unhalted, false);
	atomic_store(&vcpu->requests, 0);
	r = machine->config.engine->vcpu_set_state(vcpu->engine, &state, err);
	return r ? r : vcpu_apic_store(vcpu, err);
}
