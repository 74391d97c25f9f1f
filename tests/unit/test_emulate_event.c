/* SPDX-License-Identifier: Apache-2.0 */
/* Events, IRET, SYSCALL and SYSRET: what a running kernel does a million times. */
#include "emulate_rig.h"

/* The long mode frame at rsp. */
static void check_frame(uint64_t rip, uint64_t cs, uint64_t flags, uint64_t rsp, uint64_t ss)
{
	uint32_t at = (uint32_t)rig.cpu.gpr[RSP];

	assert_int_equal(get(at, 8), rip);
	assert_int_equal(get(at + 8, 8), cs);
	assert_int_equal(get(at + 16, 8), flags);
	assert_int_equal(get(at + 24, 8), rsp);
	assert_int_equal(get(at + 32, 8), ss);
}

static void interrupt_from_user(void **state)
{
	rig_user();
	rig.cpu.rflags = 2 | FL_IF | FL_TF | FL_NT | FL_ZF;
	assert_ok(event_deliver(&rig, 0x40, false, 0, false, true));
	assert_int_equal(rig.cpu.rip, RIG_HANDLER + 0x400);
	assert_int_equal(rig.cpu.cpl, 0);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, SEL_CODE64);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, 0);
	assert_true(rig.cpu.seg[SEG_SS].attr & SEG_ATTR_UNUSABLE);
	assert_int_equal(rig.cpu.rflags, 2 | FL_ZF);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 40);
	check_frame(RIG_CODE, SEL_USER_CODE64, 2 | FL_IF | FL_TF | FL_NT | FL_ZF,
		RIG_STACK3 - 0x100, SEL_USER_DATA);
}

static void interrupt_same_level(void **state)
{
	rig_long();
	rig.cpu.gpr[RSP] = RIG_STACK0 - 0x103;
	idt64(0x41, SEL_CODE64, 0xffffffff81000000ull, 0x8f, 0);
	assert_ok(event_deliver(&rig, 0x41, false, 0, false, true));
	assert_int_equal(rig.cpu.rip, 0xffffffff81000000ull);
	assert_true(rig.cpu.rflags & FL_IF); /* a trap gate */
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 0x110 - 40);
	check_frame(RIG_CODE, SEL_CODE64, 2 | FL_IF, RIG_STACK0 - 0x103, SEL_DATA0);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, SEL_DATA0);
}

static void interrupt_stack_table(void **state)
{
	rig_long();
	idt64(2, SEL_CODE64, RIG_HANDLER, 0x8e, 1);
	assert_ok(event_deliver(&rig, EXC_NMI, false, 0, false, true));
	assert_int_equal(rig.cpu.gpr[RSP], RIG_IST - 40);
	assert_int_equal(rig.cpu.nmi_masked, 1);
}

static void fault_frames(void **state)
{
	rig_user();
	fault_raise_error(&rig, EXC_PF, 6);
	rig.fault.cr2 = 0x123456789;
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.cr2, 0x123456789);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 48);
	assert_int_equal(get((uint32_t)rig.cpu.gpr[RSP], 8), 6);
	rig.cpu.gpr[RSP] += 8;
	check_frame(RIG_CODE, SEL_USER_CODE64, 2 | FL_IF | FL_RF, RIG_STACK3 - 0x100,
		SEL_USER_DATA);
	/* no error code */
	rig_user();
	fault_raise(&rig, EXC_UD);
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK0 - 40);
	check_frame(RIG_CODE, SEL_USER_CODE64, 2 | FL_IF | FL_RF, RIG_STACK3 - 0x100,
		SEL_USER_DATA);
}

