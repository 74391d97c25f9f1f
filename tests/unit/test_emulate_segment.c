/* SPDX-License-Identifier: Apache-2.0 */
/* Segment loads, far transfers, gates, system descriptors. */
#include "emulate_rig.h"

/* --- data segments ------------------------------------------------------------------- */

static void load_data(void **state)
{
	rig_long();
	gdt(SEL_FREE, descriptor(0x87654321, 0x12345, 0x40f2)); /* not yet accessed */
	rig.cpu.gpr[RAX] = SEL_FREE | 3;
	assert_ok(STEP(0x8e, 0xe0)); /* mov fs, eax */
	assert_int_equal(rig.cpu.seg[SEG_FS].selector, SEL_FREE | 3);
	assert_int_equal(rig.cpu.seg[SEG_FS].base, 0x87654321);
	assert_int_equal(rig.cpu.seg[SEG_FS].limit, 0x12345);
	assert_int_equal(rig.cpu.seg[SEG_FS].attr, 0x40f3);
	assert_int_equal(get(RIG_GDT + SEL_FREE + 5, 1), 0xf3);
	/* null: the base goes */
	rig.cpu.gpr[RAX] = 3;
	assert_ok(STEP(0x8e, 0xe0));
	assert_int_equal(rig.cpu.seg[SEG_FS].base, 0);
	assert_int_equal(rig.cpu.seg[SEG_FS].selector, 3);
	/* granularity */
	gdt(SEL_FREE, descriptor(0, 0x12345, 0xc0f3));
	rig.cpu.gpr[RAX] = SEL_FREE;
	assert_ok(STEP(0x8e, 0xd8));
	assert_int_equal(rig.cpu.seg[SEG_DS].limit, 0x12345fff);
}

static void load_errors(void **state)
{
	rig_user();
	rig.cpu.gpr[RAX] = SEL_DATA0;
	assert_fault(STEP(0x8e, 0xd8), EXC_GP, SEL_DATA0);
	rig.cpu.gpr[RAX] = 0x1003;
	assert_fault(STEP(0x8e, 0xd8), EXC_GP, 0x1000);
	rig.cpu.gpr[RAX] = 7; /* no LDT */
	assert_fault(STEP(0x8e, 0xd8), EXC_GP, 4);
	rig.cpu.gpr[RAX] = SEL_TSS | 3;
	assert_fault(STEP(0x8e, 0xd8), EXC_GP, SEL_TSS);
	gdt(SEL_FREE, descriptor(0, 0, 0x00f9)); /* execute-only code */
	rig.cpu.gpr[RAX] = SEL_FREE | 3;
	assert_fault(STEP(0x8e, 0xd8), EXC_GP, SEL_FREE);
	gdt(SEL_FREE, descriptor(0, 0, 0x009f)); /* conforming, readable: any privilege */
	assert_ok(STEP(0x8e, 0xd8));
	gdt(SEL_FREE, descriptor(0, 0, 0x0073)); /* not present */
	assert_fault(STEP(0x8e, 0xd8), EXC_NP, SEL_FREE);
	assert_fault(STEP(0x8e, 0xc8), EXC_UD, 0); /* mov cs */
	assert_fault(STEP(0x8e, 0xf0), EXC_UD, 0);
}

