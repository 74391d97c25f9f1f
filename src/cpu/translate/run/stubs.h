/* SPDX-License-Identifier: Apache-2.0 */
/* The few lines of assembly between C and translated code. */
#ifndef DACH_CPU_TRANSLATE_STUBS_H
#define DACH_CPU_TRANSLATE_STUBS_H

#include <stdint.h>

#include "cpu/translate/vcpu.h"

/* What translated code said on leaving: r11 and r10. */
struct left {
	uint32_t why, flags; /* status flags and DF as PUSHFQ stores them */
	uint64_t arg;
};

/*
 * Loads the guest's registers from the vCPU at %gs and its flags, and jumps to code with r10 = linear,
 * the address of the next instruction. Comes back when the code leaves, all registers stored. Flags
 * go in registers: what C code has just stored at its own address of the vCPU, a load by %gs waits for.
 */
struct left stub_enter(void *code, uint64_t linear, uint64_t flags);
/* Jumped to by generated code, never called. */
void stub_leave(void);
void stub_lookup(void); /* leaves with LEAVE_LOOKUP */
void stub_slow(void);
void stub_commit(void);
/* Where a signal handler returns to, with a stack pointer of ours: goes on at resume with RSP = resume_rsp. */
void stub_restack(void);
extern const char stub_restack_jump[]; /* its last instruction, which has that RSP */
/* The same while ZMM_Hi256 is in use: marks AVX as vectors.c does. */
void stub_touch(void);

/*
 * memory/slow.c, what stub_slow and stub_commit call: the slow path of generated code, whose address is in
 * v->ea; the host address goes to v->scratch. Then, after the operation was done there.
 */
enum slow_result translate_slow(struct vcpu *v, const struct slow_access *d);
enum slow_result translate_commit(struct vcpu *v, const struct slow_access *d);

#endif