static void software_interrupts(void **state)
{
	rig_user();
	assert_fault(STEP(0xcd, 0x80), EXC_GP, 0x80 * 8 + 2);
	assert_fault(STEP(0xcc), EXC_GP, 3 * 8 + 2);
	idt64(0x80, SEL_CODE64, RIG_HANDLER, 0xee, 0);
	assert_ok(STEP(0xcd, 0x80));
	check_frame(RIG_CODE + 2, SEL_USER_CODE64, 2 | FL_IF, RIG_STACK3 - 0x100, SEL_USER_DATA);
	/* INT1 needs no DPL */
	rig_user();
	assert_ok(STEP(0xf1));
	check_frame(RIG_CODE + 1, SEL_USER_CODE64, 2 | FL_IF, RIG_STACK3 - 0x100, SEL_USER_DATA);
	/* not present: EXT only for what comes from outside */
	rig_user();
	idt64(0x80, SEL_CODE64, RIG_HANDLER, 0x6e, 0);
	assert_fault(STEP(0xcd, 0x80), EXC_NP, 0x80 * 8 + 2);
	/* beyond the table */
	rig.cpu.idtr.limit = 0x80 * 16 + 14;
	assert_fault(STEP(0xcd, 0x80), EXC_GP, 0x80 * 8 + 2);
}

static void gate_errors(void **state)
{
	struct event e = {.vector = 0x20, .next = RIG_CODE};

	rig_user();
	idt64(0x20, SEL_CODE64, RIG_HANDLER, 0x8c, 0); /* a call gate */
	assert_fault(event_enter(&rig, &e), EXC_GP, 0x20 * 8 + 3);
	idt64(0x20, 0, RIG_HANDLER, 0x8e, 0);
	assert_fault(event_enter(&rig, &e), EXC_GP, 1);
	idt64(0x20, SEL_DATA0, RIG_HANDLER, 0x8e, 0);
	assert_fault(event_enter(&rig, &e), EXC_GP, SEL_DATA0 | 1);
	idt64(0x20, SEL_CODE32, RIG_HANDLER, 0x8e, 0);
	assert_fault(event_enter(&rig, &e), EXC_GP, SEL_CODE32 | 1);
	idt64(0x20, 0x7f8, RIG_HANDLER, 0x8e, 0);
	assert_fault(event_enter(&rig, &e), EXC_GP, 0x7f8 | 1);
	idt64(0x20, SEL_CODE64, RIG_HANDLER, 0x8e,
		7); /* IST7 beyond the TSS limit? it is 103: no */
	put(RIG_TSS + 36 + 48, 1ull << 60, 8);
	assert_fault(event_enter(&rig, &e), EXC_SS, 1);
	rig.cpu.tr.limit = 10;
	assert_fault(event_enter(&rig, &e), EXC_TS, SEL_TSS | 1);
	rig.cpu.tr.limit = 0x67;
	idt64(0x20, SEL_CODE64, 1ull << 50, 0x8e, 0);
	assert_fault(event_enter(&rig, &e), EXC_GP, 1);
	gdt(SEL_CODE64, descriptor(0, 0xfffff, 0xa01b));
	assert_fault(event_enter(&rig, &e), EXC_NP, SEL_CODE64 | 1);
	assert_int_equal(rig.cpu.cpl, 3);
}

static void double_faults(void **state)
{
	/* #GP whose gate is not present: #NP is contributory as well */
	rig_user();
	idt64(EXC_GP, SEL_CODE64, RIG_HANDLER, 0x0e, 0);
	fault_raise_error(&rig, EXC_GP, 0);
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.rip, RIG_HANDLER + 16 * EXC_DF);
	assert_int_equal(get((uint32_t)rig.cpu.gpr[RSP], 8), 0);
	/* an interrupt whose gate is not present: #NP itself */
	rig_user();
	idt64(0x30, SEL_CODE64, RIG_HANDLER, 0x0e, 0);
	assert_ok(event_deliver(&rig, 0x30, false, 0, false, true));
	assert_int_equal(rig.cpu.rip, RIG_HANDLER + 16 * EXC_NP);
	assert_int_equal(get((uint32_t)rig.cpu.gpr[RSP], 8), 0x30 * 8 + 3);
	/* #PF while #PF is delivered */
	rig_user();
	put(RIG_TSS + 4, 0x200000, 8);
	idt64(EXC_DF, SEL_CODE64, RIG_HANDLER, 0x8e, 1);
	fault_raise_error(&rig, EXC_PF, 4);
	rig.fault.cr2 = 0x1000;
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.rip, RIG_HANDLER);
	assert_int_equal(rig.cpu.cr2, 0x200000 - 48);
	/* #PF while #GP is delivered is a #PF */
	rig_user();
	idt64(EXC_GP, SEL_CODE64, RIG_HANDLER, 0x8e, 2);
	put(RIG_TSS + 44, 0x200000, 8);
	fault_raise_error(&rig, EXC_GP, 0);
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.rip, RIG_HANDLER + 16 * EXC_PF);
	/* nothing works */
	rig_user();
	rig.cpu.idtr.limit = 0;
	fault_raise_error(&rig, EXC_PF, 4);
	assert_int_equal(event_deliver_fault(&rig), OUT_SHUTDOWN);
	assert_int_equal(event_deliver(&rig, 0x30, false, 0, false, true), OUT_SHUTDOWN);
}

