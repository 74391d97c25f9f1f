/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and classification: the contract of insn.h, row by row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "cpu/state.h"
#include "cpu/translate/emit.h"
#include "cpu/translate/insn.h"
#include "insn_forms.h"

static unsigned failures;

/* --- other code sizes ------------------------------------------------------------------- */

static const unsigned *sizes = (const unsigned[]){16, 32};

static void complain(const struct insn *i, unsigned bits, const char *what)
{
	char text[128];

	static uint16_t last;

	if (failures++ > 40 || last == i->mnemonic)
		return;
	last = i->mnemonic;
	insn_format(i, 0, bits, text, sizeof(text));
	print_error("%s (%u-bit): %s:", text, bits, what);
	for (unsigned n = 0; n < i->length; n++)
		print_error(" %02x", i->bytes[n]);
	print_error("\n");
}

/* A copy made for 64-bit code is there what the original is in its own. */
static void check_copy(const uint8_t bytes[15], unsigned bits)
{
	struct insn from, to;
	uint8_t code[64] = {0};
	struct emit e = {code, 0};

	if (insn_decode(&from, bytes, 15, bits, NULL) != 0 || from.class != INSN_COPY)
		return;
	emit_copy(&e, &from, bits, RBX);
	if (insn_decode(&to, code, e.at - code, 64, NULL) != 0 || to.class != INSN_COPY) {
		complain(&from, bits, "the copy is undefined");
		return;
	}
	if (to.length != e.at - code)
		complain(&from, bits, "length");
	if (to.mnemonic != from.mnemonic)
		complain(&from, bits, "mnemonic");
	if (to.has_mem != from.has_mem || to.mem_size != from.mem_size ||
		to.mem_read != from.mem_read || to.mem_write != from.mem_write ||
		to.mem_masked != from.mem_masked || to.mem_aligned != from.mem_aligned ||
		to.mask_reg != from.mask_reg)
		complain(&from, bits, "memory");
	if (to.gpr_write != from.gpr_write)
		complain(&from, bits, "registers written");
	if (!to.has_mem && to.gpr_read != from.gpr_read)
		complain(&from, bits, "registers read");
	if (to.flags_read != from.flags_read || to.flags_written != from.flags_written ||
		to.flags_maybe != from.flags_maybe)
		complain(&from, bits, "flags");
	if (to.state != from.state || to.may_fault != from.may_fault || to.imm != from.imm)
		complain(&from, bits, "state, faults, immediate");
}

static void visit_sizes(void *ctx, const uint8_t bytes[15])
{
	uint8_t b[15];

	(void)ctx;
	for (unsigned n = 0; n < 2; n++) {
		check_copy(bytes, sizes[n]);
		if (bytes[0] != 0xc4 && bytes[0] != 0x62) {
			b[0] = 0x66;
			memcpy(b + 1, bytes, 14);
			check_copy(b, sizes[n]);
			continue;
		}
		/* bits that such code ignores */
		memcpy(b, bytes, 15);
		b[2] ^= 0x40;
		check_copy(b, sizes[n]);
		b[1] ^= 0x20;
		check_copy(b, sizes[n]);
		if (bytes[0] != 0x62)
			continue;
		b[1] ^= 0x10;
		check_copy(b, sizes[n]);
		b[3] ^= 8;
		check_copy(b, sizes[n]);
	}
}

static void test_sizes(void **state)
{
	(void)state;
	failures = 0;
	insn_forms(false, visit_sizes, NULL);
	insn_forms(true, visit_sizes, NULL);
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests_name("insn", tests, NULL, NULL);
}