static void load_stack_segment(void **state)
{
	rig_long();
	rig.cpu.gpr[RAX] = SEL_DATA0;
	assert_ok(STEP(0x8e, 0xd0));
	assert_int_equal(rig.cpu.sti_shadow, SHADOW_MOV_SS);
	assert_ok(STEP(0x90));
	rig.cpu.gpr[RAX] = 0;
	assert_ok(STEP(0x8e, 0xd0)); /* null is fine in 64-bit code */
	rig.cpu.gpr[RAX] = 1;
	assert_fault(STEP(0x8e, 0xd0), EXC_GP, 0);
	rig.cpu.gpr[RAX] = SEL_USER_DATA;
	assert_fault(STEP(0x8e, 0xd0), EXC_GP, SEL_USER_DATA & ~3);
	rig.cpu.gpr[RAX] = SEL_CODE64;
	assert_fault(STEP(0x8e, 0xd0), EXC_GP, SEL_CODE64);
	gdt(SEL_FREE, descriptor(0, 0, 0x0013));
	rig.cpu.gpr[RAX] = SEL_FREE;
	assert_fault(STEP(0x8e, 0xd0), EXC_SS, SEL_FREE);
	rig_user();
	rig.cpu.gpr[RAX] = 3;
	assert_fault(STEP(0x8e, 0xd0), EXC_GP, 0);
}

static void local_table(void **state)
{
	rig_long();
	put(0x5000 + 0x10, descriptor(0x1000, 0xff, 0x40f3), 8);
	rig.cpu.gpr[RCX] = SEL_LDT;
	assert_ok(STEP(0x0f, 0x00, 0xd1)); /* lldt cx */
	assert_int_equal(rig.cpu.ldtr.base, 0x5000);
	rig.cpu.gpr[RAX] = 0x14;
	assert_ok(STEP(0x8e, 0xe8));
	assert_int_equal(rig.cpu.seg[SEG_GS].base, 0x1000);
	rig.cpu.gpr[RAX] = 0x104;
	assert_fault(STEP(0x8e, 0xe8), EXC_GP, 0x104);
	put(RIG_GDT + SEL_LDT + 8, 0x18000, 8); /* not canonical */
	assert_fault(STEP(0x0f, 0x00, 0xd1), EXC_GP, SEL_LDT);
	rig.cpu.gpr[RCX] = 0;
	assert_ok(STEP(0x0f, 0x00, 0xd1));
	rig.cpu.gpr[RAX] = 0x14;
	assert_fault(STEP(0x8e, 0xe8), EXC_GP, 0x14);
	rig.cpu.gpr[RCX] = SEL_DATA0;
	assert_fault(STEP(0x0f, 0x00, 0xd1), EXC_GP, SEL_DATA0);
	rig.cpu.gpr[RCX] = 4;
	assert_fault(STEP(0x0f, 0x00, 0xd1), EXC_GP, 4);
}

static void task_register(void **state)
{
	rig_long();
	rig.cpu.gpr[RCX] = SEL_TSS;
	assert_fault(STEP(0x0f, 0x00, 0xd9), EXC_GP, SEL_TSS); /* busy */
	gdt(SEL_TSS, descriptor(RIG_TSS, 0x67, 0x89));
	put(RIG_GDT + SEL_TSS + 8, 0xffff8000, 8);
	assert_ok(STEP(0x0f, 0x00, 0xd9));
	assert_int_equal(rig.cpu.tr.base, 0xffff800000000000 + RIG_TSS);
	assert_int_equal(rig.cpu.tr.attr & 15, 11);
	assert_int_equal(get(RIG_GDT + SEL_TSS + 5, 1), 0x8b);
	gdt(SEL_TSS, descriptor(RIG_TSS, 0x67, 0x09));
	assert_fault(STEP(0x0f, 0x00, 0xd9), EXC_NP, SEL_TSS);
	rig.cpu.gpr[RCX] = 0;
	assert_fault(STEP(0x0f, 0x00, 0xd9), EXC_GP, 0);
	assert_ok(STEP(0x0f, 0x00, 0xc8)); /* str eax */
	assert_int_equal(rig.cpu.gpr[RAX], SEL_TSS);
	rig_user();
	assert_fault(STEP(0x0f, 0x00, 0xd9), EXC_GP, 0);
	rig.cpu.cr4 |= CR4_UMIP;
	assert_fault(STEP(0x0f, 0x00, 0xc8), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0x01, 0x03), EXC_GP, 0); /* sgdt */
	rig_real();
	assert_fault(STEP(0x0f, 0x00, 0xd9), EXC_UD, 0);
}

