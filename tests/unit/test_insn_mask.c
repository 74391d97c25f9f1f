/* SPDX-License-Identifier: Apache-2.0 */
/* insn_mask() against the processor: which bytes of an operand fault at the edge of a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "insn_check.h"
#include "insn_forms.h"

static uint64_t low_bits(unsigned count)
{
	return count >= 64 ? ~0ull : (1ull << count) - 1;
}

/* Some lanes off, all off, one on: random vectors have every lane somewhere. */
static void random_mask(struct check *c, struct native_state *s)
{
	uint64_t r = native_rand(&c->seed), one = 1ull << (r >> 8 & 63);
	uint64_t masks[] = {r, 0, one, ~one, ~0ull, r & (r >> 7), low_bits(r >> 8 & 63),
		~low_bits(r >> 8 & 63)};
	uint64_t mask = masks[native_rand(&c->seed) % 8];

	if (native_component(5))
		memcpy(s->xsave + native_component(5) + 8 * 2, &mask, 8); /* k2 */
}

static void check_split(struct check *c, struct native_state *in, uint64_t mask, bool low)
{
	const struct insn *i = &c->insn;
	unsigned split = native_rand(&c->seed) % (i->mem_size + 1u);
	uint64_t missing;
	struct native_fault fault;
	struct native_state out;
	uint8_t *at;

	if (i->mem_aligned)
		split = split & 1 ? 0 : i->mem_size;
	at = low ? c->page - split : c->page + PAGE - split;
	missing = low ? mask & low_bits(split) : mask & ~low_bits(split);
	in->gpr[i->mem_base] = (uintptr_t)at;
	fault = native_run(c->native, in, &out);
	if (fault.signal == SIGFPE)
		return;
	if (missing && fault.trap != TRAP_PF)
		complain(c, "mask: touches less", mask, split << 8 | i->mem_size | low << 31);
	/* MASKMOV may look at whole vectors; who emulates it need not */
	if (!missing && fault.signal && i->mem_mask < INSN_MASK_BYTES)
		complain(c, "mask: touches more", mask, split << 8 | i->mem_size | low << 31);
}

static void visit_masked(void *ctx, const uint8_t bytes[15])
{
	struct check *c = ctx;
	struct native_state in;

	if (insn_decode(&c->insn, bytes, 15, 64, &c->policy) != 0 || !c->insn.mem_masked)
		return;
	c->forms++;
	native_load(c->native, bytes, c->insn.length);
	for (unsigned trial = 0; trial < 16; trial++) {
		native_random(&in, &c->seed);
		random_mask(c, &in);
		fill(c);
		check_split(c, &in, insn_mask(&c->insn, in.xsave, native_component(5)), trial & 1);
	}
}

static void test_masks(void **state)
{
	struct check *c = *state;

	check_begin(c);
	insn_forms(FORMS_MEMORY, visit_masked, c);
	insn_forms(FORMS_REGISTER, visit_masked, c); /* MASKMOV */
	check_end(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks),
	};

	return cmocka_run_group_tests_name("insn_mask", tests, check_setup, check_teardown);
}