static void debug_exception(void **state)
{
	rig_long();
	rig.cpu.dr7 |= DR7_GD;
	rig.cpu.dr6 |= 3;
	assert_fault(STEP(0x0f, 0x23, 0xc0), EXC_DB, 0);
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.dr6, DR6_FIXED | DR6_BD);
	assert_int_equal(rig.cpu.dr7, DR7_FIXED);
	check_frame(RIG_CODE, SEL_CODE64, 2 | FL_IF | FL_RF, RIG_STACK0 - 0x100, SEL_DATA0);
	rig_long();
	assert_ok(event_debug(&rig, DR6_BS, true));
	assert_int_equal(rig.cpu.dr6, DR6_FIXED | DR6_BS);
	check_frame(RIG_CODE, SEL_CODE64, 2 | FL_IF, RIG_STACK0 - 0x100, SEL_DATA0);
}

/* --- IRET ---------------------------------------------------------------------------- */

static void iret_frame(uint64_t rip, uint64_t cs, uint64_t flags, uint64_t rsp, uint64_t ss)
{
	uint32_t at = (uint32_t)rig.cpu.gpr[RSP];

	put(at, rip, 8);
	put(at + 8, cs, 8);
	put(at + 16, flags, 8);
	put(at + 24, rsp, 8);
	put(at + 32, ss, 8);
}

static void iret_to_user(void **state)
{
	rig_long();
	rig.cpu.nmi_masked = 1;
	rig.cpu.gpr[RSP] = RIG_STACK0 - 40;
	iret_frame(0x7fffffff0000, SEL_USER_CODE64, 0x3f7fd7 & ~FL_VM, 0x7ffffffff000,
		SEL_USER_DATA);
	assert_ok(STEP(0x48, 0xcf));
	assert_int_equal(rig.cpu.rip, 0x7fffffff0000);
	assert_int_equal(rig.cpu.gpr[RSP], 0x7ffffffff000);
	assert_int_equal(rig.cpu.cpl, 3);
	assert_int_equal(rig.cpu.nmi_masked, 0);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, SEL_USER_CODE64);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, SEL_USER_DATA);
	assert_int_equal(rig.cpu.rflags, 0x3f7fd7 & ~FL_VM);
	/* DS and ES were the kernel's */
	assert_int_equal(rig.cpu.seg[SEG_DS].selector, 0);
	assert_true(rig.cpu.seg[SEG_DS].attr & SEG_ATTR_UNUSABLE);
}

static void iret_to_compat(void **state)
{
	rig_long();
	rig.cpu.gpr[RSP] = RIG_STACK0 - 40;
	iret_frame(0x12345678, SEL_USER_CODE32, 2, 0xfffff000, SEL_USER_DATA);
	assert_ok(STEP(0x48, 0xcf));
	assert_int_equal(rig.cpu.rip, 0x12345678);
	assert_false(mode_code64(&rig));
	/* beyond the limit */
	rig_long();
	rig.cpu.gpr[RSP] = RIG_STACK0 - 40;
	iret_frame(0x112345678, SEL_USER_CODE32, 2, 0xfffff000, SEL_USER_DATA);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, 0);
}

