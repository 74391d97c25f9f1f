/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PVH entry (Xen's pvh.markdown): 32-bit protected mode, no paging. Task
 * switches are tried here, since only 32-bit mode has them; then long mode, the
 * first 4 GiB mapped one to one, and main(). A second processor comes by the
 * trampoline at the end.
 */
#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define CODE_32 0x18
#define TSS_A 0x90
#define TSS_B 0x98

	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18
	.asciz "Xen"
	.long entry

	.text
	.code32
	.globl entry
entry:
	cli
	cld
	movl $stack0_end, %esp
	movl %ebx, start_info
	lgdt gdt_pointer
	ljmp $CODE_32, $1f
1:	movl $KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	call try_tasks
	call long_mode
	ljmp $KERNEL_CS, $start64

/* Fills in the base of the TSS descriptor at (%edi) from %eax. */
set_base:
	movw %ax, 2(%edi)
	shrl $16, %eax
	movb %al, 4(%edi)
	movb %ah, 7(%edi)
	ret

/* A jumps to B, which jumps back; A calls B, which returns by IRET. */
try_tasks:
	movl $tss_a, %eax
	movl $gdt + TSS_A, %edi
	call set_base
	movl $tss_b, %eax
	movl $gdt + TSS_B, %edi
	call set_base
	movl $TSS_A, %eax
	ltr %ax
	movl $stack1_end, tss_b + 56
	movl $task_b, tss_b + 32
	movl $0x202, tss_b + 36
	movl $0x12345678, tss_b + 64 /* esi */
	movl $CODE_32, tss_b + 76
	movl $KERNEL_DS, tss_b + 72
	movl $KERNEL_DS, tss_b + 80
	movl $KERNEL_DS, tss_b + 84
	movl $0xabcdef01, %ebx
	ljmp $TSS_B, $0
	cmpl $0xabcdef01, %ebx
	jne 1f
	str %ax
	cmpw $TSS_A, %ax
	jne 1f
	orl $1, task_seen
1:	lcall $TSS_B, $0
	movl %cr0, %eax
	testl $8, %eax
	jz 1f
	orl $2, task_seen
1:	clts
	testb $2, gdt + TSS_B + 5 /* not busy any more */
	jnz 1f
	orl $4, task_seen
1:	testb $2, gdt + TSS_A + 5 /* busy */
	jz 1f
	orl $8, task_seen
1:	ret

task_b:
	cli
	cmpl $0x12345678, %esi
	jne 1f
	orl $16, task_seen
1:	ljmp $TSS_A, $0
	/* called: NT is set, the link names A */
	pushfl
	popl %eax
	testl $0x4000, %eax
	jz 1f
	cmpw $TSS_A, tss_b
	jne 1f
	orl $32, task_seen
1:	iret

long_mode:
	/* 4 GiB in pages of 2 MiB */
	movl $0x83, %eax
	movl $tables_2, %edi
	xorl %edx, %edx
	movl $2048, %ecx
1:	movl %eax, (%edi)
	movl %edx, 4(%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 1b
	movl $tables_2 + 3, %eax
	movl $tables_3, %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b
	movl $tables_3 + 3, tables_4
load_long_mode:
	movl $tables_4, %eax
	movl %eax, %cr3
	movl $0x6a0, %eax /* PAE, PGE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x901, %eax /* NXE, LME, SCE */
	wrmsr
	movl $0x80010031, %eax /* PG, WP, NE, ET, PE */
	movl %eax, %cr0
	ret

	.code64
start64:
	movq $stack0_end, %rsp
	call main
1:	hlt
	jmp 1b

	.globl ap_start64
ap_start64:
	movq $stack1_end, %rsp
	call ap_main
1:	hlt
	jmp 1b

/* --- traps --------------------------------------------------------------------- */

	.globl stubs
	.align 16
stubs:
	.set vector, 0
	.rept 256
	.align 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
	pushq $0
	.endif
	pushq $vector
	jmp trapped
	.set vector, vector + 1
	.endr

trapped:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %rdi
	cld
	movq %rsp, %rbp
	andq $-16, %rsp
	call trap
	movq %rbp, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* void user_enter(const struct user *): down by IRET; a trap comes back by user_leave(). */
	.globl user_enter, user_leave
user_enter:
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, user_kernel_rsp
	movq %rsp, tss64 + 4
	pushq 32(%rdi)
	pushq 24(%rdi)
	pushq 16(%rdi)
	pushq 8(%rdi)
	pushq (%rdi)
	movl $0x2b, %eax
	movl %eax, %ds
	movl %eax, %es
	movq 48(%rdi), %rsi
	movq 40(%rdi), %rdi
	iretq
user_leave:
	movq user_kernel_rsp, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	ret

/* --- the second processor ------------------------------------------------------ */

/* Copied to a page below 1 MiB; what it found there is told in ap_found. */
	.globl trampoline, trampoline_end
	.code16
trampoline:
	cli
	movl %cr0, %ecx
	movw %cs, %bx
	xorw %ax, %ax
	movw %ax, %ds
	movw %bx, %ax
	shll $16, %eax
	movw $0, %ax
	movl %eax, 0x700
	movl %ecx, 0x704
	movl %edx, 0x708
	xorl %eax, %eax
	movw %bx, %ax
	shll $4, %eax
	addl $(trampoline_gdt - trampoline), %eax
	lgdtl (%eax)
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmpl $CODE_32, $ap_32
trampoline_gdt:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.code32
ap_32:
	movl $KERNEL_DS, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $stack1_end, %esp
	call load_long_mode
	ljmp $KERNEL_CS, $ap_start64

/* --- data ---------------------------------------------------------------------- */

	.data
	.align 16
	.globl gdt, gdt_end, gdt_pointer, task_seen
gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 08: code 64 */
	.quad 0x00cf93000000ffff /* 10: data */
	.quad 0x00cf9b000000ffff /* 18: code 32 */
	.quad 0x00cffb000000ffff /* 20: user code 32 */
	.quad 0x00cff3000000ffff /* 28: user data */
	.quad 0x00affb000000ffff /* 30: user code 64 */
	.quad 0, 0               /* 38: TSS, processor 0 */
	.quad 0, 0               /* 48: TSS, processor 1 */
	.quad 0, 0               /* 58: call gate */
	.quad 0x7040f3000000000f /* 68: user data, 16 bytes from 0x70000000 */
	.quad 0x000ffb000000ffff /* 70: user code 16 */
	.quad 0x004ff70000000fff /* 78: user data, expands down from 64 MiB */
	.quad 0x00cf73000000ffff /* 80: user data, not present */
	.quad 0x00cf9f000000ffff /* 88: conforming code */
	.quad 0x0000890000000067 /* 90: 32-bit TSS A */
	.quad 0x0000890000000067 /* 98: 32-bit TSS B */
	.quad 0x00cff1000000ffff /* a0: user data, read only */
	.quad 0x00cff9000000ffff /* a8: user code, execute only */
	.quad 0x00cf13000000ffff /* b0: kernel data, not present */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt
task_seen:
	.long 0
	.globl start_info
start_info:
	.long 0

	.bss
	.align 4096
	.globl tables_4, tables_3, tables_2, tss64, stack0_end
tables_4:
	.skip 4096
tables_3:
	.skip 4096
tables_2:
	.skip 4 * 4096
tss_a:
	.skip 112
tss_b:
	.skip 112
tss64:
	.skip 256
user_kernel_rsp:
	.skip 8
	.align 16
	.skip 16384
stack0_end:
	.skip 16384
stack1_end:

	.section .note.GNU-stack, "", @progbits
