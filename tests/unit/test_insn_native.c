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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <Zydis/Zydis.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "cpu/translate/emit.h"
#include "cpu/translate/insn.h"
#include "insn_forms.h"
#include "native.h"

#define PAGE 4096
#define FLAGS (FL_STATUS | FL_DF)
#define TRAP_UD 6
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
	const uint8_t *bytes;
	struct insn insn;
};

static void complain(struct check *c, const char *what, uint64_t expected, uint64_t found)
{
	char text[128];

	/* once for each mnemonic and kind of error is enough */
	for (unsigned n = 0; n < c->told; n++)
		if (c->tellings[n].mnemonic == c->insn.mnemonic && c->tellings[n].what == what)
			return;
	c->wrong++;
	if (c->told < sizeof(c->tellings) / sizeof(c->tellings[0]))
		c->tellings[c->told++] = (struct telling){c->insn.mnemonic, what};
	insn_format(&c->insn, 0, 64, text, sizeof(text));
	print_error("%s: %s: %llx, found %llx (", text, what, (unsigned long long)expected,
		(unsigned long long)found);
	for (unsigned i = 0; i < c->insn.length; i++)
		print_error("%02x", c->insn.bytes[i]);
	print_error(")\n");
}

/* x87 instruction and data pointers are the host's business; the header is XSAVE's. */
static bool vectors_equal(const struct native_state *a, const struct native_state *b)
{
	return memcmp(a->xsave, b->xsave, 6) == 0 && memcmp(a->xsave + 24, b->xsave + 24, 392) == 0 &&
	       memcmp(a->xsave + 576, b->xsave + 576, NATIVE_XSAVE_SIZE - 576) == 0;
}

static bool random_result(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_RDRAND || i->mnemonic == ZYDIS_MNEMONIC_RDSEED;
}

/* Other values in all that the instruction is said not to look at. */
static void disturb(struct check *c, struct native_state *s, uint16_t keep)
{
	struct native_state other;

	native_random(&other, &c->seed);
	for (unsigned r = 0; r < 16; r++)
		if (!((c->insn.gpr_read | keep) >> r & 1))
			s->gpr[r] = other.gpr[r];
	s->rflags ^= native_rand(&c->seed) & FLAGS & ~c->insn.flags_read;
}

static void compare(struct check *c, const struct native_state *in, const struct native_state *out)
{
	const struct insn *i = &c->insn;
	uint64_t kept = FLAGS & ~(i->flags_written | i->flags_maybe);

	for (unsigned r = 0; r < 16; r++)
		if (!(i->gpr_write >> r & 1) && in->gpr[r] != out->gpr[r])
			complain(c, "changes a register unannounced", i->gpr_write, r);
	if ((in->rflags ^ out->rflags) & kept)
		complain(c, "changes flags unannounced", i->flags_written | i->flags_maybe,
			(in->rflags ^ out->rflags) & kept);
}

static void compare_pair(struct check *c, const struct native_state out[2])
{
	const struct insn *i = &c->insn;

	if (random_result(i))
		return;
	for (unsigned r = 0; r < 16; r++)
		if ((i->gpr_write >> r & 1) && out[0].gpr[r] != out[1].gpr[r])
			complain(c, "depends on a register unannounced", i->gpr_read, r);
	if ((out[0].rflags ^ out[1].rflags) & i->flags_written)
		complain(c, "does not always overwrite flags", i->flags_written,
			(out[0].rflags ^ out[1].rflags) & i->flags_written);
	if (!vectors_equal(&out[0], &out[1]))
		complain(c, "vector state depends on more than announced", i->gpr_read, 0);
}

static bool fault_expected(struct check *c, const struct native_fault *f)
{
	if (f->signal == 0)
		return true;
	if (f->signal == SIGFPE && c->insn.may_fault)
		return true;
	if (f->signal == SIGILL)
		complain(c, "is undefined here", 0, f->trap);
	else
		complain(c, "faults unannounced", c->insn.may_fault, f->trap << 8 | f->signal);
	return false;
}

static bool decode_copy(struct check *c, const uint8_t bytes[15])
{
	if (insn_decode(&c->insn, bytes, 15, 64, &c->policy) != 0 || c->insn.class != INSN_COPY)
		return false;
	c->bytes = bytes;
	c->forms++;
	native_load(c->native, bytes, c->insn.length);
	return true;
}

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

/* Here and not in a fixture: cmocka catches signals itself around each of its functions. */
static void begin(struct check *c)
{
	c->forms = c->wrong = c->told = 0;
	c->native = native_create();
	assert_non_null(c->native);
}

static void end(struct check *c)
{
	native_destroy(c->native);
	print_message("%u forms\n", c->forms);
	assert_int_equal(c->wrong, 0);
	assert_true(c->forms > 1000);
}

static void test_registers(void **state)
{
	struct check *c = *state;

	begin(c);
	insn_forms(false, visit_register, c);
	end(c);
}