static void inspection(void **state)
{
	rig_user();
	rig.cpu.gpr[RCX] = SEL_USER_DATA;
	assert_ok(STEP(0x0f, 0x02, 0xc1)); /* lar eax, ecx */
	assert_true(rig.cpu.rflags & FL_ZF);
	assert_int_equal(rig.cpu.gpr[RAX], 0xc0f300);
	assert_ok(STEP(0x0f, 0x03, 0xc1)); /* lsl */
	assert_int_equal(rig.cpu.gpr[RAX], 0xffffffff);
	assert_ok(STEP(0x0f, 0x00, 0xe9)); /* verw cx */
	assert_true(rig.cpu.rflags & FL_ZF);
	rig.cpu.gpr[RCX] = SEL_USER_CODE64;
	assert_ok(STEP(0x0f, 0x00, 0xe9));
	assert_false(rig.cpu.rflags & FL_ZF);
	assert_ok(STEP(0x0f, 0x00, 0xe1)); /* verr */
	assert_true(rig.cpu.rflags & FL_ZF);
	/* more privileged, beyond the table, null, a type that is not looked at */
	for (unsigned k = 0; k < 4; k++) {
		rig.cpu.gpr[RCX] = (const uint16_t[]){SEL_DATA0, 0x2000, 0, SEL_FREE}[k];
		gdt(SEL_FREE, descriptor(0, 0, 0x00ee));
		rig.cpu.rflags |= FL_ZF;
		rig.cpu.gpr[RAX] = 0x55;
		assert_ok(STEP(0x0f, 0x02, 0xc1));
		assert_false(rig.cpu.rflags & FL_ZF);
		assert_int_equal(rig.cpu.gpr[RAX], 0x55);
	}
}

/* --- far transfers in long mode ------------------------------------------------------ */

static void far_long(void **state)
{
	rig_long();
	/* lretq */
	put(RIG_STACK0 - 0x100, 0xffffffff81000000, 8);
	put(RIG_STACK0 - 0xf8, SEL_CODE64, 8);
	assert_ok(STEP(0x48, 0xcb));
	assert_int_equal(rig.cpu.rip, 0xffffffff81000000);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0xf0);
	/* ljmp *(rax) to 32-bit code */
	put(RIG_DATA, 0x12345678, 4);
	put(RIG_DATA + 4, SEL_CODE32, 2);
	rig.cpu.gpr[RAX] = RIG_DATA;
	assert_ok(STEP(0xff, 0x28));
	assert_int_equal(rig.cpu.rip, 0x12345678);
	assert_false(mode_code64(&rig));
	/* and back: ljmp $SEL_CODE64, $0x1000 */
	assert_ok(STEP(0xea, 0x00, 0x10, 0x00, 0x00, SEL_CODE64, 0x00));
	assert_true(mode_code64(&rig));
	assert_int_equal(rig.cpu.rip, 0x1000);
	/* lcall *(rax) */
	put(RIG_DATA, 0x2000, 4);
	put(RIG_DATA + 4, SEL_CODE64, 2);
	assert_ok(STEP(0xff, 0x18));
	assert_int_equal(rig.cpu.rip, 0x2000);
	assert_int_equal(get(RIG_STACK0 - 0xf8, 4), 0x1002);
	assert_int_equal(get(RIG_STACK0 - 0xf4, 4), SEL_CODE64);
	/* TSS, data, null, privilege */
	put(RIG_DATA + 4, SEL_TSS, 2);
	assert_fault(STEP(0xff, 0x28), EXC_GP, SEL_TSS);
	put(RIG_DATA + 4, SEL_DATA0, 2);
	assert_fault(STEP(0xff, 0x28), EXC_GP, SEL_DATA0);
	put(RIG_DATA + 4, 3, 2);
	assert_fault(STEP(0xff, 0x28), EXC_GP, 0);
	put(RIG_DATA + 4, SEL_USER_CODE64, 2);
	assert_fault(STEP(0xff, 0x28), EXC_GP, SEL_USER_CODE64 & ~3);
	assert_fault(STEP(0x48, 0xca, 0x08, 0x00), EXC_GP, 0);
}