static void iret_same_level(void **state)
{
	rig_long();
	rig.cpu.gpr[RSP] = RIG_STACK0 - 40;
	iret_frame(0xffffffff81000000, SEL_CODE64, 2 | FL_IF, 0xffffffff82000000, 0);
	assert_ok(STEP(0x48, 0xcf));
	assert_int_equal(rig.cpu.cpl, 0);
	assert_int_equal(rig.cpu.gpr[RSP], 0xffffffff82000000);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, 0);
	assert_int_equal(rig.cpu.seg[SEG_DS].selector, SEL_DATA0);
}

static void iret_errors(void **state)
{
	rig_long();
	rig.cpu.gpr[RSP] = RIG_STACK0 - 40;
	iret_frame(1ull << 47, SEL_USER_CODE64, 2, 0, SEL_USER_DATA);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, 0);
	iret_frame(0x1000, 3, 2, 0, SEL_USER_DATA);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, 0);
	iret_frame(0x1000, SEL_USER_CODE64, 2, 0, 3);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, 0);
	iret_frame(0x1000, SEL_USER_CODE64, 2, 0, SEL_DATA0);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, SEL_DATA0);
	iret_frame(0x1000, SEL_CODE64 | 3, 2, 0, SEL_USER_DATA);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, SEL_CODE64);
	iret_frame(0x1000, 0x203, 2, 0, SEL_USER_DATA);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, 0x200);
	gdt(SEL_USER_CODE64, descriptor(0, 0xfffff, 0xa07b));
	iret_frame(0x1000, SEL_USER_CODE64, 2, 0, SEL_USER_DATA);
	assert_fault(STEP(0x48, 0xcf), EXC_NP, SEL_USER_CODE64 & ~3);
	gdt(SEL_USER_CODE64, descriptor(0, 0xfffff, 0xe0fb)); /* L and D */
	assert_fault(STEP(0x48, 0xcf), EXC_GP, SEL_USER_CODE64 & ~3);
	gdt(SEL_USER_CODE64, descriptor(0, 0xfffff, 0xa0fb));
	gdt(SEL_USER_DATA, descriptor(0, 0xfffff, 0xc073));
	assert_fault(STEP(0x48, 0xcf), EXC_SS, SEL_USER_DATA & ~3);
	rig.cpu.rflags |= FL_NT;
	assert_fault(STEP(0x48, 0xcf), EXC_GP, 0);
	/* user code may not return inwards */
	rig_user();
	iret_frame(0x1000, SEL_CODE64, 2, 0, SEL_DATA0);
	assert_fault(STEP(0x48, 0xcf), EXC_GP, SEL_CODE64);
	/* nor change IF and IOPL */
	iret_frame(0x1000, SEL_USER_CODE64, 2 | FL_IOPL, 0, SEL_USER_DATA);
	assert_ok(STEP(0x48, 0xcf));
	assert_int_equal(rig.cpu.rflags, 2 | FL_IF);
	rig.cpu.gpr[RSP] = 1ull << 47;
	assert_fault(STEP(0x48, 0xcf), EXC_SS, 0);
}

/* A 16-bit stack segment takes over only SP: the upper half stays the kernel's. */
static void iret_small_stack(void **state)
{
	rig_long();
	gdt(SEL_FREE, descriptor(0, 0xffff, 0x00f3));
	rig.cpu.gpr[RSP] = RIG_STACK0 - 40;
	iret_frame(0x1000, SEL_USER_CODE32, 2, 0x12345678, SEL_FREE | 3);
	assert_ok(STEP(0x48, 0xcf));
	assert_int_equal(rig.cpu.gpr[RSP], (RIG_STACK0 & ~0xffffull) | 0x5678);
}

/* --- SYSCALL and company ------------------------------------------------------------- */