/* With floating-point exceptions unmasked, only what may_fault says may fault. */
static void visit_unmasked(void *ctx, const uint8_t bytes[15])
{
	struct check *c = ctx;
	struct native_state in, out;

	if (!decode_copy(c, bytes) || c->insn.has_mem || c->insn.may_fault)
		return;
	for (unsigned trial = 0; trial < 4; trial++) {
		uint16_t fcw = 0x340, fsw = trial & 1 ? 0 : 0x80bf;
		uint32_t mxcsr = 0;
		struct native_fault fault;

		native_random(&in, &c->seed);
		memcpy(in.xsave, &fcw, 2);
		memcpy(in.xsave + 2, &fsw, 2);
		memcpy(in.xsave + 24, &mxcsr, 4);
		fault = native_run(c->native, &in, &out);
		if (!fault_expected(c, &fault))
			return;
	}
}

static void test_unmasked(void **state)
{
	struct check *c = *state;

	begin(c);
	insn_forms(false, visit_unmasked, c);
	end(c);
}

/* --- memory ----------------------------------------------------------------------------- */

static void fill(struct check *c)
{
	for (unsigned i = 0; i < PAGE; i += 8) {
		uint64_t r = native_rand(&c->seed);

		memcpy(c->page + i, &r, 8);
	}
}

static struct native_fault run_at(struct check *c, struct native_state *in,
	struct native_state *out, const uint8_t *where)
{
	in->gpr[RBX] = (uintptr_t)where;
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

static bool is_ldmxcsr(const struct insn *i)
{
	return i->mnemonic == ZYDIS_MNEMONIC_LDMXCSR || i->mnemonic == ZYDIS_MNEMONIC_VLDMXCSR;
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

	begin(c);
	insn_forms(true, visit_memory, c);
	end(c);
}

/* --- masks ------------------------------------------------------------------------------ */

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

	memcpy(s->xsave + 1088 + 8 * 2, &mask, 8); /* k2 */
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
		check_split(c, &in, insn_mask(&c->insn, in.xsave), trial & 1);
	}
}

static void test_masks(void **state)
{
	struct check *c = *state;

	begin(c);
	insn_forms(true, visit_masked, c);
	insn_forms(false, visit_masked, c); /* MASKMOV */
	end(c);
}

/* --- prefixes --------------------------------------------------------------------------- */

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
	emit_copy(&e, i, 64, RBX);
	native_random(&in, &c->seed);
	in.gpr[RBX] = (uintptr_t)c->page + 64;
	fill(c);
	memcpy(before, c->page, PAGE);
	for (unsigned k = 0; k < 2; k++) {
		if (k == 0)
			native_load(c->native, bytes, i->length);
		else /* as the rewriter copies it: without REP where that means nothing */
			native_load(c->native, copy, e.at - copy);
		memcpy(c->page, before, PAGE);
		fault[k] = native_run(c->native, &in, &out[k]);
		if (!(is_ldmxcsr(i) && fault[k].trap == TRAP_GP) && !fault_expected(c, &fault[k]))
			return;
		compare(c, &in, &out[k]);
		memcpy(after[k], c->page, PAGE);
	}
	if (fault[0].signal != fault[1].signal || !vectors_equal(&out[0], &out[1]) ||
		memcmp(out[0].gpr, out[1].gpr, sizeof(out[0].gpr)) != 0 ||
		memcmp(after[0], after[1], PAGE) != 0)
		complain(c, "the copy does something else", 0, 0);
	if (!i->mem_write && memcmp(before, after[0], PAGE) != 0)
		complain(c, "writes memory", 0, 0);
}

static void visit_prefixes(void *ctx, const uint8_t bytes[15])
{
	static const char *const extra[] = {"\xf2", "\xf3", "\x66", "\x67", "\x2e", "\xf0",
		"\x66\xf2", "\x66\xf3", "\x48\x66", "\xf2\xf3", "\xf3\xf2", "\xf0\xf2",
		"\xf3\xf0", "\x48\x2e", "\x48\x40", "\x44\x48", "\xf3\x48\x66"};
	struct check *c = ctx;

	if (insn_decode(&c->insn, bytes, 15, 64, &c->policy) != 0 ||
		c->insn.class != INSN_COPY || c->insn.encoding != ENC_LEGACY)
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

	begin(c);
	insn_forms(false, visit_prefixes, c);
	insn_forms(true, visit_prefixes, c);
	end(c);
}

static int setup(void **state)
{
	struct check *c = calloc(1, sizeof(*c));
	struct error err = {0};
	uint8_t *area;

	c->seed = 1;
	if (cpuid_policy_init(&c->policy, CPUID_TRANSLATE, 1, &err) != 0)
		return -1;
	area = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED || mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE) != 0)
		return -1;
	c->page = area + PAGE;
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct check *c = *state;

	munmap(c->page - PAGE, 3 * PAGE);
	free(c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_unmasked),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests_name("insn_native", tests, setup, teardown);
}