/* With REX.W: 64 bits of offset (SDM 2A), AMD's processors read 32 (APM 3), and push 64 all the same. */
static void far_pointers_with_rex_w(void **state)
{
	rig_long();
	put(RIG_DATA, 0x123456789, 8);
	put(RIG_DATA + 8, SEL_CODE64, 2);
	rig.cpu.gpr[RAX] = RIG_DATA;
	assert_ok(STEP(0x48, 0xff, 0x28)); /* ljmp */
	assert_int_equal(rig.cpu.rip, 0x123456789);
	put(RIG_DATA + 8, SEL_DATA0, 2);
	assert_ok(STEP(0x48, 0x0f, 0xb5, 0x08)); /* lgs rcx, [rax] */
	assert_int_equal(rig.cpu.gpr[RCX], 0x123456789);

	rig_amd(0);
	put(RIG_DATA, 0x2000, 4);
	put(RIG_DATA + 4, SEL_CODE64, 2);
	rig.cpu.rip = RIG_CODE;
	assert_ok(STEP(0x48, 0xff, 0x18)); /* lcall */
	assert_int_equal(rig.cpu.rip, 0x2000);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0x110);
	assert_int_equal(get(RIG_STACK0 - 0x110, 8), RIG_CODE + 3);
	assert_int_equal(get(RIG_STACK0 - 0x108, 8), SEL_CODE64);
	put(RIG_DATA + 4, SEL_DATA0, 2);
	assert_ok(STEP(0x66, 0x48, 0x0f, 0xb5, 0x08));
	assert_int_equal(rig.cpu.gpr[RCX], 0x2000);
	put(RIG_DATA + 2, SEL_DATA0, 2); /* 66 alone */
	assert_ok(STEP(0x66, 0x0f, 0xb5, 0x08));
	assert_int_equal(rig.cpu.gpr[RCX], 0x2000);
	/* what is popped is as wide as ever */
	put(RIG_STACK0 - 0x110, 0x123456789, 8);
	assert_ok(STEP(0x48, 0xcb));
	assert_int_equal(rig.cpu.rip, 0x123456789);
}

static void ret_outer_long(void **state)
{
	rig_long();
	put(RIG_STACK0 - 0x100, 0x1234, 8);
	put(RIG_STACK0 - 0xf8, SEL_USER_CODE64, 8);
	put(RIG_STACK0 - 0xf0 + 16, 0x7ffff000, 8);
	put(RIG_STACK0 - 0xe8 + 16, SEL_USER_DATA, 8);
	assert_ok(STEP(0x48, 0xca, 0x10, 0x00));
	assert_int_equal(rig.cpu.cpl, 3);
	assert_int_equal(rig.cpu.rip, 0x1234);
	assert_int_equal(rig.cpu.gpr[RSP], 0x7ffff010);
	assert_int_equal(rig.cpu.seg[SEG_DS].selector, 0);
}

