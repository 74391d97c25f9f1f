/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into a sequence on this processor and out again. All is reached by absolute
 * addresses, since every register and both segment bases are the sequence's.
 */
#include "layout.h"

	.text
	.globl native_enter, native_exit
native_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, FRAME_RSP
	stmxcsr	FRAME_MXCSR
	fnstcw	FRAME_FCW
	movl	FRAME+JOB_COMPONENTS, %eax
	xorl	%edx, %edx
	xrstor64 FRAME+JOB_IN+SIDE_XSAVE
	cmpl	$0, FRAME_FSGSBASE
	je	1f
	rdfsbase %rax
	movq	%rax, FRAME_FS
	movq	FRAME+JOB_IN+SIDE_FS, %rax
	wrfsbase %rax
	movq	FRAME+JOB_IN+SIDE_GS, %rax
	wrgsbase %rax
1:	pushq	FRAME+JOB_IN+SIDE_RFLAGS
	popfq
	movq	FRAME+JOB_IN+SIDE_GPR+8*0, %rax
	movq	FRAME+JOB_IN+SIDE_GPR+8*1, %rcx
	movq	FRAME+JOB_IN+SIDE_GPR+8*2, %rdx
	movq	FRAME+JOB_IN+SIDE_GPR+8*3, %rbx
	movq	FRAME+JOB_IN+SIDE_GPR+8*4, %rsp
	movq	FRAME+JOB_IN+SIDE_GPR+8*5, %rbp
	movq	FRAME+JOB_IN+SIDE_GPR+8*6, %rsi
	movq	FRAME+JOB_IN+SIDE_GPR+8*7, %rdi
	movq	FRAME+JOB_IN+SIDE_GPR+8*8, %r8
	movq	FRAME+JOB_IN+SIDE_GPR+8*9, %r9
	movq	FRAME+JOB_IN+SIDE_GPR+8*10, %r10
	movq	FRAME+JOB_IN+SIDE_GPR+8*11, %r11
	movq	FRAME+JOB_IN+SIDE_GPR+8*12, %r12
	movq	FRAME+JOB_IN+SIDE_GPR+8*13, %r13
	movq	FRAME+JOB_IN+SIDE_GPR+8*14, %r14
	movq	FRAME+JOB_IN+SIDE_GPR+8*15, %r15
	jmpq	*FRAME+JOB_IN+SIDE_RIP

native_exit:
	movq	%rax, FRAME+JOB_OUT+SIDE_GPR+8*0
	movq	%rcx, FRAME+JOB_OUT+SIDE_GPR+8*1
	movq	%rdx, FRAME+JOB_OUT+SIDE_GPR+8*2
	movq	%rbx, FRAME+JOB_OUT+SIDE_GPR+8*3
	movq	%rsp, FRAME+JOB_OUT+SIDE_GPR+8*4
	movq	%rbp, FRAME+JOB_OUT+SIDE_GPR+8*5
	movq	%rsi, FRAME+JOB_OUT+SIDE_GPR+8*6
	movq	%rdi, FRAME+JOB_OUT+SIDE_GPR+8*7
	movq	%r8, FRAME+JOB_OUT+SIDE_GPR+8*8
	movq	%r9, FRAME+JOB_OUT+SIDE_GPR+8*9
	movq	%r10, FRAME+JOB_OUT+SIDE_GPR+8*10
	movq	%r11, FRAME+JOB_OUT+SIDE_GPR+8*11
	movq	%r12, FRAME+JOB_OUT+SIDE_GPR+8*12
	movq	%r13, FRAME+JOB_OUT+SIDE_GPR+8*13
	movq	%r14, FRAME+JOB_OUT+SIDE_GPR+8*14
	movq	%r15, FRAME+JOB_OUT+SIDE_GPR+8*15
	movq	FRAME_RSP, %rsp
	pushfq
	popq	FRAME+JOB_OUT+SIDE_RFLAGS
	pushq	$2
	popfq
	cmpl	$0, FRAME_FSGSBASE
	je	1f
	rdfsbase %rax
	movq	%rax, FRAME+JOB_OUT+SIDE_FS
	rdgsbase %rax
	movq	%rax, FRAME+JOB_OUT+SIDE_GS
	movq	FRAME_FS, %rax
	wrfsbase %rax
1:	movl	FRAME+JOB_COMPONENTS, %eax
	xorl	%edx, %edx
	xsave64	FRAME+JOB_OUT+SIDE_XSAVE
	fninit
	fldcw	FRAME_FCW
	ldmxcsr	FRAME_MXCSR
	vzeroupper
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.section .note.GNU-stack, "", @progbits
