/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and offsets that C and assembly share. */
#ifndef DACH_TESTS_ORACLE_LAYOUT_H
#define DACH_TESTS_ORACLE_LAYOUT_H

/* Where the sequence and its data are, natively and in the guest alike. */
#define CODE_BASE 0x20000000
#define CODE_PAGES 4
#define DATA_BASE 0x20100000
#define DATA_PAGES 12             /* of address space; some are not there */
#define DATA_ALIAS 0x5a5a5a500000 /* the same pages again, beyond 32 bits */

/* struct side */
#define SIDE_GPR 0
#define SIDE_RFLAGS 128
#define SIDE_RIP 136
#define SIDE_FS 144
#define SIDE_GS 152
#define SIDE_VECTOR 160
#define SIDE_ERROR 168
#define SIDE_CR2 176
#define SIDE_XSAVE 192
#define SIDE_SIZE 3008
#define XSAVE_SIZE 2816

/* struct job */
#define JOB_IN 0
#define JOB_OUT SIDE_SIZE
#define JOB_CR3 (2 * SIDE_SIZE)
#define JOB_CS (2 * SIDE_SIZE + 8)
#define JOB_SS (2 * SIDE_SIZE + 16)
#define JOB_COMPONENTS (2 * SIDE_SIZE + 24)
#define JOB_SIZE 8192

/* struct frame */
#define FRAME_RSP (JOB_SIZE)
#define FRAME_FS (JOB_SIZE + 8)
#define FRAME_MXCSR (JOB_SIZE + 16)
#define FRAME_FCW (JOB_SIZE + 20)
#define FRAME_FSGSBASE (JOB_SIZE + 24)
#define FRAME_RESUME (JOB_SIZE + 32)
#define FRAME_RESUME_RSP (JOB_SIZE + 40)

/* Guest: physical addresses, and where the supervisor sees them. */
#define SUPER 0xffffab0000000000
#define PHYS_CODE 0x100000
#define PHYS_VARS 0x10000
#define PHYS_IDT 0x11000
#define PHYS_GDT 0x12000
#define PHYS_TSS 0x13000
#define PHYS_STACK 0x18000 /* top */
#define PHYS_SUPER_PDPT 0x20000
#define PHYS_SUPER_PD 0x21000
#define PHYS_PML4 0x22000
#define PHYS_JOBS 0x200000
#define PHYS_SLOTS 0x400000

#define VARS_JOB 0
#define VARS_END 8

/*
 * Every sequence ends in a jump to this address. Natively that is the way out; in the guest it is
 * not there, and the page fault is the end.
 */
#define EXIT_AT 0x6b5d0000
#define END_LENGTH 5
#define END_VECTOR 0x100 /* what side.vector then says */

#endif
