/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs one instruction on this processor with all of the state that a program
 * has: for tests that hold what we say of an instruction against what it does.
 */
#ifndef DACH_TESTS_NATIVE_H
#define DACH_TESTS_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "../native_state.h"

#define NATIVE_XSAVE_SIZE 2752 /* x87, SSE, AVX, AVX-512 in the standard format */

/* Generated code finds the fields by their offsets: see native.c. */
struct native_state {
	uint64_t gpr[16];
	uint64_t rflags; /* of it: status flags and DF */
	uint64_t unused[7];
	uint8_t xsave[NATIVE_XSAVE_SIZE] __attribute__((aligned(64)));
};

/* What came of it. */
struct native_fault {
	int signal;                    /* 0: none */
	uint64_t trap, error, address; /* x86 vector, error code, CR2 */
};

struct native;

struct native *native_create(void);
void native_destroy(struct native *n);
/* The instruction that runs from now on. length at most 15. */
void native_load(struct native *n, const uint8_t *bytes, unsigned length);
/*
 * Runs it once. out is the state after it, or at the fault. The FS and GS bases are not touched;
 * rsp may be anything.
 */
struct native_fault native_run(struct native *n, const struct native_state *in,
	struct native_state *out);
/* Leaves *state with plausible control words and everything else random. */
void native_random(struct native_state *state, uint64_t *seed);
uint64_t native_rand(uint64_t *seed);

#endif