static void system_calls(void **state)
{
	rig_user();
	rig.cpu.star = 0x0023000800000000;
	rig.cpu.lstar = 0xffffffff81000000;
	rig.cpu.sfmask = FL_IF | FL_DF | FL_AC;
	rig.cpu.rflags = 2 | FL_IF | FL_DF | FL_ZF | FL_AC;
	assert_ok(STEP(0x0f, 0x05));
	assert_int_equal(rig.cpu.rip, 0xffffffff81000000);
	assert_int_equal(rig.cpu.gpr[RCX], RIG_CODE + 2);
	assert_int_equal(rig.cpu.gpr[R11], 2 | FL_IF | FL_DF | FL_ZF | FL_AC);
	assert_int_equal(rig.cpu.rflags, 2 | FL_ZF);
	assert_int_equal(rig.cpu.cpl, 0);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 8);
	assert_int_equal(rig.cpu.seg[SEG_CS].attr, 0xa09b);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, 0x10);
	assert_int_equal(rig.cpu.seg[SEG_SS].attr, 0xc093);
	/* and back */
	assert_ok(STEP(0x48, 0x0f, 0x07));
	assert_int_equal(rig.cpu.rip, RIG_CODE + 2);
	assert_int_equal(rig.cpu.cpl, 3);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 0x33);
	assert_int_equal(rig.cpu.seg[SEG_CS].attr, 0xa0fb);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, 0x2b);
	assert_int_equal(rig.cpu.rflags, 2 | FL_IF | FL_DF | FL_ZF | FL_AC);
	assert_fault(STEP(0x48, 0x0f, 0x07), EXC_GP, 0);
	/* to compatibility mode */
	rig.cpu.cpl = 0;
	rig.cpu.gpr[RCX] = 0x123456789;
	assert_ok(STEP(0x0f, 0x07));
	assert_int_equal(rig.cpu.rip, 0x23456789);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 0x23);
	assert_false(mode_code64(&rig));
	assert_fault(STEP(0x0f, 0x05), EXC_UD, 0);
	/* which AMD's processors let 32-bit programs do */
	rig_amd(0);
	rig.cpu.cstar = 0xffffffff82000000;
	assert_ok(STEP(0x0f, 0x05));
	assert_int_equal(rig.cpu.rip, 0xffffffff82000000);
	assert_int_equal(rig.cpu.gpr[RCX], 0x2345678b);
	assert_true(mode_code64(&rig));
}

static void system_call_errors(void **state)
{
	rig_long();
	rig.cpu.gpr[RCX] = 1ull << 47;
	assert_fault(STEP(0x48, 0x0f, 0x07), EXC_GP, 0);
	assert_int_equal(rig.cpu.cpl, 0);
	rig.cpu.efer &= ~(uint64_t)EFER_SCE;
	assert_fault(STEP(0x0f, 0x05), EXC_UD, 0);
	assert_fault(STEP(0x48, 0x0f, 0x07), EXC_UD, 0);
	assert_fault(STEP(0x0f, 0x34), EXC_GP, 0);
	assert_fault(STEP(0x0f, 0x35), EXC_GP, 0);
}

static void fast_system_calls(void **state)
{
	rig_user();
	rig.cpu.sysenter_cs = 0x0b;
	rig.cpu.sysenter_eip = 0xffffffff81000000;
	rig.cpu.sysenter_esp = 0xffffffff82000000;
	assert_ok(STEP(0x0f, 0x34));
	assert_int_equal(rig.cpu.rip, 0xffffffff81000000);
	assert_int_equal(rig.cpu.gpr[RSP], 0xffffffff82000000);
	assert_int_equal(rig.cpu.rflags, 2);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 8);
	rig.cpu.gpr[RCX] = 0x7000;
	rig.cpu.gpr[RDX] = 0x8000;
	assert_ok(STEP(0x48, 0x0f, 0x35));
	assert_int_equal(rig.cpu.rip, 0x8000);
	assert_int_equal(rig.cpu.gpr[RSP], 0x7000);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 8 + 32 + 3);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, 8 + 40 + 3);
}

