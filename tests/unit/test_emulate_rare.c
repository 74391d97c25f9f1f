/* SPDX-License-Identifier: Apache-2.0 */
/* The rest: flags, MSRs, control registers, stack in all widths, decimal arithmetic, plain
 * integers. */
#include <stdlib.h>

#include "emulate_rig.h"

/* --- system -------------------------------------------------------------------------- */

static void interrupt_flag(void **state)
{
	rig_long();
	assert_ok(STEP(0xfa));
	assert_int_equal(rig.cpu.rflags, 2);
	assert_ok(STEP(0xfb));
	assert_int_equal(rig.cpu.rflags, 2 | FL_IF);
	assert_int_equal(rig.cpu.sti_shadow, 1);
	assert_ok(STEP(0xfb)); /* a second one holds nothing off */
	assert_int_equal(rig.cpu.sti_shadow, 0);
	assert_int_equal(STEP(0xf4), OUT_HALT);
	assert_int_equal(rig.cpu.rip, RIG_CODE + 4);
	rig_user();
	assert_fault(STEP(0xfa), EXC_GP, 0);
	assert_fault(STEP(0xfb), EXC_GP, 0);
	assert_fault(STEP(0xf4), EXC_GP, 0);
	rig.cpu.rflags |= FL_IOPL;
	assert_ok(STEP(0xfa));
}

static void flags_on_the_stack(void **state)
{
	rig_long();
	rig.cpu.rflags = 2 | FL_IF | FL_CF | FL_RF;
	assert_ok(STEP(0x9c));
	assert_int_equal(get(RIG_STACK0 - 0x108, 8), 2 | FL_IF | FL_CF);
	put(RIG_STACK0 - 0x108, ~0ull, 8);
	assert_ok(STEP(0x9d));
	assert_int_equal(rig.cpu.rflags, 0x247fd7);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0x100);
	/* 16 bits leave AC and ID alone */
	put(RIG_STACK0 - 0x100, 0, 8);
	assert_ok(STEP(0x66, 0x9d));
	assert_int_equal(rig.cpu.rflags, 2 | FL_AC | FL_ID);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0xfe);
	rig_user();
	put((uint32_t)rig.cpu.gpr[RSP], ~0ull, 8);
	assert_ok(STEP(0x9d));
	assert_int_equal(rig.cpu.rflags,
		2 | FL_STATUS | FL_TF | FL_IF | FL_DF | FL_NT | FL_AC | FL_ID);
}

static void access_flag(void **state)
{
	rig_long();
	assert_ok(STEP(0x0f, 0x01, 0xcb));
	assert_true(rig.cpu.rflags & FL_AC);
	assert_ok(STEP(0x0f, 0x01, 0xca));
	assert_false(rig.cpu.rflags & FL_AC);
	rig_user();
	assert_fault(STEP(0x0f, 0x01, 0xcb), EXC_UD, 0);
}

static void bases(void **state)
{
	rig_long();
	rig.cpu.seg[SEG_GS].base = 1;
	rig.cpu.kernel_gs_base = 0xffff888000000000;
	assert_ok(STEP(0x0f, 0x01, 0xf8));
	assert_int_equal(rig.cpu.seg[SEG_GS].base, 0xffff888000000000);
	assert_int_equal(rig.cpu.kernel_gs_base, 1);
	assert_fault(STEP(0xf3, 0x48, 0x0f, 0xae, 0xd0), EXC_UD, 0);
	rig.cpu.cr4 |= CR4_FSGSBASE;
	rig.cpu.gpr[RAX] = 0x7fff12345678;
	assert_ok(STEP(0xf3, 0x48, 0x0f, 0xae, 0xd0)); /* wrfsbase rax */
	assert_int_equal(rig.cpu.seg[SEG_FS].base, 0x7fff12345678);
	assert_ok(STEP(0xf3, 0x0f, 0xae, 0xc1)); /* rdfsbase ecx */
	assert_int_equal(rig.cpu.gpr[RCX], 0x12345678);
	rig.cpu.gpr[RAX] = 1ull << 47;
	assert_fault(STEP(0xf3, 0x48, 0x0f, 0xae, 0xd8), EXC_GP, 0);
	rig_user();
	assert_fault(STEP(0x0f, 0x01, 0xf8), EXC_GP, 0);
}

