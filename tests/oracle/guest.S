/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's supervisor: for one job after another it loads the whole state,
 * enters the sequence by IRETQ, and stores all when an exception comes. Copied into guest memory as it is; position-independent.
 */
#include "layout.h"

	.section .rodata
	.globl guest_code, guest_code_end, guest_vectors
	.balign 16
guest_code:
	.code64
next:
	movabsq	$SUPER + PHYS_VARS, %rax
	movq	VARS_JOB(%rax), %rbx
	cmpq	VARS_END(%rax), %rbx
	jae	done
	movq	JOB_CR3(%rbx), %rax
	movq	%rax, %cr3
	movl	$0x2b, %eax		/* what a sequence has loaded is not the next one's */
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %fs
	movl	%eax, %gs
	movq	JOB_IN+SIDE_FS(%rbx), %rax
	wrfsbase %rax
	movq	JOB_IN+SIDE_GS(%rbx), %rax
	wrgsbase %rax
	movl	JOB_COMPONENTS(%rbx), %eax
	xorl	%edx, %edx
	xrstor64 JOB_IN+SIDE_XSAVE(%rbx)
	pushq	JOB_SS(%rbx)
	pushq	JOB_IN+SIDE_GPR+8*4(%rbx)
	pushq	JOB_IN+SIDE_RFLAGS(%rbx)
	pushq	JOB_CS(%rbx)
	pushq	JOB_IN+SIDE_RIP(%rbx)
	movq	JOB_IN+SIDE_GPR+8*0(%rbx), %rax
	movq	JOB_IN+SIDE_GPR+8*1(%rbx), %rcx
	movq	JOB_IN+SIDE_GPR+8*2(%rbx), %rdx
	movq	JOB_IN+SIDE_GPR+8*5(%rbx), %rbp
	movq	JOB_IN+SIDE_GPR+8*6(%rbx), %rsi
	movq	JOB_IN+SIDE_GPR+8*7(%rbx), %rdi
	movq	JOB_IN+SIDE_GPR+8*8(%rbx), %r8
	movq	JOB_IN+SIDE_GPR+8*9(%rbx), %r9
	movq	JOB_IN+SIDE_GPR+8*10(%rbx), %r10
	movq	JOB_IN+SIDE_GPR+8*11(%rbx), %r11
	movq	JOB_IN+SIDE_GPR+8*12(%rbx), %r12
	movq	JOB_IN+SIDE_GPR+8*13(%rbx), %r13
	movq	JOB_IN+SIDE_GPR+8*14(%rbx), %r14
	movq	JOB_IN+SIDE_GPR+8*15(%rbx), %r15
	movq	JOB_IN+SIDE_GPR+8*3(%rbx), %rbx
	iretq
done:
	hlt
	jmp	next

	/* The stack: what the processor pushed, with 0 where it pushes no error code; the vector. */
common:
	pushq	%rbx
	movabsq	$SUPER + PHYS_VARS, %rbx
	movq	VARS_JOB(%rbx), %rbx
	movq	%rax, JOB_OUT+SIDE_GPR+8*0(%rbx)
	movq	%rcx, JOB_OUT+SIDE_GPR+8*1(%rbx)
	movq	%rdx, JOB_OUT+SIDE_GPR+8*2(%rbx)
	movq	%rbp, JOB_OUT+SIDE_GPR+8*5(%rbx)
	movq	%rsi, JOB_OUT+SIDE_GPR+8*6(%rbx)
	movq	%rdi, JOB_OUT+SIDE_GPR+8*7(%rbx)
	movq	%r8, JOB_OUT+SIDE_GPR+8*8(%rbx)
	movq	%r9, JOB_OUT+SIDE_GPR+8*9(%rbx)
	movq	%r10, JOB_OUT+SIDE_GPR+8*10(%rbx)
	movq	%r11, JOB_OUT+SIDE_GPR+8*11(%rbx)
	movq	%r12, JOB_OUT+SIDE_GPR+8*12(%rbx)
	movq	%r13, JOB_OUT+SIDE_GPR+8*13(%rbx)
	movq	%r14, JOB_OUT+SIDE_GPR+8*14(%rbx)
	movq	%r15, JOB_OUT+SIDE_GPR+8*15(%rbx)
	popq	JOB_OUT+SIDE_GPR+8*3(%rbx)
	popq	JOB_OUT+SIDE_VECTOR(%rbx)
	popq	JOB_OUT+SIDE_ERROR(%rbx)
	popq	JOB_OUT+SIDE_RIP(%rbx)
	popq	%rax
	popq	JOB_OUT+SIDE_RFLAGS(%rbx)
	popq	JOB_OUT+SIDE_GPR+8*4(%rbx)
	popq	%rax
	cld
	movq	%cr2, %rax
	movq	%rax, JOB_OUT+SIDE_CR2(%rbx)
	rdfsbase %rax
	movq	%rax, JOB_OUT+SIDE_FS(%rbx)
	rdgsbase %rax
	movq	%rax, JOB_OUT+SIDE_GS(%rbx)
	movl	JOB_COMPONENTS(%rbx), %eax
	xorl	%edx, %edx
	xsave64	JOB_OUT+SIDE_XSAVE(%rbx)
	addq	$JOB_SIZE, %rbx
	movabsq	$SUPER + PHYS_VARS, %rax
	movq	%rbx, VARS_JOB(%rax)
	jmp	next

	/* One entry of 16 bytes for each vector. */
	.balign 16
guest_vectors_here:
	.set	vector, 0
	.rept	256
	.balign 16
	.if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	nop
	nop
	.else
	pushq	$0
	.endif
	pushq	$vector
	jmp	common
	.set	vector, vector + 1
	.endr
guest_code_end:

	.balign 8
guest_vectors:
	.quad	guest_vectors_here - guest_code

	.section .note.GNU-stack, "", @progbits
