/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third tier: user code that computes runs as it is, in a process of its own (mirror.h), at the host's speed.
 *
 * An address space that is calm moves up: instead of windows (hostmap.h) it has a mirror, where its pages are mapped
 * at the program's own addresses, by the same book. Whatever the program does that is not computing
 * ends in a signal there: a system call, a page that is not mapped (yet), an exception, an instruction that may not
 * run as it is. The vCPU's thread takes the registers over and goes on as if translated code had been left there:
 * in the guest's kernel, or for a while in translated user code. The way back to user code looks whether the page
 * can run natively, and goes there again. A trip costs some 8 us, with a page to be mapped 20 to 30: an address space
 * that makes many pauses, or moves down again.
 *
 * What is mapped is what windows would hold, with the same rules for writing; executable only where the guest says so and
 * where a page, or a copy of it (native_patch.c), has none of the instructions that would tell a program of the host
 * instead of its machine (native_scan()). Translated code runs the others.
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

#define NATIVE_PATCHES 256u /* of a guest */

struct native_patches {
	int fd;        /* their memory, ... */
	uint8_t *page; /* ... as seen from here; NULL: there is none */
	unsigned used; /* of them, good or not; atomic */
	uint32_t number
		[NATIVE_PATCHES]; /* of the guest's page (struct region), or 0: good no more */
};

struct native_pool {
	struct mirror *mirror; /* an array; NULL: there are none */
	unsigned mirrors;
	bool used[NATIVE_MIRRORS]; /* by an address space; the windows' lock */
	bool always;               /* tests: up at once, and never down */
	struct native_patches patches;
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
/* ... and is it not in a pause from that? */
bool native_runs(const struct hostmap *w);
/* Is the code at RIP to run natively? */
bool native_wanted(struct vcpu *v);
/* The guest's clock has interrupted the program. True: it has moved. */
bool native_tick(struct vcpu *v, struct hostmap *w);
/* A trip has been made, of this weight: too many, and the program pauses or moves down (true: mode_update()). */
#define NATIVE_CALL_WEIGHT 4u
#define NATIVE_PAGE_WEIGHT 4u  /* that is mapped, ... */
#define NATIVE_FAULT_WEIGHT 8u /* ... or has to be asked of the guest's kernel before */
bool native_weigh(struct vcpu *v, unsigned weight);
/* The space has no mirror any more; the windows' lock is held. */
void native_release(struct hostmap *w);

/* What a page's code can do in a mirror. */
enum native_code {
	NATIVE_CODE_NOT,     /* nothing */
	NATIVE_CODE_PATCHED, /* run in a copy in which some instructions are UD2 */
	NATIVE_CODE_AS_IS,   /* run */
};

#define NATIVE_FOUND 64u
struct native_found {
	unsigned count;
	uint16_t at[NATIVE_FOUND]; /* offsets in the page of the byte 0F of such an instruction */
};

/*
 * native_scan.c. before, next: the pages beside it; NULL: not known, and what crosses over is seen when that is asked for.
 * cpuid_faults: CPUID raises a signal. Vectors are saved.
 */
enum native_code native_scan(const uint8_t *before, const uint8_t *page, const uint8_t *next,
	bool cpuid_faults, struct native_found *found);

/*
 * Copies of pages, to be run only (native_patch.c). A copy is good for as long as writes to the page are watched, as those to
 * translated code are; what changes the page, or watches it no more, says so.
 */

/* Without memory for it there are none. */
void native_patches_create(struct native_patches *n);
void native_patches_destroy(struct native_patches *n);
/* Begins anew: no mirror has any. */
void native_patches_forget(struct native_patches *n);
/* native_off.c: if all are used, and half of them are good no more, begins anew. No lock is held, and the vCPU is outside of code. */
void native_patches_renew(struct vcpu *v);
/* The windows' lock is held. The copy of page `number`, with the bytes at `host`; -1: there can be none. */
int native_patch(struct native_patches *n, uint32_t number, const uint8_t *host,
	const struct native_found *found);
/* The same, if there is one. */
static inline int native_patch_find(const struct native_patches *n, uint32_t number)
{
	for (unsigned i = 0; i < n->used; i++)
		if (n->number[i] == number)
			return (int)i;
	return -1;
}
/* native_off.c: the page's bytes have changed, or are not watched any more: no mirror goes on with a copy. Any thread. */
void native_unpatch(struct translate_vm *vm, uint64_t gpa);

#endif