static enum outcome msr(bool write, uint32_t index, uint64_t value)
{
	enum outcome out;

	rig.cpu.gpr[RCX] = index;
	rig.cpu.gpr[RAX] = write ? (uint32_t)value : 0;
	rig.cpu.gpr[RDX] = write ? value >> 32 : 0;
	out = write ? STEP(0x0f, 0x30) : STEP(0x0f, 0x32);
	return out;
}

static uint64_t msr_value(void)
{
	return rig.cpu.gpr[RAX] | rig.cpu.gpr[RDX] << 32;
}

static void model_specific(void **state)
{
	static const uint32_t plain[] = {0xc0000081, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101,
		0xc0000102, 0x175, 0x176};
	static const uint32_t addresses[] = {0xc0000082, 0xc0000100, 0xc0000102, 0x175};

	rig_long();
	for (unsigned k = 0; k < sizeof(plain) / sizeof(plain[0]); k++) {
		assert_ok(msr(true, plain[k], 0xffff800012345678));
		assert_ok(msr(false, plain[k], 0));
		assert_int_equal(msr_value(), 0xffff800012345678);
	}
	for (unsigned k = 0; k < sizeof(addresses) / sizeof(addresses[0]); k++)
		assert_fault(msr(true, addresses[k], 1ull << 47), EXC_GP, 0);
	assert_fault(msr(true, 0xc0000084, 1ull << 32), EXC_GP, 0);
	assert_fault(msr(true, 0xc0000103, 1ull << 32), EXC_GP, 0);
	assert_fault(msr(true, 0xc0000080, 2), EXC_GP, 0);
	assert_ok(msr(true, 0xc0000080, EFER_LME | EFER_LMA)); /* SCE and NXE off */
	assert_int_equal(rig.cpu.efer, EFER_LME | EFER_LMA);
	assert_ok(msr(true, 0x277, 0x0007040600070406));
	assert_fault(msr(true, 0x277, 2), EXC_GP, 0);
	assert_fault(msr(true, 0x277, 0x0800000000000000), EXC_GP, 0);
	assert_ok(msr(false, 0xfe, 0));
	assert_int_equal(msr_value(), 0x508);
	assert_ok(msr(true, 0x200, 0x6));
	assert_ok(msr(true, 0x20f, 0xff80000800));
	assert_fault(msr(true, 0x201, 1ull << 40), EXC_GP, 0);
	assert_ok(msr(true, 0x2ff, 0xc06));
	assert_fault(msr(true, 0x2ff, 0x7), EXC_GP, 0);
	assert_ok(msr(true, 0x26f, 0x0606060606060606));
	assert_fault(msr(true, 0x250, 7), EXC_GP, 0);
	/* there or not by the policy */
	assert_fault(msr(false, 0x48, 0), EXC_GP, 0);
	rig_policy.spec_ctrl_mask = 5;
	assert_ok(msr(true, 0x48, 4));
	assert_ok(msr(false, 0x48, 0));
	assert_int_equal(msr_value(), 4);
	assert_fault(msr(true, 0x48, 2), EXC_GP, 0);
	assert_fault(msr(false, 0x10a, 0), EXC_GP, 0);
	assert_fault(msr(true, 0x49, 1), EXC_GP, 0);
	/* the machine's */
	assert_ok(msr(true, 0x1b, 0xfee00900));
	assert_ok(msr(false, 0x1b, 0));
	assert_int_equal(msr_value(), 0xfee00900);
	assert_fault(msr(false, 0x12345, 0), EXC_GP, 0);
	assert_fault(msr(true, 0x12345, 0), EXC_GP, 0);
	rig_user();
	assert_fault(msr(false, 0xc0000100, 0), EXC_GP, 0);
}

