/* SPDX-License-Identifier: Apache-2.0 */
/* Prefixes of all kinds before copied instructions: what is decoded, and copied, is what runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cpu/state.h"
#include "cpu/translate/emit/emit.h"
#include "insn_check.h"
#include "insn_forms.h"

static void check_prefixed(struct check *c, const uint8_t bytes[15])
{
	const struct insn *i = &c->insn;
	struct native_state in, out[2];
	struct native_fault fault[2];
	uint8_t copy[32], before[PAGE], after[2][PAGE];
	struct emit e = {copy, 0};

	if (insn_decode(&c->insn, bytes, 15, 64, &c->policy) != 0 || i->class != INSN_COPY ||
		random_result(i) || (i->has_mem && (i->mem_base != RBX || i->address_size != 8)))
		return;
	c->forms++;
	emit_copy(&e, i, 64, at_reg(RBX, 0));
	native_random(&in, &c->seed);
	in.gpr[RBX] = (uintptr_t)c->page + 64;
	fill(c);
	memcpy(before, c->page, PAGE);
	for (unsigned k = 0; k < 2; k++) {
		if (k == 0)
			native_load(c->native, bytes, i->length);
		else /* as the code generator copies it: without REP where that means nothing */
			native_load(c->native, copy, e.at - copy);
		memcpy(c->page, before, PAGE);
		fault[k] = native_run(c->native, &in, &out[k]);
		if (!(is_ldmxcsr(i) && fault[k].trap == TRAP_GP) && !fault_expected(c, &fault[k]))
			return;
		compare(c, &in, &out[k]);
		memcpy(after[k], c->page, PAGE);
	}
	if (fault[0].signal != fault[1].signal || !vectors_equal(&out[0], &out[1]) ||
		out[0].rflags != out[1].rflags ||
		memcmp(out[0].gpr, out[1].gpr, sizeof(out[0].gpr)) != 0 ||
		memcmp(after[0], after[1], PAGE) != 0)
		complain(c, "the copy does something else", 0, 0);
	if (!i->mem_write && memcmp(before, after[0], PAGE) != 0)
		complain(c, "writes memory", 0, 0);
}

static void visit_prefixes(void *ctx, const uint8_t bytes[15])
{
	static const char *const extra[] = {"\xf2", "\xf3", "\x66", "\x67", "\x2e", "\xf0",
		"\x66\xf2", "\x66\xf3", "\x48\x66", "\xf2\xf3", "\xf3\xf2", "\xf0\xf2", "\xf3\xf0",
		"\x48\x2e", "\x48\x40", "\x44\x48", "\xf3\x48\x66"};
	struct check *c = ctx;

	if (insn_decode(&c->insn, bytes, 15, 64, &c->policy) != 0 || c->insn.class != INSN_COPY ||
		c->insn.encoding != ENC_LEGACY)
		return;
	for (unsigned n = 0; n < sizeof(extra) / sizeof(extra[0]); n++) {
		unsigned length = strlen(extra[n]);
		uint8_t b[15];

		memcpy(b, extra[n], length);
		memcpy(b + length, bytes, 15 - length);
		check_prefixed(c, b);
	}
}

static void test_prefixes(void **state)
{
	struct check *c = *state;

	check_begin(c);
	insn_forms(FORMS_REGISTER, visit_prefixes, c);
	insn_forms(FORMS_MIXED, visit_prefixes, c);
	insn_forms(FORMS_MEMORY, visit_prefixes, c);
	check_end(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests_name("insn_prefix", tests, check_setup, check_teardown);
}
