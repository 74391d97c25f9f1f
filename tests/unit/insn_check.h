/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What insn_decode() says of an instruction held against what this processor
 * does: the parts that the tests of that share.
 */
#ifndef DACH_TESTS_INSN_CHECK_H
#define DACH_TESTS_INSN_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/cpuid.h"
#include "cpu/translate/decode/insn.h"
#include "native.h"

#define PAGE 4096
#define FLAGS (FL_STATUS | FL_DF)
#define TRAP_GP 13
#define TRAP_PF 14

struct telling {
	uint16_t mnemonic;
	const char *what;
};

struct check {
	struct native *native;
	struct cpuid_policy policy;
	uint8_t *page; /* one page, between two that are not there */
	uint64_t seed;
	unsigned forms, wrong, told;
	struct telling tellings[1000];
	struct insn insn;
};

int check_setup(void **state);
int check_teardown(void **state);
/* At the start and end of a test: cmocka catches signals itself around each of its functions. */
void check_begin(struct check *c);
void check_end(struct check *c);

/* An error; told once for each mnemonic and kind. */
void complain(struct check *c, const char *what, uint64_t expected, uint64_t found);
/* Decodes into c->insn and loads; false if it is not copied. */
bool decode_copy(struct check *c, const uint8_t bytes[15]);
/* Other values in all that the instruction is said not to look at; registers in keep stay. */
void disturb(struct check *c, struct native_state *s, uint16_t keep);
/* Nothing changed but what was announced. */
void compare(struct check *c, const struct native_state *in, const struct native_state *out);
/* Two runs that differed only in what the instruction does not read had the same results. */
void compare_pair(struct check *c, const struct native_state out[2]);
bool vectors_equal(const struct native_state *a, const struct native_state *b);
bool fault_expected(struct check *c, const struct native_fault *f);
bool random_result(const struct insn *i);
bool is_ldmxcsr(const struct insn *i);
/* Random bytes in the page. */
void fill(struct check *c);

#endif