static void time_stamp(void **state)
{
	rig_long();
	assert_ok(msr(true, 0x10, 1000));
	assert_ok(STEP(0x0f, 0x31));
	assert_in_range(msr_value(), 1000, 10000000000);
	assert_ok(msr(true, 0x10, 1000000000000000));
	assert_ok(STEP(0x0f, 0x01, 0xf9));
	assert_in_range(msr_value(), 1000000000000000, 1010000000000000);
	rig_user();
	rig.cpu.cr4 |= CR4_TSD;
	assert_fault(STEP(0x0f, 0x31), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0x33), EXC_GP, 0);
}

static void extended_control(void **state)
{
	rig_long();
	assert_fault(STEP(0x0f, 0x01, 0xd0), EXC_UD, 0);
	rig.cpu.cr4 |= CR4_OSXSAVE;
	rig.cpu.gpr[RCX] = 0;
	for (unsigned value = 0; value < 16; value++) {
		rig.cpu.gpr[RAX] = value;
		if (value == 1 || value == 3 || value == 7)
			assert_ok(STEP(0x0f, 0x01, 0xd1));
		else
			assert_fault(STEP(0x0f, 0x01, 0xd1), EXC_GP, 0);
	}
	assert_ok(STEP(0x0f, 0x01, 0xd0));
	assert_int_equal(rig.cpu.gpr[RAX], 7);
	rig.cpu.gpr[RCX] = 2;
	assert_fault(STEP(0x0f, 0x01, 0xd0), EXC_GP, 0);
}

static void invalidation(void **state)
{
	rig_long();
	rig.cpu.gpr[RAX] = RIG_DATA;
	assert_ok(STEP(0x0f, 0x01, 0x38));
	assert_int_equal(rig_flushes, 1);
	rig.cpu.gpr[RAX] = 1ull << 50; /* nothing, not even a fault */
	assert_ok(STEP(0x0f, 0x01, 0x38));
	assert_int_equal(rig_flushes, 1);
	/* invpcid rcx, [rax] */
	rig.cpu.gpr[RAX] = RIG_DATA;
	for (unsigned type = 0; type < 4; type++) {
		rig.cpu.gpr[RCX] = type;
		assert_ok(STEP(0x66, 0x0f, 0x38, 0x82, 0x08));
	}
	assert_int_equal(rig_flushes, 5);
	rig.cpu.gpr[RCX] = 4;
	assert_fault(STEP(0x66, 0x0f, 0x38, 0x82, 0x08), EXC_GP, 0);
	put(RIG_DATA, 1, 8); /* a PCID without CR4.PCIDE */
	rig.cpu.gpr[RCX] = 0;
	assert_fault(STEP(0x66, 0x0f, 0x38, 0x82, 0x08), EXC_GP, 0);
	rig.cpu.cr4 |= CR4_PCIDE;
	assert_ok(STEP(0x66, 0x0f, 0x38, 0x82, 0x08));
	put(RIG_DATA, 0x1001, 8);
	assert_fault(STEP(0x66, 0x0f, 0x38, 0x82, 0x08), EXC_GP, 0);
	put(RIG_DATA, 1, 8);
	put(RIG_DATA + 8, 1ull << 47, 8);
	assert_fault(STEP(0x66, 0x0f, 0x38, 0x82, 0x08), EXC_GP, 0);
	/* CR3 with bit 63 */
	rig.cpu.gpr[RAX] = 1ull << 63 | 0x5001;
	assert_ok(STEP(0x0f, 0x22, 0xd8));
	assert_int_equal(rig.cpu.cr3, 0x5001);
	rig_user();
	assert_fault(STEP(0x0f, 0x01, 0x38), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0x20, 0xd8), EXC_GP, 0);
}

static void debug_registers(void **state)
{
	rig_long();
	rig.cpu.gpr[RAX] = 0xffffffff;
	assert_ok(STEP(0x0f, 0x23, 0xf8));
	assert_int_equal(rig.cpu.dr7, 0xffff27ff);
	rig.cpu.dr7 = DR7_FIXED;
	assert_ok(STEP(0x0f, 0x23, 0xf0));
	assert_int_equal(rig.cpu.dr6, 0xffffeff0 | 0xf);
	rig.cpu.gpr[RAX] = 1ull << 32;
	assert_fault(STEP(0x0f, 0x23, 0xf8), EXC_GP, 0);
	assert_ok(STEP(0x0f, 0x23, 0xc0));
	assert_int_equal(rig.cpu.dr[0], 1ull << 32);
	assert_ok(STEP(0x0f, 0x21, 0xe1)); /* mov rcx, dr4 is dr6 */
	assert_int_equal(rig.cpu.gpr[RCX], rig.cpu.dr6);
	rig.cpu.cr4 |= CR4_DE;
	assert_fault(STEP(0x0f, 0x21, 0xe1), EXC_UD, 0);
}

