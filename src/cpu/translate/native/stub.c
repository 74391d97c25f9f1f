/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code page of a mirror process. It can be entered at any byte of it, with any registers, by what runs there: so
 * it believes nothing, writes nothing, and its one system call ends at the monitor, always (mirror.c).
 */
#include "cpu/translate/native/stub.h"

#include "cpu/translate/cold.h"

#define AT(field) "stub_code+%c[control]+%c[" #field "]"
#define GPR(r) AT(gpr) "+8*" #r "(%%rip)"

/* clang-format off */
__attribute__((naked, used)) static void stub(void)
{
	asm volatile(
		".globl stub_code, stub_call, stub_called, stub_code_end\n"
		"stub_code:\n"
		/* A signal's handler: rdx is the frame, and stays so up to the last instruction. rsi: siginfo. */
		"movq %%rdx, %%rdi\n"
		"movl %%ds, %%eax\n movl %%es, %%ecx\n shll $16, %%ecx\n orl %%ecx, %%eax\n"
		"movl %%eax, %%r10d\n"
		"movl %%fs, %%eax\n movl %%gs, %%ecx\n shll $16, %%ecx\n orl %%ecx, %%eax\n"
		"shlq $32, %%rax\n orq %%rax, %%r10\n"
		"rdfsbase %%r8\n rdgsbase %%r9\n"
		/* The next signal's frame goes to the next quarter of the stack: there is no end to kicks. */
		"leaq stub_code+%c[stack](%%rip), %%rcx\n"
		"movq %%rsp, %%rax\n subq %%rcx, %%rax\n andl %[quarter], %%eax\n jnz 5f\n"
		"movl %[size], %%eax\n"
		"5: leaq (%%rcx,%%rax), %%rsp\n"
		"movl %[says_exit], %%eax\n"
		"movl " AT(turn) "(%%rip), %%edx\n"
		"stub_call: syscall\n"
		"stub_called:\n"
		"movl " AT(command) "(%%rip), %%ecx\n"
		"cmpl %[call], %%ecx\n je 1f\n"
		"cmpl %[report], %%ecx\n je 2f\n"
		/* STUB_RUN; without a monitor a call comes back as one that there is not: there is nothing to do */
		"cmpq $-38, %%rax\n je 4f\n"
		"movl " AT(vectors) "(%%rip), %%eax\n movl " AT(vectors) "+4(%%rip), %%edx\n"
		"xrstor64 " AT(xsave) "(%%rip)\n"
		"cmpl $0, " AT(touch) "(%%rip)\n je 3f\n vpord %%zmm0, %%zmm0, %%zmm0\n3:\n"
		"movw " AT(ds) "(%%rip), %%ds\n movw " AT(es) "(%%rip), %%es\n"
		"movw " AT(fs) "(%%rip), %%fs\n movw " AT(gs) "(%%rip), %%gs\n"
		"movq " AT(fs_base) "(%%rip), %%rax\n wrfsbase %%rax\n"
		"movq " AT(gs_base) "(%%rip), %%rax\n wrgsbase %%rax\n"
		"leaq " AT(rflags) "(%%rip), %%rsp\n popfq\n"
		"movq " GPR(0) ", %%rax\n movq " GPR(1) ", %%rcx\n movq " GPR(2) ", %%rdx\n"
		"movq " GPR(3) ", %%rbx\n movq " GPR(4) ", %%rsp\n movq " GPR(5) ", %%rbp\n"
		"movq " GPR(6) ", %%rsi\n movq " GPR(7) ", %%rdi\n movq " GPR(8) ", %%r8\n"
		"movq " GPR(9) ", %%r9\n movq " GPR(10) ", %%r10\n movq " GPR(11) ", %%r11\n"
		"movq " GPR(12) ", %%r12\n movq " GPR(13) ", %%r13\n movq " GPR(14) ", %%r14\n"
		"movq " GPR(15) ", %%r15\n"
		"jmpq *" AT(rip) "(%%rip)\n"
		/* STUB_CALL */
		"1: movq " AT(number) "(%%rip), %%rax\n movq " AT(arg) "(%%rip), %%rdi\n movq " AT(arg) "+8(%%rip), %%rsi\n"
		"movq " AT(arg) "+16(%%rip), %%rdx\n movq " AT(arg) "+24(%%rip), %%r10\n movq " AT(arg) "+32(%%rip), %%r8\n"
		"movq " AT(arg) "+40(%%rip), %%r9\n"
		"jmp stub_call\n"
		/* STUB_REPORT */
		"2: movq %%rax, %%rdi\n movl %[says_result], %%eax\n jmp stub_call\n"
		"4: leaq stub_code+%c[stack]+16(%%rip), %%rsp\n ud2\n"
		"stub_code_end:\n"
		:
		: [control] "i"(STUB_CONTROL), [command] "i"(offsetof(struct stub_control, command)),
		[touch] "i"(offsetof(struct stub_control, touch)),
		[turn] "i"(offsetof(struct stub_control, turn)),
		[stack] "i"(STUB_STACK), [size] "i"(STUB_STACK_SIZE),
		[quarter] "i"(-(int)(STUB_STACK_SIZE / 4)),
		[number] "i"(offsetof(struct stub_control, number)),
		[arg] "i"(offsetof(struct stub_control, arg)),
		[vectors] "i"(offsetof(struct stub_control, vectors)),
		[gpr] "i"(offsetof(struct stub_control, gpr)), [rip] "i"(offsetof(struct stub_control, rip)),
		[rflags] "i"(offsetof(struct stub_control, rflags)),
		[fs_base] "i"(offsetof(struct stub_control, fs_base)),
		[gs_base] "i"(offsetof(struct stub_control, gs_base)),
		[ds] "i"(offsetof(struct stub_control, ds)), [es] "i"(offsetof(struct stub_control, es)),
		[fs] "i"(offsetof(struct stub_control, fs)), [gs] "i"(offsetof(struct stub_control, gs)),
		[xsave] "i"(offsetof(struct stub_control, xsave)), [call] "i"(STUB_CALL),
		[report] "i"(STUB_REPORT), [says_exit] "i"(STUB_SAYS_EXIT),
		[says_result] "i"(STUB_SAYS_RESULT));
}
/* clang-format on */
