/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mirror: a process in which a guest's user code runs as it is, at its own addresses, with those pages of guest
 * memory mapped that its page tables give it, and the stub (stub.h) beside them.
 *
 * The wall. Each system call of that process, wherever in it the instruction stands, either raises a signal, whose
 * handler is the stub, or, if the instruction is the stub's own, waits for the monitor (seccomp's user
 * notification). So what runs there can make no call at all. A mirror that mirror_run() or mirror_call() has
 * come back from waits inside the host's kernel, by the kernel's own word; nothing that the guest writes can
 * pretend it. Pages are mapped and taken away by calls that the stub makes on the monitor's order: the monitor
 * looks at the number and the arguments, which the kernel holds meanwhile, and lets this call through. What the
 * registers in a signal's frame say is a guest program's own business: mirror_run()'s caller takes it as such.
 *
 * A mirror belongs to one vCPU's thread at a time. It dies with the monitor.
 */
#ifndef DACH_CPU_TRANSLATE_MIRROR_H
#define DACH_CPU_TRANSLATE_MIRROR_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "cpu/translate/native/stub.h"

#define MIRROR_FILES 32u

struct mirror {
	pid_t pid;
	int process;  /* pidfd: any thread may send it MIRROR_KICK */
	int listener; /* seccomp's */
	struct stub_control *control;
	uint8_t *stack;        /* as seen from here */
	uint64_t base;         /* of the stub, there */
	uint32_t area;         /* bytes of the extended state */
	uint64_t notification; /* that it waits for an answer to */
	bool cpuid_faults;     /* there, CPUID raises a signal, as RDTSC always does */
	bool polls;            /* the host's kernel does not end a wait for what has died */
	bool dead;             /* it runs no more, for whatever reason */
	unsigned trips;        /* how often it has run */
	cpu_set_t processors;  /* that it may use */
	/* what it has been given of our descriptors */
	unsigned files;
	struct {
		int here, there;
	} file[MIRROR_FILES];
};

#define MIRROR_KICK SIGUSR1
/* Of the processor time of a process (linux: CPUCLOCK_SCHED of its number). */
#define MIRROR_CLOCK(pid) ((clockid_t)(~(unsigned)(pid) << 3 | 2u))
#define MIRROR_NOTIFICATION 256u /* room for the kernel's struct seccomp_notif, which may grow */

/* Where the program that ran there stands. */
struct mirror_exit {
	enum {
		MIRROR_SIGNAL,  /* after a signal, with the fields below */
		MIRROR_NOTHING, /* where it was before: it has not begun; the mirror may be dead */
		MIRROR_ASTRAY,  /* it has run into the stub: its registers are lost */
		MIRROR_DEAD,    /* the mirror has died under it: its registers are lost */
	} why;
	int signal, code;              /* as in siginfo */
	uint64_t call;                 /* of SIGSYS: the address behind the instruction */
	uint64_t trap, error, address; /* as the host's kernel tells: vector, error code, CR2 */
	uint64_t gpr[16], rip, rflags, fs_base, gs_base;
	uint16_t cs, ss, ds, es, fs, gs;
	const uint8_t
		*xsave; /* in the mirror's stack, in the host's form; NULL: it cannot be found */
};

/* Where something of the stub is, there. */
static inline uint64_t mirror_stub(const struct mirror *m, const uint8_t *label)
{
	return m->base + (uint64_t)(label - stub_code);
}

/*
 * mirror_start.c. Starts one, of the caller's user and within its walls, before those of system calls; area: bytes of
 * cpu_state.xsave. An error says what the host does not have.
 */
int mirror_create(struct mirror *m, uint32_t area, struct error *err);
void mirror_destroy(struct mirror *m);

struct mirror_request {
	int number;
	uint64_t arg[6];
};

/*
 * Has the mirror make a system call; *result is what the kernel returned there. False: it is dead. It may be made
 * more than once.
 */
bool mirror_call(struct mirror *m, long number, const uint64_t arg[6], long *result);
/* The same for several, at least one, at half the price; of all but the last nobody hears what the kernel returned. */
bool mirror_calls(struct mirror *m, const struct mirror_request *r, unsigned count, long *result);
/* Nothing is mapped there any more but the stub. False: it is dead. */
bool mirror_wipe(struct mirror *m);
/* Gives it a descriptor of the monitor's; its number there, or -1. */
int mirror_give(struct mirror *m, int fd);
/* It runs no more: something is not as it must be. */
void mirror_kill(struct mirror *m);
/*
 * Runs what control says, which the caller has filled, until there is a signal; after the calls, if there are any, of
 * which nobody hears what the kernel returned, nor, when a signal comes at once, whether the last one has been made.
 */
void mirror_run(struct mirror *m, const struct mirror_request *r, unsigned count,
	struct mirror_exit *exit);
/*
 * What that makes of the arguments by which the stub says that it is back: frame, siginfo, turn, selectors, bases. All
 * but the turn is the program's to forge.
 */
void mirror_read_exit(const struct mirror *m, const uint64_t arg[6], struct mirror_exit *exit);

#endif