/* --- the stack in three widths ------------------------------------------------------- */

static void push_and_pop(void **state)
{
	rig_real();
	rig.cpu.gpr[RSP] = 0x12340000;
	rig.cpu.gpr[RAX] = 0xaabbccdd;
	assert_ok(STEP(0x66, 0x50)); /* push eax, at the top of a 64 KiB stack */
	assert_int_equal(rig.cpu.gpr[RSP], 0x1234fffc);
	assert_int_equal(get(0xfffc, 4), 0xaabbccdd);
	assert_ok(STEP(0x59));
	assert_int_equal(rig.cpu.gpr[RCX], 0xccdd);
	assert_int_equal(rig.cpu.gpr[RSP], 0x1234fffe);
	rig_protected();
	rig.cpu.gpr[RSP] = RIG_STACK0;
	assert_ok(STEP(0x6a, 0xff));
	assert_int_equal(get(RIG_STACK0 - 4, 4), 0xffffffff);
	rig.cpu.gpr[RBX] = RIG_DATA;
	assert_ok(STEP(0x8f, 0x03)); /* pop dword [ebx] */
	assert_int_equal(get(RIG_DATA, 8), 0xffffffff);
	assert_ok(STEP(0x54)); /* push esp: the old value */
	assert_int_equal(get(RIG_STACK0 - 4, 4), RIG_STACK0);
	assert_ok(STEP(0x5c));
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0);
	/* pop [esp]: the address is that after the increment */
	put(RIG_STACK0 - 4, 0x1234, 4);
	rig.cpu.gpr[RSP] = RIG_STACK0 - 4;
	assert_ok(STEP(0x8f, 0x04, 0x24));
	assert_int_equal(get(RIG_STACK0, 4), 0x1234);
	/* a fault moves nothing */
	rig_page[(RIG_STACK0 >> 12) - 1] = RIG_PAGE_READ_ONLY;
	rig.cpu.gpr[RSP] = RIG_STACK0;
	assert_fault(STEP(0x50), EXC_PF, 3);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0);
	assert_fault(STEP(0xe8, 0, 0, 0, 0), EXC_PF, 3);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0);
}

static void push_all(void **state)
{
	rig_protected();
	for (unsigned k = 0; k < 8; k++)
		if (k != RSP)
			rig.cpu.gpr[k] = 0x1000 + k;
	assert_ok(STEP(0x60));
	for (unsigned k = 0; k < 8; k++) {
		uint32_t at = (uint32_t)rig.cpu.gpr[RSP] + 4 * (7 - k);

		assert_int_equal(get(at, 4), k == RSP ? RIG_STACK0 - 0x100 : 0x1000 + k);
		put(at, 0x2000 + k, 4);
	}
	assert_ok(STEP(0x61));
	for (unsigned k = 0; k < 8; k++)
		assert_int_equal(rig.cpu.gpr[k], k == RSP ? RIG_STACK0 - 0x100 : 0x2000 + k);
}

/* ENTER of 32 bits on a 16-bit stack: the frame pointer that it pushes is not cut off. */
static void frames_of_two_widths(void **state)
{
	rig_protected();
	rig.cpu.seg[SEG_SS].attr &= ~SEG_ATTR_DB;
	rig.cpu.gpr[RSP] = 0x18000;
	rig.cpu.gpr[RBP] = 0x55555555;
	assert_ok(STEP(0xc8, 8, 0, 1));
	assert_int_equal(get(0x7ffc, 4), 0x55555555);
	assert_int_equal(get(0x7ff8, 4), 0x17ffc);
	assert_int_equal(rig.cpu.gpr[RBP], 0x55557ffc);
	assert_int_equal(rig.cpu.gpr[RSP], 0x17ff0);
	/* with 16 bits there is nothing above */
	rig.cpu.gpr[RSP] = 0x18000;
	assert_ok(STEP(0x66, 0xc8, 0, 0, 1));
	assert_int_equal(get(0x7ffc, 2), 0x7ffe);
}

