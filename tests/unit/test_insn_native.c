/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What insn_decode() says of an instruction against what this processor does:
 * every instruction of the allowlist runs, with registers and with memory, and
 * nothing may change or matter that was not announced. An instruction that
 * lies about its registers or flags would corrupt a guest silently.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/state.h"
#include "insn_check.h"
#include "insn_forms.h"

static void visit_register(void *ctx, const uint8_t bytes[15])
{
	struct check *c = ctx;
	struct native_state in[2], out[2];
	struct native_fault fault[2];

	if (!decode_copy(c, bytes) || c->insn.has_mem)
		return;
	for (unsigned trial = 0; trial < (c->insn.encoding == ENC_EVEX ? 2 : 6); trial++) {
		native_random(&in[0], &c->seed);
		in[1] = in[0];
		disturb(c, &in[1], 0);
		for (unsigned k = 0; k < 2; k++) {
			fault[k] = native_run(c->native, &in[k], &out[k]);
			if (!fault_expected(c, &fault[k]))
				return;
			compare(c, &in[k], &out[k]);
		}
		if (fault[0].signal != fault[1].signal)
			complain(c, "faults by what it does not read", fault[0].signal,
				fault[1].signal);
		if (fault[0].signal == 0)
			compare_pair(c, out);
	}
}

static void test_registers(void **state)
{
	struct check *c = *state;

	check_begin(c);
	insn_forms(FORMS_REGISTER, visit_register, c);
	insn_forms(FORMS_MIXED, visit_register, c);
	check_end(c);
}

/* With floating-point exceptions unmasked, only what may_fault says may fault. */
static void visit_unmasked(void *ctx, const uint8_t bytes[15])
{
	struct check *c = ctx;
	struct native_state in, out;

	if (!decode_copy(c, bytes) || c->insn.may_fault ||
		(c->insn.has_mem && c->insn.modrm_offset == 0))
		return;
	for (unsigned trial = 0; trial < 4; trial++) {
		uint16_t fcw = 0x340, fsw = trial & 1 ? 0 : 0x80bf;
		uint32_t mxcsr = 0;
		struct native_fault fault;

		native_random(&in, &c->seed);
		memcpy(in.xsave, &fcw, 2);
		memcpy(in.xsave + 2, &fsw, 2);
		memcpy(in.xsave + 24, &mxcsr, 4);
		if (c->insn.has_mem) {
			fill(c);
			in.gpr[RBX] = (uintptr_t)c->page + 128;
		}
		fault = native_run(c->native, &in, &out);
		if (!fault_expected(c, &fault))
			return;
	}
}

static void test_unmasked(void **state)
{
	struct check *c = *state;

	check_begin(c);
	insn_forms(FORMS_REGISTER, visit_unmasked, c);
	insn_forms(FORMS_MIXED, visit_unmasked, c);
	insn_forms(FORMS_MEMORY, visit_unmasked, c);
	check_end(c);
}

/* --- memory ----------------------------------------------------------------------------- */

static struct native_fault run_at(struct check *c, struct native_state *in,
	struct native_state *out, const uint8_t *where)
{
	in->gpr[RBX] = (uintptr_t)where - c->insn.mem_disp;
	return native_run(c->native, in, out);
}

/* The operand ends exactly at the end of the page; one byte on, it does not. */
static void check_extent(struct check *c, struct native_state *in)
{
	const struct insn *i = &c->insn;
	uint8_t *last = c->page + PAGE - i->mem_size;
	struct native_state out;
	struct native_fault fault = run_at(c, in, &out, last);

	if (fault.signal && !(i->may_fault && fault.trap != TRAP_PF))
		complain(c, "touches more, or faults", i->mem_size, fault.trap);
	if (i->mem_aligned)
		return;
	fault = run_at(c, in, &out, last + 1);
	if (fault.signal != SIGSEGV && !i->mem_masked)
		complain(c, "touches less", i->mem_size, fault.trap);
	if (fault.signal == 0)
		return;
	compare(c, in, &out);
	if (in->rflags != out.rflags)
		complain(c, "flags changed by a fault", in->rflags, out.rflags);
}

static void check_alignment(struct check *c, struct native_state *in)
{
	const struct insn *i = &c->insn;
	struct native_state out;
	struct native_fault fault = run_at(c, in, &out, c->page + 64 + 1);

	if (is_ldmxcsr(i) || (i->mem_masked && fault.signal == 0))
		return; /* #GP for other reasons, or none if no lane is left */
	if (i->mem_aligned != (fault.trap == TRAP_GP))
		complain(c, "alignment", i->mem_aligned, fault.trap);
	if (!(native_mxcsr_mask() & MXCSR_MM))
		return;
	*(uint32_t *)(in->xsave + XSAVE_MXCSR) |= MXCSR_MM;
	fault = run_at(c, in, &out, c->page + 64 + 1);
	*(uint32_t *)(in->xsave + XSAVE_MXCSR) &= ~MXCSR_MM;
	if ((i->mem_aligned && !i->mem_relaxed) != (fault.trap == TRAP_GP))
		complain(c, "alignment with MXCSR.MM", i->mem_relaxed, fault.trap);
}

