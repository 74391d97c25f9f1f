/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into a sequence on this processor and out again. All is reached relative to
 * rip, since every register and both segment bases are the sequence's.
 */
#include "layout.h"

	.text
	.globl native_enter, native_restack, native_restack_jump, native_exit
native_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, native_frame+FRAME_RSP(%rip)
	stmxcsr	native_frame+FRAME_MXCSR(%rip)
	fnstcw	native_frame+FRAME_FCW(%rip)
	movl	native_frame+JOB_COMPONENTS(%rip), %eax
	xorl	%edx, %edx
	xrstor64 native_frame+JOB_IN+SIDE_XSAVE(%rip)
	cmpl	$0, native_frame+FRAME_FSGSBASE(%rip)
	je	1f
	rdfsbase %rax
	movq	%rax, native_frame+FRAME_FS(%rip)
	movq	native_frame+JOB_IN+SIDE_FS(%rip), %rax
	wrfsbase %rax
	movq	native_frame+JOB_IN+SIDE_GS(%rip), %rax
	wrgsbase %rax
1:	pushq	native_frame+JOB_IN+SIDE_RFLAGS(%rip)
	popfq
	movq	native_frame+JOB_IN+SIDE_GPR+8*0(%rip), %rax
	movq	native_frame+JOB_IN+SIDE_GPR+8*1(%rip), %rcx
	movq	native_frame+JOB_IN+SIDE_GPR+8*2(%rip), %rdx
	movq	native_frame+JOB_IN+SIDE_GPR+8*3(%rip), %rbx
	movq	native_frame+JOB_IN+SIDE_GPR+8*4(%rip), %rsp
	movq	native_frame+JOB_IN+SIDE_GPR+8*5(%rip), %rbp
	movq	native_frame+JOB_IN+SIDE_GPR+8*6(%rip), %rsi
	movq	native_frame+JOB_IN+SIDE_GPR+8*7(%rip), %rdi
	movq	native_frame+JOB_IN+SIDE_GPR+8*8(%rip), %r8
	movq	native_frame+JOB_IN+SIDE_GPR+8*9(%rip), %r9
	movq	native_frame+JOB_IN+SIDE_GPR+8*10(%rip), %r10
	movq	native_frame+JOB_IN+SIDE_GPR+8*11(%rip), %r11
	movq	native_frame+JOB_IN+SIDE_GPR+8*12(%rip), %r12
	movq	native_frame+JOB_IN+SIDE_GPR+8*13(%rip), %r13
	movq	native_frame+JOB_IN+SIDE_GPR+8*14(%rip), %r14
	movq	native_frame+JOB_IN+SIDE_GPR+8*15(%rip), %r15
	jmpq	*native_frame+JOB_IN+SIDE_RIP(%rip)

native_restack:
	movq	native_frame+FRAME_RESUME_RSP(%rip), %rsp
native_restack_jump:
	jmpq	*native_frame+FRAME_RESUME(%rip)

native_exit:
	movq	%rax, native_frame+JOB_OUT+SIDE_GPR+8*0(%rip)
	movq	%rcx, native_frame+JOB_OUT+SIDE_GPR+8*1(%rip)
	movq	%rdx, native_frame+JOB_OUT+SIDE_GPR+8*2(%rip)
	movq	%rbx, native_frame+JOB_OUT+SIDE_GPR+8*3(%rip)
	movq	%rsp, native_frame+JOB_OUT+SIDE_GPR+8*4(%rip)
	movq	%rbp, native_frame+JOB_OUT+SIDE_GPR+8*5(%rip)
	movq	%rsi, native_frame+JOB_OUT+SIDE_GPR+8*6(%rip)
	movq	%rdi, native_frame+JOB_OUT+SIDE_GPR+8*7(%rip)
	movq	%r8, native_frame+JOB_OUT+SIDE_GPR+8*8(%rip)
	movq	%r9, native_frame+JOB_OUT+SIDE_GPR+8*9(%rip)
	movq	%r10, native_frame+JOB_OUT+SIDE_GPR+8*10(%rip)
	movq	%r11, native_frame+JOB_OUT+SIDE_GPR+8*11(%rip)
	movq	%r12, native_frame+JOB_OUT+SIDE_GPR+8*12(%rip)
	movq	%r13, native_frame+JOB_OUT+SIDE_GPR+8*13(%rip)
	movq	%r14, native_frame+JOB_OUT+SIDE_GPR+8*14(%rip)
	movq	%r15, native_frame+JOB_OUT+SIDE_GPR+8*15(%rip)
	movq	native_frame+FRAME_RSP(%rip), %rsp
	pushfq
	popq	native_frame+JOB_OUT+SIDE_RFLAGS(%rip)
	pushq	$2
	popfq
	cmpl	$0, native_frame+FRAME_FSGSBASE(%rip)
	je	1f
	rdfsbase %rax
	movq	%rax, native_frame+JOB_OUT+SIDE_FS(%rip)
	rdgsbase %rax
	movq	%rax, native_frame+JOB_OUT+SIDE_GS(%rip)
	movq	native_frame+FRAME_FS(%rip), %rax
	wrfsbase %rax
1:	movl	native_frame+JOB_COMPONENTS(%rip), %eax
	xorl	%edx, %edx
	xsave64	native_frame+JOB_OUT+SIDE_XSAVE(%rip)
	fninit
	fldcw	native_frame+FRAME_FCW(%rip)
	ldmxcsr	native_frame+FRAME_MXCSR(%rip)
	testl	$4, native_frame+JOB_COMPONENTS(%rip)
	jz	1f
	vzeroupper
1:	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.section .note.GNU-stack, "", @progbits