static void call_gate_long(void **state)
{
	rig_user();
	gdt(SEL_FREE, gate(SEL_CODE64, 0x81000000, 0xec));
	put(RIG_GDT + SEL_FREE + 8, 0xffffffff, 8);
	put(RIG_DATA, 0x9999, 4);
	put(RIG_DATA + 4, SEL_FREE | 3, 2);
	rig.cpu.gpr[RAX] = RIG_DATA;
	assert_ok(STEP(0xff, 0x18));
	assert_int_equal(rig.cpu.rip, 0xffffffff81000000);
	assert_int_equal(rig.cpu.cpl, 0);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 32);
	assert_int_equal(get(RIG_STACK0 - 32, 8), RIG_CODE + 2);
	assert_int_equal(get(RIG_STACK0 - 24, 8), SEL_USER_CODE64);
	assert_int_equal(get(RIG_STACK0 - 16, 8), RIG_STACK3 - 0x100);
	assert_int_equal(get(RIG_STACK0 - 8, 8), SEL_USER_DATA);
	/* JMP does not change privilege */
	rig_user();
	gdt(SEL_FREE, gate(SEL_CODE64, 0x81000000, 0xec));
	rig.cpu.gpr[RAX] = RIG_DATA;
	put(RIG_DATA + 4, SEL_FREE | 3, 2);
	assert_fault(STEP(0xff, 0x28), EXC_GP, SEL_CODE64);
	gdt(SEL_FREE, gate(SEL_CODE64, 0x81000000, 0x8c));
	assert_fault(STEP(0xff, 0x18), EXC_GP, SEL_FREE);
	gdt(SEL_FREE, gate(SEL_CODE64, 0x81000000, 0x6c));
	assert_fault(STEP(0xff, 0x18), EXC_NP, SEL_FREE);
	gdt(SEL_FREE, gate(SEL_CODE32, 0x81000000, 0xec));
	assert_fault(STEP(0xff, 0x18), EXC_GP, SEL_CODE32);
	put(RIG_GDT + SEL_FREE + 12, 0x100, 4);
	assert_fault(STEP(0xff, 0x18), EXC_GP, SEL_FREE);
}

/* --- and outside --------------------------------------------------------------------- */

static void call_gate_protected(void **state)
{
	rig_protected();
	rig.cpu.cpl = 3;
	load(SEG_CS, SEL_USER_CODE32);
	load(SEG_SS, SEL_USER_DATA);
	rig.cpu.gpr[RSP] = RIG_STACK3 - 8;
	put(RIG_STACK3 - 8, 0x11111111, 4);
	put(RIG_STACK3 - 4, 0x22222222, 4);
	gdt(SEL_FREE, gate(SEL_CODE32, 0x12345678, 0xec) | 2ull << 32);
	assert_ok(STEP(0x9a, 0, 0, 0, 0, SEL_FREE | 3, 0));
	assert_int_equal(rig.cpu.rip, 0x12345678);
	assert_int_equal(rig.cpu.cpl, 0);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 24);
	assert_int_equal(get(RIG_STACK0 - 24, 4), RIG_CODE + 7);
	assert_int_equal(get(RIG_STACK0 - 20, 4), SEL_USER_CODE32);
	assert_int_equal(get(RIG_STACK0 - 16, 4), 0x11111111);
	assert_int_equal(get(RIG_STACK0 - 12, 4), 0x22222222);
	assert_int_equal(get(RIG_STACK0 - 8, 4), RIG_STACK3 - 8);
	assert_int_equal(get(RIG_STACK0 - 4, 4), SEL_USER_DATA);
	/* lret 8: both stacks drop the parameters */
	assert_ok(STEP(0xca, 0x08, 0x00));
	assert_int_equal(rig.cpu.rip, RIG_CODE + 7);
	assert_int_equal(rig.cpu.cpl, 3);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK3);
}