static void check_write(struct check *c, struct native_state *in)
{
	const struct insn *i = &c->insn;
	struct native_state out;
	struct native_fault fault;

	mprotect(c->page, PAGE, PROT_READ);
	fault = run_at(c, in, &out, c->page + 64);
	mprotect(c->page, PAGE, PROT_READ | PROT_WRITE);
	if (fault.trap == TRAP_PF && !i->mem_write)
		complain(c, "writes", 0, fault.trap);
	if (fault.signal == 0 && i->mem_write && !i->mem_masked)
		complain(c, "does not write", 1, fault.trap);
}

/* Two runs with memory that differs: whether it matters, and what is written where. */
static void check_contents(struct check *c, struct native_state *in)
{
	const struct insn *i = &c->insn;
	struct native_state pair[2] = {*in, *in}, out[2];
	uint8_t before[PAGE], after[2][PAGE];
	uint8_t *at = c->page + 128;

	if (i->mem_read)
		disturb(c, &pair[1], 1u << RBX);
	for (unsigned k = 0; k < 2; k++) {
		if (k == 0 || !i->mem_read)
			fill(c);
		else
			memcpy(c->page, before, PAGE);
		memcpy(before, c->page, PAGE);
		if (run_at(c, &pair[k], &out[k], at).signal)
			return;
		memcpy(after[k], c->page, PAGE);
		if (memcmp(before, after[k], 128) != 0 ||
			memcmp(before + 128 + i->mem_size, after[k] + 128 + i->mem_size,
				PAGE - 128 - i->mem_size) != 0)
			complain(c, "writes outside its operand", i->mem_size, 0);
		compare(c, &pair[k], &out[k]);
	}
	if (i->mem_masked && !i->mem_read)
		return;
	compare_pair(c, out);
	if (memcmp(after[0] + 128, after[1] + 128, i->mem_size) != 0)
		complain(c, "stores something else", i->gpr_read, 0);
}

static void visit_memory(void *ctx, const uint8_t bytes[15])
{
	struct check *c = ctx;
	struct native_state in;

	if (!decode_copy(c, bytes) || !c->insn.has_mem || c->insn.modrm_offset == 0)
		return;
	if (c->insn.mem_base != RBX || c->insn.mem_index != INSN_NO_REG)
		complain(c, "wrong base", RBX, c->insn.mem_base);
	for (unsigned trial = 0; trial < (c->insn.encoding == ENC_EVEX ? 1 : 3); trial++) {
		native_random(&in, &c->seed);
		fill(c);
		check_extent(c, &in);
		check_contents(c, &in);
	}
	fill(c);
	check_alignment(c, &in);
	check_write(c, &in);
}

static void test_memory(void **state)
{
	struct check *c = *state;

	check_begin(c);
	insn_forms(FORMS_MEMORY, visit_memory, c);
	insn_forms(FORMS_DISP8, visit_memory, c);
	check_end(c);
}

/* --- addresses ------------------------------------------------------------------------------ */

static uint64_t address(const struct insn *i, const struct native_state *s)
{
	uint64_t sum = i->mem_disp;

	if (i->mem_base != INSN_NO_REG)
		sum += s->gpr[i->mem_base];
	if (i->mem_index != INSN_NO_REG)
		sum += s->gpr[i->mem_index] * i->mem_scale;
	return i->address_size == 4 ? (uint32_t)sum : sum;
}

/* LEA tells how the processor understands ModRM, SIB, REX and displacements. */
static void test_addresses(void **state)
{
	struct check *c = *state;
	struct native_state in, out;

	check_begin(c);
	for (unsigned n = 0; n < 200000; n++) {
		uint64_t r[2] = {native_rand(&c->seed), native_rand(&c->seed)};
		uint8_t bytes[15];
		unsigned k = 0, to;

		if (r[0] >> 60 & 1)
			bytes[k++] = 0x67;
		bytes[k++] = 0x48 | (r[0] >> 56 & 7);
		bytes[k++] = 0x8d;
		bytes[k++] = (r[0] >> 48) % 0xc0;
		memcpy(bytes + k, r, 5);
		if (insn_decode(&c->insn, bytes, 15, 64, NULL) != 0 || c->insn.mem_base == INSN_RIP)
			continue;
		native_load(c->native, bytes, c->insn.length);
		native_random(&in, &c->seed);
		assert_int_equal(native_run(c->native, &in, &out).signal, 0);
		to = (c->insn.modrm >> 3 & 7) | (c->insn.rex & 4) << 1;
		if (c->insn.gpr_write != 1u << to || out.gpr[to] != address(&c->insn, &in))
			complain(c, "address", address(&c->insn, &in), out.gpr[to]);
		compare(c, &in, &out);
		c->forms++;
	}
	check_end(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_unmasked),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests_name("insn_native", tests, check_setup, check_teardown);
}
