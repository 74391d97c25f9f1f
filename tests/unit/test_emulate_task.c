/* SPDX-License-Identifier: Apache-2.0 */
/* Task switches and virtual-8086 mode: outside long mode, and seldom. */
#include "emulate_rig.h"

#define NEW_TSS 0x3800u
#define NEW_STACK 0xc000u

static void two_tasks(void)
{
	rig_protected();
	gdt(SEL_FREE, descriptor(NEW_TSS, 0x67, 0x89));
	put(NEW_TSS + 32, 0x15000, 4);
	put(NEW_TSS + 36, 2 | FL_ZF, 4);
	for (unsigned k = 0; k < 8; k++)
		put(NEW_TSS + 40 + 4 * k, k == RSP ? NEW_STACK : 0x100 + k, 4);
	put(NEW_TSS + 72, SEL_USER_DATA, 4);
	put(NEW_TSS + 76, SEL_CODE32, 4);
	put(NEW_TSS + 80, SEL_DATA0, 4);
	put(NEW_TSS + 84, SEL_DATA0, 4);
}

static void check_new(void)
{
	assert_int_equal(rig.cpu.tr.selector, SEL_FREE);
	assert_int_equal(rig.cpu.tr.attr & 15, 11);
	assert_int_equal(get(RIG_GDT + SEL_FREE + 5, 1), 0x8b);
	assert_int_equal(rig.cpu.rip, 0x15000);
	for (unsigned k = 0; k < 8; k++)
		if (k != RSP)
			assert_int_equal(rig.cpu.gpr[k], 0x100 + k);
	assert_int_equal(rig.cpu.seg[SEG_ES].selector, SEL_USER_DATA);
	assert_int_equal(rig.cpu.seg[SEG_CS].attr, 0xc09b);
	assert_true(rig.cpu.seg[SEG_FS].attr & SEG_ATTR_UNUSABLE);
	assert_true(rig.cpu.cr0 & CR0_TS);
}

static void call_and_return(void **state)
{
	two_tasks();
	rig.cpu.gpr[RAX] = 0x55;
	assert_ok(STEP(0x9a, 0, 0, 0, 0, SEL_FREE, 0));
	check_new();
	assert_int_equal(rig.cpu.rflags, 2 | FL_ZF | FL_NT);
	assert_int_equal(rig.cpu.gpr[RSP], NEW_STACK);
	assert_int_equal(get(NEW_TSS, 2), SEL_TSS);
	assert_int_equal(get(RIG_TSS + 32, 4), RIG_CODE + 7);
	assert_int_equal(get(RIG_TSS + 36, 4), 2 | FL_IF);
	assert_int_equal(get(RIG_TSS + 40, 4), 0x55);
	assert_int_equal(get(RIG_TSS + 76, 2), SEL_CODE32);
	assert_int_equal(get(RIG_GDT + SEL_TSS + 5, 1), 0x8b); /* still busy */
	/* not into a busy task */
	assert_fault(STEP(0x9a, 0, 0, 0, 0, SEL_TSS, 0), EXC_GP, SEL_TSS);
	assert_ok(STEP(0xcf));
	assert_int_equal(rig.cpu.tr.selector, SEL_TSS);
	assert_int_equal(rig.cpu.rip, RIG_CODE + 7);
	assert_int_equal(rig.cpu.gpr[RAX], 0x55);
	assert_int_equal(rig.cpu.rflags, 2 | FL_IF);
	assert_int_equal(get(RIG_GDT + SEL_FREE + 5, 1), 0x89);
	assert_int_equal(get(NEW_TSS + 36, 4), 2 | FL_ZF);
	assert_int_equal(get(NEW_TSS + 32, 4), 0x15001);
}

static void jump(void **state)
{
	two_tasks();
	assert_ok(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0));
	check_new();
	assert_int_equal(rig.cpu.rflags, 2 | FL_ZF);
	assert_int_equal(get(RIG_GDT + SEL_TSS + 5, 1), 0x89);
	assert_int_equal(get(NEW_TSS, 2), 0);
}

static void task_gate(void **state)
{
	two_tasks();
	put(RIG_IDT + 8 * EXC_GP, gate(SEL_FREE, 0, 0x85), 8);
	fault_raise_error(&rig, EXC_GP, 0x1234);
	assert_ok(event_deliver_fault(&rig));
	check_new();
	assert_int_equal(rig.cpu.gpr[RSP], NEW_STACK - 4);
	assert_int_equal(get(NEW_STACK - 4, 4), 0x1234);
	assert_int_equal(get(RIG_TSS + 32, 4), RIG_CODE);
	/* a double fault saved by a task of its own */
	two_tasks();
	put(RIG_IDT + 8 * EXC_DF, gate(SEL_FREE, 0, 0x85), 8);
	rig_page[(RIG_STACK0 >> 12) - 1] = RIG_PAGE_ABSENT;
	fault_raise_error(&rig, EXC_GP, 0);
	/* the stack is gone: #PF in #GP, #PF in #PF, #DF */
	assert_ok(event_deliver_fault(&rig));
	check_new();
	assert_int_equal(get(NEW_STACK - 4, 4), 0);
}