static void to_protected_mode(void **state)
{
	rig_real();
	rig.cpu.gpr[RAX] = CR0_PE;
	assert_ok(STEP(0x0f, 0x22, 0xc0));
	assert_int_equal(rig.cpu.cr0, CR0_PE | CR0_ET);
	assert_int_equal(rig_flushes, 1);
	/* ljmpl $SEL_CODE32, $0x100000 with an operand size prefix */
	assert_ok(STEP(0x66, 0xea, 0x00, 0x00, 0x10, 0x00, SEL_CODE32, 0x00));
	assert_int_equal(rig.cpu.rip, 0x100000);
	assert_int_equal(rig.cpu.seg[SEG_CS].attr, 0xc09b);
	rig.cpu.gpr[RAX] = SEL_DATA0;
	assert_ok(STEP(0x8e, 0xd0));
	assert_ok(STEP(0x8e, 0xd8));
	/* long mode */
	rig.cpu.gpr[RAX] = CR4_PAE;
	assert_ok(STEP(0x0f, 0x22, 0xe0));
	rig.cpu.gpr[RAX] = RIG_DATA;
	assert_ok(STEP(0x0f, 0x22, 0xd8));
	rig.cpu.gpr[RCX] = 0xc0000080;
	rig.cpu.gpr[RAX] = EFER_LME;
	rig.cpu.gpr[RDX] = 0;
	assert_ok(STEP(0x0f, 0x30));
	rig.cpu.gpr[RAX] = CR0_PE | CR0_PG;
	assert_ok(STEP(0x0f, 0x22, 0xc0));
	assert_int_equal(rig.cpu.efer, EFER_LME | EFER_LMA);
	assert_ok(STEP(0xea, 0x00, 0x00, 0x10, 0x00, SEL_CODE64, 0x00));
	assert_true(mode_code64(&rig));
	/* paging cannot be switched off here, nor PAE, nor LME */
	rig.cpu.gpr[RAX] = CR0_PE;
	assert_fault(STEP(0x0f, 0x22, 0xc0), EXC_GP, 0);
	rig.cpu.gpr[RAX] = 0;
	assert_fault(STEP(0x0f, 0x22, 0xe0), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0x30), EXC_GP, 0);
	rig.cpu.gpr[RAX] = CR0_PG;
	assert_fault(STEP(0x0f, 0x22, 0xc0), EXC_GP, 0);
	rig.cpu.gpr[RAX] = CR0_PE | CR0_PG | CR0_NW;
	assert_fault(STEP(0x0f, 0x22, 0xc0), EXC_GP, 0);
	rig.cpu.gpr[RAX] = 1ull << 32 | CR0_PE | CR0_PG;
	assert_fault(STEP(0x0f, 0x22, 0xc0), EXC_GP, 0);
	rig.cpu.gpr[RAX] = 1ull << 40;
	assert_fault(STEP(0x0f, 0x22, 0xd8), EXC_GP, 0);
	rig.cpu.gpr[RAX] = 1ull << 63;
	assert_fault(STEP(0x0f, 0x22, 0xd8), EXC_GP, 0);
	rig.cpu.gpr[RAX] = CR4_PAE | CR4_SMAP; /* not in this policy */
	assert_fault(STEP(0x0f, 0x22, 0xe0), EXC_GP, 0);
}

