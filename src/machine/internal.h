/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine from inside; for the files of machine/ that make it up
 * (machine.c, wires.c, apics.c, paravirt.c, vcpu.c, callbacks.c, ...), not for its devices.
 */
#ifndef DACH_MACHINE_INTERNAL_H
#define DACH_MACHINE_INTERNAL_H

#include <stdatomic.h>

#include "base/thread.h"
#include "machine/chipset/pm.h"
#include "machine/chipset/serial.h"
#include "machine/chipset/testdev.h"
#include "machine/board.h"
#include "machine/interrupt/ioapic.h"
#include "machine/interrupt/lapic.h"
#include "machine/interrupt/pic.h"
#include "machine/machine.h"

/* Where a vCPU's thread is, for those who want to wake it (vcpu.sleep_state, a futex). */
enum { VCPU_AWAKE, VCPU_POLLS, VCPU_SLEEPS };

/* What a vCPU is asked to do, as bits of vcpu.requests. */
#define VCPU_INIT 1u
#define VCPU_SIPI 2u
#define VCPU_NMI 4u

/* Counters of one vCPU: written by its thread only, read by anybody. */
enum {
	COUNT_IO,
	COUNT_MMIO,
	COUNT_APIC,
	COUNT_MSR,
	COUNT_HALT,
	COUNT_SLEEP,
	COUNT_INTERRUPTED,
	COUNTERS,
};

struct machine_vcpu {
	struct machine *machine;
	unsigned index;
	struct engine_vcpu *engine;
	pthread_t thread;
	bool started, joined;
	_Atomic int tid;                      /* 0 until the thread runs */
	const volatile uint32_t *_Atomic cpu; /* the thread's own: where it runs; or NULL */

	_Atomic uint32_t sleep_state; /* VCPU_AWAKE.. */
	_Atomic uint32_t requests;    /* VCPU_INIT.. */
	_Atomic uint8_t sipi_vector;
	atomic_bool request_pending; /* requests, or run_allowed is to be looked at */

	atomic_bool unhalted; /* another processor has ended this one's halt (a hypercall) */

	bool run_allowed; /* by machine.lock */
	bool parked;      /* by machine.lock: the thread waits for run_allowed */

	/*
	 * Changed by the own thread, or by anybody while parked; not used where the APICs are the
	 * engine's.
	 */
	atomic_bool wait_sipi; /* read by anybody */
	bool halted;           /* read by who may change it */
	uint64_t pv_eoi;       /* likewise: its MSR */
	uint64_t poll;         /* how long to poll before sleeping, ns */
	_Atomic uint64_t counter[COUNTERS];
};

struct machine {
	struct machine_config config;
	struct engine_vm *vm;
	const struct engine_apic_ops
		*engine_apic; /* of local APICs that are the engine's; or NULL */
	struct memory mem;
	struct board board;
	struct lapic_set apics;
	struct lapic lapic[MACHINE_VCPUS_MAX];
	struct loop_timer apic_timer[MACHINE_VCPUS_MAX];
	_Atomic int64_t tsc_offset;

	struct machine_vcpu vcpu[MACHINE_VCPUS_MAX];
	unsigned made;      /* vCPUs that the engine has made */
	bool running;       /* by lock: their threads are there */
	uint64_t poll_max;  /* ns */
	unsigned host_cpus; /* that this process may use */
	_Atomic int awake;  /* vCPU threads that do not sleep */

	struct mutex lock;
	pthread_cond_t changed; /* run_allowed or parked */
	bool paused;            /* by lock: machine_pause() */
	bool resetting;         /* by lock: from the request until it is done */
	bool remapping;         /* by lock: likewise, of board_owner.remap */
	bool frozen;            /* by lock: it is being saved */
	unsigned only;          /* by lock: the one vCPU that may run, or ALL */
	unsigned debug_vcpu;
	atomic_bool over;
	enum machine_result result; /* by lock */
	struct error failure;       /* by lock */
	bool held;                  /* by lock: at result, see config.hold */

	uint8_t place[MACHINE_PLACES]; /* machine_set_places() */

	struct board_owner board_owner;
	struct board_firmware firmware;