static void frames(void **state)
{
	rig_long();
	rig.cpu.gpr[RBP] = RIG_STACK0 - 0x40;
	put(RIG_STACK0 - 0x48, 0x1111, 8);
	put(RIG_STACK0 - 0x50, 0x2222, 8);
	assert_ok(STEP(0xc8, 0x20, 0x00, 0x03));
	assert_int_equal(rig.cpu.gpr[RBP], RIG_STACK0 - 0x108);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0x108 - 24 - 0x20);
	assert_int_equal(get(RIG_STACK0 - 0x108, 8), RIG_STACK0 - 0x40);
	assert_int_equal(get(RIG_STACK0 - 0x110, 8), 0x1111);
	assert_int_equal(get(RIG_STACK0 - 0x118, 8), 0x2222);
	assert_int_equal(get(RIG_STACK0 - 0x120, 8), RIG_STACK0 - 0x108);
	assert_ok(STEP(0xc9));
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0x100);
	assert_int_equal(rig.cpu.gpr[RBP], RIG_STACK0 - 0x40);
}

static void near_branches(void **state)
{
	rig_real();
	rig.cpu.rip = 0xfff0;
	rig.cpu.seg[SEG_CS].limit = 0xffff;
	assert_ok(STEP(0xe9, 0x20, 0x00)); /* wraps */
	assert_int_equal(rig.cpu.rip, 0x13);
	assert_fault(STEP(0x66, 0xe9, 0x00, 0x00, 0x01, 0x00), EXC_GP, 0);
	assert_ok(STEP(0xe8, 0x10, 0x00));
	assert_int_equal(rig.cpu.rip, 0x26);
	assert_int_equal(get(0x6ffe, 2), 0x16);
	assert_ok(STEP(0xc2, 0x04, 0x00));
	assert_int_equal(rig.cpu.rip, 0x16);
	assert_int_equal(rig.cpu.gpr[RSP], 0x7004);
	rig.cpu.gpr[RCX] = 0x10001;
	assert_ok(STEP(0xe2, 0x10)); /* loop: CX becomes 0 */
	assert_int_equal(rig.cpu.rip, 0x18);
	assert_int_equal(rig.cpu.gpr[RCX], 0x10000);
	assert_ok(STEP(0xe3, 0x10)); /* jcxz */
	assert_int_equal(rig.cpu.rip, 0x2a);
	rig.cpu.gpr[RBX] = 0x12345;
	assert_ok(STEP(0xff, 0xe3));
	assert_int_equal(rig.cpu.rip, 0x2345);
	rig_long();
	rig.cpu.gpr[RAX] = 1ull << 47;
	assert_fault(STEP(0xff, 0xe0), EXC_GP, 0);
	assert_fault(STEP(0xff, 0xd0), EXC_GP, 0);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0x100);
	put(RIG_STACK0 - 0x100, 1ull << 47, 8);
	assert_fault(STEP(0xc3), EXC_GP, 0);
	for (unsigned flags = 0; flags < 32; flags++) {
		static const uint32_t bit[] = {FL_CF, FL_PF, FL_ZF, FL_SF, FL_OF};
		uint64_t rflags = 2;
		bool cf, pf, zf, sf, of;

		for (unsigned k = 0; k < 5; k++)
			rflags |= flags >> k & 1 ? bit[k] : 0;
		cf = rflags & FL_CF;
		pf = rflags & FL_PF;
		zf = rflags & FL_ZF;
		sf = rflags & FL_SF;
		of = rflags & FL_OF;
		for (unsigned cc = 0; cc < 16; cc++) {
			const bool holds[] = {of, cf, zf, cf || zf, sf, pf, sf != of,
				zf || sf != of};

			assert_int_equal(condition_holds(rflags, cc), holds[cc >> 1] != (cc & 1));
		}
	}
}