static void limits(void **state)
{
	uint64_t linear;

	rig_protected();
	rig.cpu.seg[SEG_DS] = (struct segment){SEL_FREE, 0x93, 0xfff, 0x1000};
	assert_ok(linear_address(&rig, SEG_DS, 0xffc, 4, ACC_WRITE, &linear));
	assert_int_equal(linear, 0x1ffc);
	assert_fault(linear_address(&rig, SEG_DS, 0xffd, 4, ACC_READ, &linear), EXC_GP, 0);
	rig.cpu.seg[SEG_SS] = (struct segment){SEL_FREE, 0x97, 0xfff, 0x1000}; /* down, 16 bits */
	assert_fault(linear_address(&rig, SEG_SS, 0xfff, 1, ACC_READ, &linear), EXC_SS, 0);
	assert_ok(linear_address(&rig, SEG_SS, 0x1000, 1, ACC_READ, &linear));
	assert_ok(linear_address(&rig, SEG_SS, 0xfffc, 4, ACC_WRITE, &linear));
	assert_fault(linear_address(&rig, SEG_SS, 0xfffd, 4, ACC_WRITE, &linear), EXC_SS, 0);
	rig.cpu.seg[SEG_DS].attr = 0x91; /* read-only */
	assert_fault(linear_address(&rig, SEG_DS, 0, 4, ACC_WRITE, &linear), EXC_GP, 0);
	rig.cpu.seg[SEG_DS].attr = 0x99; /* execute-only */
	assert_fault(linear_address(&rig, SEG_DS, 0, 4, ACC_READ, &linear), EXC_GP, 0);
	segment_null(&rig.cpu.seg[SEG_DS], 0);
	assert_fault(linear_address(&rig, SEG_DS, 0, 4, ACC_READ, &linear), EXC_GP, 0);
	rig_long();
	rig.cpu.seg[SEG_GS].base = 0xffff888000000000;
	assert_ok(linear_address(&rig, SEG_GS, 0x10, 8, ACC_READ, &linear));
	assert_int_equal(linear, 0xffff888000000010);
	assert_fault(linear_address(&rig, SEG_DS, 0x7ffffffffff9, 8, ACC_READ, &linear), EXC_GP, 0);
	assert_ok(linear_address(&rig, SEG_DS, 0x7ffffffffff8, 8, ACC_READ, &linear));
	assert_fault(linear_address(&rig, SEG_SS, 1ull << 63, 8, ACC_READ, &linear), EXC_SS, 0);
}

/* Real mode far calls and stack. */
static void far_real(void **state)
{
	rig_real();
	assert_ok(STEP(0x9a, 0x34, 0x12, 0x00, 0x10));
	assert_int_equal(rig.cpu.rip, 0x1234);
	assert_int_equal(rig.cpu.seg[SEG_CS].base, 0x10000);
	assert_int_equal(get(0x6ffc, 2), 0x7c05);
	assert_ok(STEP(0xcb));
	assert_int_equal(rig.cpu.rip, 0x7c05);
	assert_int_equal(rig.cpu.seg[SEG_CS].base, 0);
	assert_int_equal(rig.cpu.gpr[RSP], 0x7000);
	/* limits stay: unreal mode */
	rig.cpu.seg[SEG_DS].limit = 0xffffffff;
	rig.cpu.gpr[RAX] = 0x2000;
	assert_ok(STEP(0x8e, 0xd8));
	assert_int_equal(rig.cpu.seg[SEG_DS].base, 0x20000);
	assert_int_equal(rig.cpu.seg[SEG_DS].limit, 0xffffffff);
	/* les di, [bx] */
	put(0x20100, 0x56781234, 4);
	rig.cpu.gpr[RBX] = 0x100;
	assert_ok(STEP(0xc4, 0x3f));
	assert_int_equal(rig.cpu.gpr[RDI], 0x1234);
	assert_int_equal(rig.cpu.seg[SEG_ES].base, 0x56780);
	/* lgdt [bx], with a 24-bit and a 32-bit base */
	put(0x20100, 0x8765432101ff, 6);
	assert_ok(STEP(0x0f, 0x01, 0x17));
	assert_int_equal(rig.cpu.gdtr.limit, 0x01ff);
	assert_int_equal(rig.cpu.gdtr.base, 0x654321);
	assert_ok(STEP(0x66, 0x0f, 0x01, 0x17));
	assert_int_equal(rig.cpu.gdtr.base, 0x87654321);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(load_data),
		cmocka_unit_test(load_errors),
		cmocka_unit_test(load_stack_segment),
		cmocka_unit_test(local_table),
		cmocka_unit_test(task_register),
		cmocka_unit_test(inspection),
		cmocka_unit_test(far_long),
		cmocka_unit_test(far_pointers_with_rex_w),
		cmocka_unit_test(ret_outer_long),
		cmocka_unit_test(call_gate_long),
		cmocka_unit_test(call_gate_protected),
		cmocka_unit_test(to_protected_mode),
		cmocka_unit_test(limits),
		cmocka_unit_test(far_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