/* APM 3: SYSENTER, SYSEXIT (#UD in long mode), SYSRET (RIP is not looked at). */
static void system_calls_of_amd(void **state)
{
	rig_long();
	rig_amd(0);
	rig.cpu.sysenter_cs = 0x0b;
	assert_fault(STEP(0x0f, 0x34), EXC_UD, 0);
	assert_fault(STEP(0x0f, 0x35), EXC_UD, 0);
	assert_fault(STEP(0x48, 0x0f, 0x35), EXC_UD, 0);
	rig.cpu.cpl = 3;
	assert_fault(STEP(0x0f, 0x34), EXC_UD, 0);
	assert_fault(STEP(0x0f, 0x35), EXC_GP, 0);
	load(SEG_CS, SEL_USER_CODE32);
	assert_fault(STEP(0x0f, 0x34), EXC_UD, 0);
	rig_protected();
	rig_amd(0);
	rig.cpu.sysenter_cs = 0x18;
	rig.cpu.sysenter_eip = 0x5000;
	assert_ok(STEP(0x0f, 0x34)); /* there it works */
	assert_int_equal(rig.cpu.rip, 0x5000);

	rig_long();
	rig_amd(0);
	rig.cpu.star = 0x0023000800000000;
	rig.cpu.gpr[RCX] = 1ull << 47;
	assert_ok(STEP(0x48, 0x0f, 0x07));
	assert_int_equal(rig.cpu.rip, 1ull << 47); /* where the fetch faults */
	assert_int_equal(rig.cpu.cpl, 3);
}

/* MSRC001_0015: the TSC counts at P0's rate. */
static void hardware_configuration(void **state)
{
	rig_long();
	rig.cpu.gpr[RCX] = 0xc0010015;
	assert_ok(STEP(0x0f, 0x32));
	assert_int_equal(rig.cpu.gpr[RAX], 0);
	rig_amd(0);
	assert_ok(STEP(0x0f, 0x32));
	assert_int_equal(rig.cpu.gpr[RAX], 1u << 24);
}

/* Either MSR moves the TSC by what it itself moves, and then the other shows it (SDM 3B, 17.17.3). */
static void time_stamp_adjust(void **state)
{
	uint64_t before;

	rig_long();
	rig.cpu.gpr[RCX] = 0x3b;
	assert_fault(STEP(0x0f, 0x32), EXC_GP, 0); /* CPUID does not tell of it */
	assert_fault(STEP(0x0f, 0x30), EXC_GP, 0);
	rig_policy.count = 1;
	rig_policy.leaf[0] = (struct cpuid_leaf){.leaf = 7, .ebx = 1u << 1};
	assert_ok(STEP(0x0f, 0x32));
	assert_int_equal(rig.cpu.gpr[RAX] | rig.cpu.gpr[RDX], 0);
	before = rig.cpu.tsc_offset;
	rig.cpu.gpr[RAX] = 0x1000;
	rig.cpu.gpr[RDX] = 1;
	assert_ok(STEP(0x0f, 0x30));
	assert_int_equal(rig.cpu.tsc_offset - before, 0x100001000);
	assert_ok(STEP(0x0f, 0x32));
	assert_int_equal(rig.cpu.gpr[RAX], 0x1000);
	assert_int_equal(rig.cpu.gpr[RDX], 1);
	/* the TSC itself: both move by as much */
	before = rig.cpu.tsc_offset - rig.cpu.tsc_adjust;
	rig.cpu.gpr[RCX] = 0x10;
	assert_ok(STEP(0x0f, 0x30));
	assert_int_equal(rig.cpu.tsc_offset - rig.cpu.tsc_adjust, before);
	assert_true(rig.cpu.tsc_adjust != 0x100001000);
	rig.cpu.gpr[RCX] = 0x3b;
	rig.cpu.gpr[RAX] = rig.cpu.gpr[RDX] = 0;
	assert_ok(STEP(0x0f, 0x30));
	assert_int_equal(rig.cpu.tsc_offset, before);
}

/* --- 16 and 32 bits ------------------------------------------------------------------ */