static void refused(void **state)
{
	two_tasks();
	gdt(SEL_FREE, descriptor(NEW_TSS, 0x66, 0x89));
	assert_fault(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0), EXC_TS, SEL_FREE);
	gdt(SEL_FREE, descriptor(NEW_TSS, 0x67, 0x09));
	assert_fault(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0), EXC_NP, SEL_FREE);
	gdt(SEL_FREE, descriptor(0x200000, 0x67, 0x89));
	assert_fault(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0), EXC_PF, 2);
	assert_int_equal(get(RIG_GDT + SEL_TSS + 5, 1), 0x8b);
	/* a bad stack segment is the new task's fault */
	two_tasks();
	put(NEW_TSS + 80, SEL_USER_DATA, 4);
	assert_int_equal(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0), OUT_FAULT);
	assert_int_equal(rig.fault.vector, EXC_TS);
	assert_int_equal(rig.fault.error, SEL_USER_DATA & ~3);
	assert_int_equal(rig.cpu.rip, 0x15000);
	assert_int_equal(rig.cpu.tr.selector, SEL_FREE);
	/* privilege, and not in long mode */
	two_tasks();
	rig.cpu.cpl = 3;
	load(SEG_CS, SEL_USER_CODE32);
	assert_fault(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0), EXC_GP, SEL_FREE);
	rig_long();
	gdt(SEL_FREE, descriptor(NEW_TSS, 0x67, 0x89));
	load(SEG_CS, SEL_CODE32);
	assert_fault(STEP(0xea, 0, 0, 0, 0, SEL_FREE, 0), EXC_GP, SEL_FREE);
}

static void small_tasks(void **state)
{
	two_tasks();
	gdt(SEL_FREE, descriptor(NEW_TSS, 0x2b, 0x81));
	put(NEW_TSS + 14, 0x5000, 2);
	put(NEW_TSS + 16, 2, 2);
	put(NEW_TSS + 18 + 2 * RSP, 0xc000, 2);
	put(NEW_TSS + 34, SEL_DATA0, 2);
	put(NEW_TSS + 36, SEL_CODE32, 2);
	put(NEW_TSS + 38, SEL_DATA0, 2);
	put(NEW_TSS + 40, SEL_DATA0, 2);
	put(NEW_TSS + 42, 0, 2);
	assert_ok(STEP(0x9a, 0, 0, 0, 0, SEL_FREE, 0));
	assert_int_equal(rig.cpu.rip, 0x5000);
	assert_int_equal(rig.cpu.gpr[RSP] & 0xffff, 0xc000);
	assert_int_equal(rig.cpu.tr.attr & 15, 3);
	assert_ok(STEP(0xcf));
	assert_int_equal(rig.cpu.rip, RIG_CODE + 7);
	assert_int_equal(get(NEW_TSS + 14, 2), 0x5001);
}

/* --- virtual-8086 mode --------------------------------------------------------------- */

static void vm86(void **state)
{
	static const uint32_t frame[] = {0x7c00, 0x40, 2 | FL_VM | FL_IF, 0x7000, 0x1000, 0x2000,
		0x3000, 0x4000, 0x4800};
	uint32_t at = RIG_STACK0 - sizeof(frame);

	rig_protected();
	memcpy(rig_memory + at, frame, sizeof(frame));
	rig.cpu.gpr[RSP] = at;
	assert_ok(STEP(0xcf));
	assert_int_equal(rig.cpu.cpl, 3);
	assert_int_equal(rig.cpu.rip, 0x7c00);
	assert_int_equal(rig.cpu.seg[SEG_CS].base, 0x400);
	assert_int_equal(rig.cpu.seg[SEG_SS].base, 0x10000);
	assert_int_equal(rig.cpu.seg[SEG_GS].base, 0x48000);
	assert_int_equal(rig.cpu.gpr[RSP], 0x7000);
	/* IOPL 0: these go to the monitor */
	assert_fault(STEP(0xfa), EXC_GP, 0);
	assert_fault(STEP(0x9c), EXC_GP, 0);
	assert_fault(STEP(0xcd, 0x21), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0x00, 0xd0), EXC_UD, 0); /* lldt */
	rig.cpu.gpr[RAX] = 0x1234;
	assert_ok(STEP(0x8e, 0xd8));
	assert_int_equal(rig.cpu.seg[SEG_DS].base, 0x12340);
	fault_raise_error(&rig, EXC_GP, 0);
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.cpl, 0);
	at = RIG_STACK0 - 40;
	assert_int_equal(rig.cpu.gpr[RSP], at);
	assert_int_equal(get(at + 4, 4), 0x7c02);
	assert_int_equal(get(at + 8, 4), 0x40);
	assert_int_equal(get(at + 12, 4), 2 | FL_VM | FL_IF | FL_RF);
	assert_int_equal(get(at + 16, 4), 0x7000);
	assert_int_equal(get(at + 20, 4), 0x1000);
	assert_int_equal(get(at + 24, 4), 0x2000);
	assert_int_equal(get(at + 28, 4), 0x1234);
	assert_int_equal(get(at + 36, 4), 0x4800);
	assert_int_equal(rig.cpu.seg[SEG_DS].selector, 0);
	assert_false(rig.cpu.rflags & FL_VM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(call_and_return),
		cmocka_unit_test(jump),
		cmocka_unit_test(task_gate),
		cmocka_unit_test(refused),
		cmocka_unit_test(small_tasks),
		cmocka_unit_test(vm86),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