/* --- arithmetic ---------------------------------------------------------------------- */

static void decimal(void **state)
{
	rig_protected();
	for (unsigned a = 0; a < 100; a++) {
		for (unsigned b = 0; b < 100; b++) {
			unsigned x = a / 10 << 4 | a % 10, y = b / 10 << 4 | b % 10, r;

			rig.cpu.gpr[RAX] = (x + y) & 0xff;
			rig.cpu.rflags = 2 | flags_add(x, y, 0, 1);
			assert_ok(STEP(0x27));
			r = (a + b) % 100;
			assert_int_equal(rig.cpu.gpr[RAX], r / 10 << 4 | r % 10);
			assert_int_equal(!!(rig.cpu.rflags & FL_CF), a + b >= 100);
			rig.cpu.gpr[RAX] = (x - y) & 0xff;
			rig.cpu.rflags = 2 | flags_subtract(x, y, 0, 1);
			assert_ok(STEP(0x2f));
			r = (a + 100 - b) % 100;
			assert_int_equal(rig.cpu.gpr[RAX], r / 10 << 4 | r % 10);
			assert_int_equal(!!(rig.cpu.rflags & FL_CF), a < b);
		}
	}
	rig.cpu.gpr[RAX] = 63;
	assert_ok(STEP(0xd4, 10));
	assert_int_equal(rig.cpu.gpr[RAX], 0x603);
	assert_ok(STEP(0xd5, 10));
	assert_int_equal(rig.cpu.gpr[RAX], 63);
	assert_fault(STEP(0xd4, 0), EXC_DE, 0);
	rig.cpu.gpr[RAX] = 0x3c;
	rig.cpu.rflags = 2;
	assert_ok(STEP(0x37));
	assert_int_equal(rig.cpu.gpr[RAX], 0x102);
	assert_true(rig.cpu.rflags & FL_CF);
	assert_ok(STEP(0xd6));
	assert_int_equal(rig.cpu.gpr[RAX], 0x1ff);
}

static void bounds(void **state)
{
	rig_protected();
	put(RIG_DATA, 0xfffffff6, 4);
	put(RIG_DATA + 4, 10, 4);
	rig.cpu.gpr[RBX] = RIG_DATA;
	rig.cpu.gpr[RAX] = 0xfffffff6;
	assert_ok(STEP(0x62, 0x03));
	rig.cpu.gpr[RAX] = 10;
	assert_ok(STEP(0x62, 0x03));
	rig.cpu.gpr[RAX] = 11;
	assert_fault(STEP(0x62, 0x03), EXC_BR, 0);
	rig.cpu.gpr[RAX] = 0xfffffff5;
	assert_fault(STEP(0x62, 0x03), EXC_BR, 0);
	rig.cpu.gpr[RAX] = 0x102;
	put(RIG_DATA + 2, 0x77, 1);
	assert_ok(STEP(0xd7));
	assert_int_equal(rig.cpu.gpr[RAX], 0x177);
	rig.cpu.gpr[RAX] = 8;
	rig.cpu.gpr[RCX] = 3;
	assert_ok(STEP(0x63, 0xc8)); /* arpl ax, cx */
	assert_int_equal(rig.cpu.gpr[RAX], 11);
	assert_true(rig.cpu.rflags & FL_ZF);
	assert_ok(STEP(0x63, 0xc8));
	assert_false(rig.cpu.rflags & FL_ZF);
}

#define NATIVE_ALU(name)                                                                      \
	static uint64_t native_##name(uint64_t a, uint64_t b, unsigned size, uint64_t *flags) \
	{                                                                                     \
		uint64_t in = *flags;                                                         \
                                                                                              \
		if (size == 1)                                                                \
			__asm__("push %3; popf; " #name "b %b2, %b0; pushf; pop %1"           \
				: "+q"(a), "=&r"(*flags)                                      \
				: "q"(b), "r"(in)                                             \
				: "cc");                                                      \
		else if (size == 2)                                                           \
			__asm__("push %3; popf; " #name "w %w2, %w0; pushf; pop %1"           \
				: "+r"(a), "=&r"(*flags)                                      \
				: "r"(b), "r"(in)                                             \
				: "cc");                                                      \
		else if (size == 4)                                                           \
			__asm__("push %3; popf; " #name "l %k2, %k0; pushf; pop %1"           \
				: "+r"(a), "=&r"(*flags)                                      \
				: "r"(b), "r"(in)                                             \
				: "cc");                                                      \
		else                                                                          \
			__asm__("push %3; popf; " #name "q %2, %0; pushf; pop %1"             \
				: "+r"(a), "=&r"(*flags)                                      \
				: "r"(b), "r"(in)                                             \
				: "cc");                                                      \
		return a;                                                                     \
	}