	struct loop_work reset_work, remap_work, debug_work, held_work, memory_work;
};
#define ALL UINT32_MAX

/* vcpu.c; any thread */
void vcpu_kick(void *machine, unsigned index); /* lapic_owner.kick */
void vcpu_unhalt(struct machine_vcpu *vcpu);   /* looks at unhalted if it is halted */
void vcpu_request(struct machine_vcpu *vcpu, uint32_t requests);
void vcpu_look_soon(struct machine_vcpu *vcpu); /* makes the thread look at request_pending soon */
void *vcpu_thread(void *vcpu);
/* The state before the first instruction: the boot processor's or one that waits for SIPI. */
int vcpu_boot(struct machine_vcpu *vcpu, const struct cpu_state *boot, struct error *err);

/*
 * vcpu_apic.c, where the engine holds the local APICs (otherwise nothing happens): this vCPU's and what
 * goes with it (halted, wait_sipi, pv_eoi) from the engine into the machine's own form of them, to be
 * looked at until released; or from there into the engine. The vCPU does not run.
 */
void vcpu_apic_fetch(struct machine_vcpu *vcpu);
void vcpu_apic_release(struct machine_vcpu *vcpu);
int vcpu_apic_store(struct machine_vcpu *vcpu, struct error *err);

/* machine.c; any thread */
void machine_end(struct machine *machine, enum machine_result result, const struct error *err);
/* The guest has asked for it. Any thread. */
void machine_guest_reset(struct machine *machine);
/* Who may run has changed; by the machine's lock. */
void machine_update(struct machine *machine);
void machine_debug_stop(struct machine *machine, unsigned vcpu);
/* From now on it stays paused, and a reset waits. false: it is not paused, or being reset, or has ended. */
bool machine_freeze(struct machine *machine);
void machine_thaw(struct machine *machine);
/* still.c: from a pause, a reset or a remap on until no vCPU runs */
void machine_wait_parked(struct machine *machine) REQUIRES(machine->lock);
/* Lets all go on that may. No vCPU runs. */
void machine_unpark(struct machine *machine) REQUIRES(machine->lock);
/*
 * Work of the loop's for which all vCPUs stand still, once it is asked for: *asked (of struct machine) is true until it is
 * done. machine_stands(): it is to be done now; not while the machine is frozen, nor when it has ended.
 */
void machine_ask(struct machine *machine, bool *asked, struct loop_work *work);
bool machine_stands(struct machine *machine);
void machine_done(struct machine *machine, bool *asked);
/* board_owner.remap, and remap_work */
void machine_ask_remap(void *machine);
void machine_remap(void *machine);
/* control.c; any thread: memory that came as it was touched is all there, or cannot be had */
void machine_memory_over(void *machine);
void machine_end_lazy(void *machine); /* memory_work */

static inline bool machine_has_firmware(const struct machine *machine)
{
	return machine->board.firmware;
}

/* The board's first two devices: found at once. */
static inline struct ioapic *machine_ioapic(const struct machine *machine)
{
	return board_find(&machine->board, &ioapic_device);
}

static inline struct pic *machine_pic(const struct machine *machine)
{
	return board_find(&machine->board, &pic_device);
}

/* wires.c: the board with its devices; board_destroy() follows even after a failure */
int machine_board_init(struct machine *machine, struct error *err);

/* apics.c: the local APICs, which the engine may have instead; before the board's devices */
int machine_apics_init(struct machine *machine, struct error *err);
void machine_apics_reset(struct machine *machine); /* last: devices may still have sent something */
void machine_apics_destroy(struct machine *machine);

/* paravirt.c: KVM's calls and MSRs */
int machine_paravirt_init(struct machine *machine, struct error *err);

extern const struct engine_callbacks machine_callbacks; /* callbacks.c */
uint64_t machine_tsc(void *machine);

static inline void count(struct machine_vcpu *vcpu, unsigned which)
{
	atomic_store_explicit(&vcpu->counter[which],
		atomic_load_explicit(&vcpu->counter[which], memory_order_relaxed) + 1,
		memory_order_relaxed);
}

#endif
