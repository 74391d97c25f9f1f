/* SPDX-License-Identifier: Apache-2.0 */
/* String and bit-string instructions, against the processor this runs on. */
#include <stdlib.h>

#include "emulate_rig.h"

static uint8_t native_memory[RIG_SIZE];

/* --- against the host ---------------------------------------------------------------- */

struct registers {
	uint64_t rax, rcx, rsi, rdi, flags;
};

/* Runs one string instruction natively on native_memory; rsi and rdi are offsets in it. */
#define NATIVE(name, text)                                                            \
	static void native_##name(struct registers *r)                                \
	{                                                                             \
		uint64_t base = (uint64_t)native_memory, flags;                       \
                                                                                      \
		r->rsi += base;                                                       \
		r->rdi += base;                                                       \
		__asm__ volatile("push %[in]; popf; " text "; pushf; pop %[out]; cld" \
				 : "+a"(r->rax), "+c"(r->rcx), "+S"(r->rsi),          \
				 "+D"(r->rdi), [out] "=&r"(flags)                     \
				 : [in] "r"(r->flags)                                 \
				 : "memory", "cc");                                   \
		r->flags = flags;                                                     \
		r->rsi -= base;                                                       \
		r->rdi -= base;                                                       \
	}
#define NATIVES(op)                   \
	NATIVE(op##b, "rep " #op "b") \
	NATIVE(op##w, "rep " #op "w") \
	NATIVE(op##l, "rep " #op "l") \
	NATIVE(op##q, "rep " #op "q")
NATIVES(movs)
NATIVES(stos)
NATIVES(lods)
NATIVES(cmps)
NATIVES(scas)
NATIVE(necmpsb, "repne cmpsb")
NATIVE(nescasw, "repne scasw")
NATIVE(onemovsl, "movsl")
NATIVE(onecmpsq, "cmpsq")
NATIVE(onestosb, "stosb")

static const struct form {
	void (*native)(struct registers *r);
	uint8_t bytes[3], length, size;
} forms[] = {
	{native_movsb, {0xf3, 0xa4}, 2, 1},
	{native_movsw, {0x66, 0xf3, 0xa5}, 3, 2},
	{native_movsl, {0xf3, 0xa5}, 2, 4},
	{native_movsq, {0xf3, 0x48, 0xa5}, 3, 8},
	{native_stosb, {0xf3, 0xaa}, 2, 1},
	{native_stosw, {0x66, 0xf3, 0xab}, 3, 2},
	{native_stosl, {0xf3, 0xab}, 2, 4},
	{native_stosq, {0xf3, 0x48, 0xab}, 3, 8},
	{native_lodsb, {0xf3, 0xac}, 2, 1},
	{native_lodsw, {0x66, 0xf3, 0xad}, 3, 2},
	{native_lodsl, {0xf3, 0xad}, 2, 4},
	{native_lodsq, {0xf3, 0x48, 0xad}, 3, 8},
	{native_cmpsb, {0xf3, 0xa6}, 2, 1},
	{native_cmpsw, {0x66, 0xf3, 0xa7}, 3, 2},
	{native_cmpsl, {0xf3, 0xa7}, 2, 4},
	{native_cmpsq, {0xf3, 0x48, 0xa7}, 3, 8},
	{native_scasb, {0xf3, 0xae}, 2, 1},
	{native_scasw, {0x66, 0xf3, 0xaf}, 3, 2},
	{native_scasl, {0xf3, 0xaf}, 2, 4},
	{native_scasq, {0xf3, 0x48, 0xaf}, 3, 8},
	{native_necmpsb, {0xf2, 0xa6}, 2, 1},
	{native_nescasw, {0x66, 0xf2, 0xaf}, 3, 2},
	{native_onemovsl, {0xa5}, 1, 4},
	{native_onecmpsq, {0x48, 0xa7}, 2, 8},
	{native_onestosb, {0xaa}, 1, 1},
};

static void run_to_end(const struct form *f)
{
	for (unsigned n = 0; n < 100000 && rig.cpu.rip == RIG_CODE; n++)
		assert_ok(rig_step_bytes(f->bytes, f->length));
	assert_int_equal(rig.cpu.rip, RIG_CODE + f->length);
}

static void one_comparison(const struct form *f)
{
	struct registers r;
	bool down = rand() & 1;
	unsigned most = rand() & 3 ? 40 : 20000 / f->size;

	/* a few different bytes make comparisons run for a while */
	for (unsigned k = 0; k < RIG_SIZE / 4; k++)
		rig_memory[RIG_SIZE / 4 + k] = rand() % 50 ? 0 : 1;
	for (unsigned k = RIG_SIZE / 4 >> 12; k < RIG_SIZE >> 12; k++)
		rig_page[k] = rand() % 4 ? 0 : RIG_PAGE_DEVICE;
	r.rsi = RIG_SIZE / 2 + rand() % 8192;
	r.rdi = rand() & 1 ? r.rsi + rand() % 41 - 20 : RIG_SIZE / 2 + rand() % 8192;
	memcpy(native_memory, rig_memory, RIG_SIZE);
	r.rax = rand() % 3;
	r.rcx = rand() % most;
	r.flags = 2 | (down ? FL_DF : 0) | (rand() & FL_STATUS);
	rig.cpu.rip = RIG_CODE;
	rig.cpu.gpr[RAX] = r.rax;
	rig.cpu.gpr[RCX] = r.rcx;
	rig.cpu.gpr[RSI] = r.rsi;
	rig.cpu.gpr[RDI] = r.rdi;
	rig.cpu.rflags = r.flags;
	f->native(&r);
	run_to_end(f);
	assert_int_equal(rig.cpu.gpr[RAX], r.rax);
	assert_int_equal(rig.cpu.gpr[RCX], r.rcx);
	assert_int_equal(rig.cpu.gpr[RSI], r.rsi);
	assert_int_equal(rig.cpu.gpr[RDI], r.rdi);
	assert_int_equal(rig.cpu.rflags & (FL_STATUS | FL_DF), r.flags & (FL_STATUS | FL_DF));
	assert_memory_equal(rig_memory, native_memory, RIG_SIZE);
}

static void like_the_host(void **state)
{
	rig_long();
	srand(1);
	for (unsigned n = 0; n < 400; n++)
		one_comparison(&forms[n % (sizeof(forms) / sizeof(forms[0]))]);
}

/* --- faults, limits, wrapping -------------------------------------------------------- */

static void precise_faults(void **state)
{
	rig_long();
	rig_page[(RIG_DATA >> 12) + 2] = RIG_PAGE_READ_ONLY;
	rig.cpu.gpr[RSI] = RIG_DATA + 0x8000;
	rig.cpu.gpr[RDI] = RIG_DATA + 0x100;
	rig.cpu.gpr[RCX] = 0x4000;
	for (unsigned k = 0; k < 0x4000; k++)
		rig_memory[RIG_DATA + 0x8000 + k] = (uint8_t)(k * 7);
	assert_fault(STEP(0xf3, 0xa4), EXC_PF, 3);
	assert_int_equal(rig.fault.cr2, RIG_DATA + 0x2000);
	assert_int_equal(rig.cpu.gpr[RDI], RIG_DATA + 0x2000);
	assert_int_equal(rig.cpu.gpr[RSI], RIG_DATA + 0x8000 + 0x1f00);
	assert_int_equal(rig.cpu.gpr[RCX], 0x4000 - 0x1f00);
	assert_memory_equal(rig_memory + RIG_DATA + 0x100, rig_memory + RIG_DATA + 0x8000, 0x1f00);
	rig_page[(RIG_DATA >> 12) + 2] = 0;
	assert_ok(STEP(0xf3, 0xa4));
	assert_int_equal(rig.cpu.gpr[RCX], 0);
	assert_memory_equal(rig_memory + RIG_DATA + 0x100, rig_memory + RIG_DATA + 0x8000, 0x4000);
	/* an element across the border of a page that is not there */
	rig_page[(RIG_DATA >> 12) + 2] = RIG_PAGE_ABSENT;
	rig.cpu.gpr[RDI] = RIG_DATA + 0x2000 - 12;
	rig.cpu.gpr[RCX] = 4;
	rig.cpu.gpr[RAX] = -1;
	assert_fault(STEP(0xf3, 0x48, 0xab), EXC_PF, 2);
	assert_int_equal(rig.cpu.gpr[RCX], 3);
	assert_int_equal(get(RIG_DATA + 0x2000 - 4, 4),
		rig_memory[RIG_DATA + 0x2000 - 4] |
			(uint64_t)rig_memory[RIG_DATA + 0x2000 - 3] << 8 |
			(uint64_t)rig_memory[RIG_DATA + 0x2000 - 2] << 16 |
			(uint64_t)rig_memory[RIG_DATA + 0x2000 - 1] << 24);
	/* non-canonical */
	rig.cpu.gpr[RDI] = 1ull << 47;
	assert_fault(STEP(0xf3, 0xaa), EXC_GP, 0);
	/* a count of zero touches nothing */
	rig.cpu.gpr[RCX] = 0;
	assert_ok(STEP(0xf3, 0xaa));
	assert_int_equal(rig.cpu.gpr[RDI], 1ull << 47);
}

/* SDM 2B, REP: as before the instruction; AMD's processors have those of the last element. */
static void flags_at_faults(void **state)
{
	for (unsigned amd = 0; amd < 2; amd++) {
		rig_long();
		if (amd)
			rig_amd(0);
		rig_page[(RIG_DATA >> 12) + 1] = RIG_PAGE_ABSENT;
		rig.cpu.rflags = 2 | FL_CF | FL_OF;
		rig.cpu.gpr[RDI] = RIG_DATA + 0x1000 - 8;
		rig.cpu.gpr[RCX] = 9;
		rig.cpu.gpr[RAX] = 0;
		assert_fault(STEP(0xf3, 0xaf), EXC_PF, 0); /* repe scasd */
		assert_int_equal(rig.cpu.gpr[RCX], 7);
		assert_int_equal(rig.cpu.rflags, amd ? 2 | FL_ZF | FL_PF : 2 | FL_CF | FL_OF);
		rig.cpu.rflags = 2 | FL_CF;
		assert_fault(STEP(0xf3, 0xaf), EXC_PF, 0); /* none compared */
		assert_int_equal(rig.cpu.rflags, 2 | FL_CF);
		rig.cpu.gpr[RSI] = RIG_DATA + 0x1000 - 3;
		rig.cpu.gpr[RDI] = RIG_DATA;
		assert_fault(STEP(0xf3, 0xa6), EXC_PF, 0); /* repe cmpsb */
		assert_int_equal(rig.cpu.rflags, amd ? 2 | FL_ZF | FL_PF : 2 | FL_CF);
	}
}

static uint64_t told_first(uint32_t amd, bool rep)
{
	rig_long();
	if (amd)
		rig_amd(amd);
	rig_page[(RIG_DATA >> 12) + 1] = rig_page[(RIG_DATA >> 12) + 3] = RIG_PAGE_ABSENT;
	rig.cpu.gpr[RSI] = RIG_DATA + 0x1000;
	rig.cpu.gpr[RDI] = RIG_DATA + 0x3000;
	rig.cpu.gpr[RCX] = 2;
	if (rep)
		assert_fault(STEP(0xf3, 0xa6), EXC_PF, 0);
	else
		assert_fault(STEP(0xa6), EXC_PF, 0);
	return rig.fault.cr2;
}

/* CMPS with nothing to read: no manual tells; as seen. */
static void order_of_operands(void **state)
{
	assert_int_equal(told_first(0, false), RIG_DATA + 0x3000);
	assert_int_equal(told_first(0, true), RIG_DATA + 0x3000);
	assert_int_equal(told_first(0xa10f11, false), RIG_DATA + 0x3000);
	assert_int_equal(told_first(0xa10f11, true), RIG_DATA + 0x1000);
	assert_int_equal(told_first(0xb00f21, false), RIG_DATA + 0x1000);
	assert_int_equal(told_first(0xb00f21, true), RIG_DATA + 0x1000);
}

/* SDM 2B: written, of 32 bits with 67; AMD's processors leave them alone. */
static void nothing_to_do(void **state)
{
	for (unsigned amd = 0; amd < 2; amd++) {
		rig_long();
		if (amd)
			rig_amd(0);
		rig.cpu.gpr[RCX] = 5ull << 32;
		rig.cpu.gpr[RDI] = 6ull << 32 | 7;
		assert_ok(STEP(0x67, 0xf3, 0xaa));
		assert_int_equal(rig.cpu.gpr[RCX], amd ? 5ull << 32 : 0);
		assert_int_equal(rig.cpu.gpr[RDI], amd ? 6ull << 32 | 7 : 7);
	}
}

/* Work is bounded, and a kick ends it. */
static void interruptible(void **state)
{
	rig_long();
	rig.cpu.gpr[RDI] = RIG_DATA;
	rig.cpu.gpr[RCX] = 0x18000;
	assert_ok(STEP(0xf3, 0xaa));
	assert_int_equal(rig.cpu.rip, RIG_CODE);
	assert_int_equal(rig.cpu.gpr[RCX], 0x8000);
	assert_ok(STEP(0xf3, 0xaa));
	assert_int_equal(rig.cpu.rip, RIG_CODE + 2);
	rig.cpu.rip = RIG_CODE;
	rig.cpu.gpr[RCX] = 0x2000;
	__atomic_store_n(&rig.kicked, 1, __ATOMIC_SEQ_CST);
	assert_ok(STEP(0xf3, 0xaa));
	assert_int_equal(rig.cpu.rip, RIG_CODE);
	assert_int_equal(rig.cpu.gpr[RCX], 0x1000);
}

static void small_addresses(void **state)
{
	/* 16 bits: SI and DI wrap inside their segments, the upper halves stay */
	rig_real();
	rig.cpu.seg[SEG_DS].base = 0x40000;
	rig.cpu.seg[SEG_ES].base = 0x60000;
	put(0x4fffc, 0x44332211, 4);
	put(0x40000, 0x88776655, 4);
	rig.cpu.gpr[RSI] = 0xaaaafffc;
	rig.cpu.gpr[RDI] = 0xbbbbfffe;
	rig.cpu.gpr[RCX] = 0xcccc0008;
	assert_ok(STEP(0xf3, 0xa4));
	assert_int_equal(rig.cpu.gpr[RSI], 0xaaaa0004);
	assert_int_equal(rig.cpu.gpr[RDI], 0xbbbb0006);
	assert_int_equal(rig.cpu.gpr[RCX], 0xcccc0000);
	assert_int_equal(get(0x6fffe, 2), 0x2211);
	assert_int_equal(get(0x60000, 6), 0x887766554433);
	/* a word across the end of a segment */
	rig.cpu.gpr[RDI] = 0xffff;
	assert_fault(STEP(0xab), EXC_GP, 0);
	/* 32-bit addresses in 64-bit code: the upper halves go */
	rig_long();
	rig.cpu.gpr[RSI] = 0x100000000 | RIG_DATA;
	rig.cpu.gpr[RDI] = 0x100000000 | (RIG_DATA + 0x1000);
	rig.cpu.gpr[RCX] = 0x100000004;
	assert_ok(STEP(0x67, 0xf3, 0xa4));
	assert_int_equal(rig.cpu.gpr[RSI], RIG_DATA + 4);
	assert_int_equal(rig.cpu.gpr[RCX], 0);
	/* FS for the source */
	rig.cpu.seg[SEG_FS].base = 0x1000;
	put(RIG_DATA + 0x1000, 0x77, 1);
	rig.cpu.gpr[RSI] = RIG_DATA;
	assert_ok(STEP(0x64, 0xac));
	assert_int_equal(rig.cpu.gpr[RAX] & 0xff, 0x77);
}

/* A limit that ends in the middle of a run. */
static void segment_limits(void **state)
{
	rig_protected();
	rig.cpu.seg[SEG_ES] = (struct segment){SEL_FREE, 0x93, 0x1fff, RIG_DATA};
	rig.cpu.gpr[RDI] = 0x1f80;
	rig.cpu.gpr[RCX] = 0x100;
	rig.cpu.gpr[RAX] = 0x5a;
	rig_page[RIG_DATA >> 12] = 0;
	assert_fault(STEP(0xf3, 0xaa), EXC_GP, 0);
	assert_int_equal(rig.cpu.gpr[RDI], 0x2000);
	assert_int_equal(rig.cpu.gpr[RCX], 0x80);
	assert_int_equal(rig_memory[RIG_DATA + 0x1fff], 0x5a);
	assert_int_equal(rig_memory[RIG_DATA + 0x2000], 0);
}

static void ports(void **state)
{
	rig_long();
	rig.cpu.gpr[RDX] = 0x1f0;
	rig.cpu.gpr[RDI] = RIG_DATA;
	rig.cpu.gpr[RCX] = 3;
	assert_ok(STEP(0xf3, 0x66, 0x6d));
	assert_int_equal(get(RIG_DATA, 6), 0x778a77897788);
	rig.cpu.gpr[RSI] = RIG_DATA;
	rig.cpu.gpr[RCX] = 2;
	rig_ports = 0;
	assert_ok(STEP(0xf3, 0x6e));
	assert_int_equal(rig_port[0], 0x88);
	assert_int_equal(rig_port[1], 0x77);
	/* the bitmap */
	rig_user();
	rig.cpu.tr.limit = 0x67 + 0x40;
	put(RIG_TSS + 102, 0x68, 2);
	put(RIG_TSS + 0x68 + 0x1f0 / 8, 0, 2);
	rig.cpu.gpr[RDX] = 0x1f0;
	assert_ok(STEP(0xed));
	assert_int_equal(rig.cpu.gpr[RAX], 0x55667788);
	put(RIG_TSS + 0x68 + 0x1f0 / 8, 8, 2);
	assert_ok(STEP(0x66, 0xed));
	assert_fault(STEP(0xed), EXC_GP, 0);
	rig.cpu.gpr[RDX] = 0x1f8;
	assert_fault(STEP(0xec), EXC_GP, 0); /* its second byte is beyond the limit */
	rig.cpu.rflags |= FL_IOPL;
	assert_ok(STEP(0xec));
	assert_ok(STEP(0xe6, 0x80));
	rig.cpu.gpr[RAX] = -1;
	assert_ok(STEP(0xec));
	assert_int_equal(rig.cpu.gpr[RAX] >> 8, 0xffffffffffffff);
}

/* --- bits ---------------------------------------------------------------------------- */

static void bit_strings(void **state)
{
	static const uint8_t opcode[] = {0xa3, 0xab, 0xb3, 0xbb};

	rig_long();
	srand(2);
	for (unsigned n = 0; n < 2000; n++) {
		unsigned size = 2u << rand() % 3, op = rand() % 4, prefixes = 0;
		uint64_t base = RIG_DATA + rand() % 64, expect, at;
		int64_t index = rand() % 200000 - 100000;
		uint8_t code[8];
		bool carry;

		if (size == 2)
			index = (int16_t)index;
		if (rand() & 1 && op)
			code[prefixes++] = 0xf0;
		if (size == 2)
			code[prefixes++] = 0x66;
		if (size == 8)
			code[prefixes++] = 0x48;
		code[prefixes++] = 0x0f;
		code[prefixes++] = opcode[op];
		code[prefixes++] = 0x03; /* [rbx], eax */
		at = base + (index >> 3);
		rig_memory[at] = (uint8_t)rand();
		rig_page[at >> 12] = rand() & 1 ? RIG_PAGE_DEVICE : 0;
		expect = rig_memory[at];
		carry = expect >> (index & 7) & 1;
		expect = op == 1  ? expect | 1u << (index & 7)
			: op == 2 ? expect & ~(1u << (index & 7))
			: op == 3 ? expect ^ 1u << (index & 7)
				  : expect;
		rig.cpu.gpr[RBX] = base;
		rig.cpu.gpr[RAX] = (uint64_t)index & size_mask(size);
		rig.cpu.rip = RIG_CODE;
		rig.cpu.rflags = 2 | (rand() & FL_STATUS);
		assert_ok(rig_step_bytes(code, prefixes));
		assert_int_equal(rig_memory[at], expect);
		assert_int_equal(rig.cpu.rflags & FL_CF, carry);
	}
	/* BT needs no write access, BTS does */
	rig_page[RIG_DATA >> 12] = RIG_PAGE_READ_ONLY;
	rig.cpu.gpr[RBX] = RIG_DATA;
	rig.cpu.gpr[RAX] = 0;
	assert_ok(STEP(0x0f, 0xa3, 0x03));
	assert_fault(STEP(0x0f, 0xab, 0x03), EXC_PF, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_the_host),
		cmocka_unit_test(precise_faults),
		cmocka_unit_test(flags_at_faults),
		cmocka_unit_test(order_of_operands),
		cmocka_unit_test(nothing_to_do),
		cmocka_unit_test(interruptible),
		cmocka_unit_test(small_addresses),
		cmocka_unit_test(segment_limits),
		cmocka_unit_test(ports),
		cmocka_unit_test(bit_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