NATIVE_ALU(add)
NATIVE_ALU(or)
NATIVE_ALU(adc)
NATIVE_ALU(sbb)
NATIVE_ALU(and)
NATIVE_ALU(sub)
NATIVE_ALU(xor)
NATIVE_ALU(cmp)

/* The plain integer instructions, which the translator does not send here, against the host. */
static void integer(void **state)
{
	static uint64_t (*const native[])(uint64_t, uint64_t, unsigned, uint64_t *) = {native_add,
		native_or, native_adc, native_sbb, native_and, native_sub, native_xor, native_cmp};
	static const uint64_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull};

	rig_long();
	srand(3);
	for (unsigned n = 0; n < 20000; n++) {
		unsigned op = rand() % 8, size = 1u << rand() % 4, length = 0;
		uint64_t a = interesting[rand() % 14] + rand() % 3 - 1, flags, expect;
		uint64_t b = interesting[rand() % 14] + rand() % 3 - 1;
		bool memory = rand() & 1;
		uint8_t code[8];

		if (size == 2)
			code[length++] = 0x66;
		if (size == 8)
			code[length++] = 0x48;
		code[length++] = (uint8_t)(op << 3 | (size > 1));
		code[length++] = memory ? 0x0b : 0xc8; /* rm: [rbx] or rax; reg: rcx */
		flags = 2 | (rand() & FL_STATUS);
		rig.cpu.rip = RIG_CODE;
		rig.cpu.rflags = flags;
		rig.cpu.gpr[RBX] = RIG_DATA;
		rig.cpu.gpr[RCX] = b;
		rig.cpu.gpr[RAX] = a;
		put(RIG_DATA, a, 8);
		expect = native[op](a, b, size, &flags);
		assert_ok(rig_step_bytes(code, length));
		assert_int_equal((memory ? get(RIG_DATA, 8) : rig.cpu.gpr[RAX]) & size_mask(size),
			expect & size_mask(size));
		if (op == 1 || op == 4 || op == 6)
			flags = (flags & ~(uint64_t)FL_AF) | (rig.cpu.rflags & FL_AF);
		assert_int_equal(rig.cpu.rflags & FL_STATUS, flags & FL_STATUS);
	}
	rig_protected();
	rig.cpu.gpr[RAX] = 0x7fffffff;
	rig.cpu.rflags = 2 | FL_CF;
	assert_ok(STEP(0x40));
	assert_int_equal(rig.cpu.gpr[RAX], 0x80000000);
	assert_int_equal(rig.cpu.rflags, 2 | FL_CF | FL_OF | FL_SF | FL_AF | FL_PF);
	put(0x12345, 0x99, 1);
	assert_ok(STEP(0xa0, 0x45, 0x23, 0x01, 0x00));
	assert_int_equal(rig.cpu.gpr[RAX], 0x80000099);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupt_flag),
		cmocka_unit_test(flags_on_the_stack),
		cmocka_unit_test(access_flag),
		cmocka_unit_test(bases),
		cmocka_unit_test(model_specific),
		cmocka_unit_test(time_stamp),
		cmocka_unit_test(extended_control),
		cmocka_unit_test(invalidation),
		cmocka_unit_test(debug_registers),
		cmocka_unit_test(push_and_pop),
		cmocka_unit_test(push_all),
		cmocka_unit_test(frames),
		cmocka_unit_test(frames_of_two_widths),
		cmocka_unit_test(near_branches),
		cmocka_unit_test(decimal),
		cmocka_unit_test(bounds),
		cmocka_unit_test(integer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