static void protected_frames(void **state)
{
	uint32_t at;

	rig_protected();
	rig.cpu.cpl = 3;
	load(SEG_CS, SEL_USER_CODE32);
	load(SEG_SS, SEL_USER_DATA);
	load(SEG_DS, SEL_USER_DATA);
	rig.cpu.gpr[RSP] = RIG_STACK3;
	fault_raise_error(&rig, EXC_GP, 0x18);
	assert_ok(event_deliver_fault(&rig));
	at = RIG_STACK0 - 24;
	assert_int_equal(rig.cpu.gpr[RSP], at);
	assert_int_equal(get(at, 4), 0x18);
	assert_int_equal(get(at + 4, 4), RIG_CODE);
	assert_int_equal(get(at + 8, 4), SEL_USER_CODE32);
	assert_int_equal(get(at + 12, 4), 2 | FL_IF | FL_RF);
	assert_int_equal(get(at + 16, 4), RIG_STACK3);
	assert_int_equal(get(at + 20, 4), SEL_USER_DATA);
	assert_int_equal(rig.cpu.cpl, 0);
	assert_int_equal(rig.cpu.seg[SEG_SS].selector, SEL_DATA0);
	/* and back */
	rig.cpu.gpr[RSP] += 4;
	assert_ok(STEP(0xcf));
	assert_int_equal(rig.cpu.rip, RIG_CODE);
	assert_int_equal(rig.cpu.cpl, 3);
	assert_int_equal(rig.cpu.gpr[RSP], RIG_STACK3);
	assert_int_equal(rig.cpu.rflags, 2 | FL_IF | FL_RF);
	/* a stack segment of the wrong privilege */
	put(RIG_TSS + 8, SEL_USER_DATA, 4);
	fault_raise(&rig, EXC_UD);
	assert_ok(event_deliver_fault(&rig) == OUT_SHUTDOWN ? OUT_OK : OUT_ERROR);
}

static void real_frames(void **state)
{
	rig_real();
	put(0x21 * 4, 0x12345678, 4);
	rig.cpu.rflags |= FL_TF | FL_AC;
	rig.cpu.seg[SEG_CS].selector = 0x40;
	assert_ok(STEP(0xcd, 0x21));
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 0x1234);
	assert_int_equal(rig.cpu.seg[SEG_CS].base, 0x12340);
	assert_int_equal(rig.cpu.rip, 0x5678);
	assert_int_equal(rig.cpu.rflags, 2);
	assert_int_equal(rig.cpu.gpr[RSP], 0x6ffa);
	assert_int_equal(get(0x6ffa, 2), 0x7c02);
	assert_int_equal(get(0x6ffc, 2), 0x40);
	assert_int_equal(get(0x6ffe, 2), 2 | FL_IF | FL_TF);
	assert_ok(STEP(0xcf));
	assert_int_equal(rig.cpu.rip, 0x7c02);
	assert_int_equal(rig.cpu.seg[SEG_CS].selector, 0x40);
	assert_int_equal(rig.cpu.rflags, 2 | FL_IF | FL_TF);
	/* error codes are not pushed; SP wraps */
	rig.cpu.gpr[RSP] = 0x10002;
	fault_raise_error(&rig, EXC_GP, 0);
	assert_ok(event_deliver_fault(&rig));
	assert_int_equal(rig.cpu.gpr[RSP], 0x1fffc);
	assert_int_equal(get(0, 2) & 0x7fff, 2 | FL_IF | FL_TF);
	rig.cpu.idtr.limit = 0x10;
	fault_raise_error(&rig, EXC_GP, 0);
	assert_int_equal(event_deliver_fault(&rig), OUT_SHUTDOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interrupt_from_user),
		cmocka_unit_test(interrupt_same_level),
		cmocka_unit_test(interrupt_stack_table),
		cmocka_unit_test(fault_frames),
		cmocka_unit_test(software_interrupts),
		cmocka_unit_test(gate_errors),
		cmocka_unit_test(double_faults),
		cmocka_unit_test(debug_exception),
		cmocka_unit_test(iret_to_user),
		cmocka_unit_test(iret_to_compat),
		cmocka_unit_test(iret_same_level),
		cmocka_unit_test(iret_errors),
		cmocka_unit_test(iret_small_stack),
		cmocka_unit_test(system_calls),
		cmocka_unit_test(system_call_errors),
		cmocka_unit_test(fast_system_calls),
		cmocka_unit_test(system_calls_of_amd),
		cmocka_unit_test(hardware_configuration),
		cmocka_unit_test(time_stamp_adjust),
		cmocka_unit_test(protected_frames),
		cmocka_unit_test(real_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
