/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third tier: user code that computes runs as it is, in a process of its own (mirror.h), at the host's speed.
 *
 * An address space that has windows (hostmap.h) and is calm in them moves up: what its windows held is then mapped
 * in a mirror at the program's own addresses, by the same book. Whatever the program does that is not computing
 * ends in a signal there: a system call, a page that is not mapped (yet), an exception, an instruction that may not
 * run as it is. The vCPU's thread takes the registers over and goes on as if translated code had been left there:
 * in the guest's kernel, or for a while in translated user code. The way back to user code looks whether the page
 * can run natively, and goes there again. A trip costs some 8 us, with a page to be mapped 20 to 30: an address space
 * that makes many moves down again.
 *
 * What is mapped is what windows would hold, with the same rules for writing; executable only where the guest says so and
 * where a page has none of the instructions that would tell a program of the host instead of its machine
 * (native_scan()). Translated code runs the others.
 */
#ifndef DACH_CPU_TRANSLATE_NATIVE_H
#define DACH_CPU_TRANSLATE_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/translate/vcpu.h"

struct hostmap;
struct mirror;
struct translate_vm;

#define NATIVE_MIRRORS 12u /* of a guest, at most */

struct native_pool {
	struct mirror *mirror; /* an array; NULL: there are none */
	unsigned mirrors;
	bool used[NATIVE_MIRRORS]; /* by an address space; the windows' lock */
	bool always;               /* tests: up at once, and never down */
};

/*
 * native.c. Starts the mirrors, for some of as many vCPUs; before the walls around system calls. An error says what the
 * host does not have; all goes on without.
 */
int native_pool_create(struct translate_vm *vm, unsigned vcpus, struct error *err);
void native_pool_destroy(struct translate_vm *vm);
/* Can this host have one? */
int native_probe(struct error *err);
/* The processor time that the mirrors have used, ns. */
uint64_t native_pool_time(const struct translate_vm *vm);
/* No vCPU runs: no mirror has anything of guest memory any more. */
void native_forget(struct translate_vm *vm);
/*
 * Goes on natively, from and to where translate_run() looks for code. Vectors are saved. OUT_OK: look again;
 * or OUT_FAULT.
 */
enum outcome native_go(struct vcpu *v);

/* native_policy.c */

/* Does the address space run natively, where it can? w: NULL is allowed. */
bool native_on(const struct hostmap *w);
/* Is the code at RIP to run natively? */
bool native_wanted(struct vcpu *v);
/* The guest's clock has interrupted the program, which has windows or runs natively. True: it has moved. */
bool native_tick(struct vcpu *v, struct hostmap *w);
/* A trip has been made, of this weight: too many, and the program moves down (true: mode_update()). */
#define NATIVE_CALL_WEIGHT 4u
#define NATIVE_PAGE_WEIGHT 1u
bool native_weigh(struct vcpu *v, unsigned weight);
/* The space has no mirror any more; the windows' lock is held. */
void native_release(struct hostmap *w);

/*
 * native_scan.c. Can the page's code run as it is? before, next: the pages beside it; NULL: not known, and what crosses over is
 * seen when that is asked for. cpuid_faults: CPUID raises a signal. Vectors are saved.
 */
bool native_scan(const uint8_t *before, const uint8_t *page, const uint8_t *next,
	bool cpuid_faults);

#endif
