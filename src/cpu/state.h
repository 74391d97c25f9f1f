/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest processor is: every piece of its architectural state, by its
 * architectural name (Intel SDM 1 chapter 3, 3A chapter 2). Both engines read
 * and write this layout, so that a guest can move between them.
 */
#ifndef DACH_CPU_STATE_H
#define DACH_CPU_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* RFLAGS (SDM 1, 3.4.3) */
#define FL_CF 0x1u
#define FL_PF 0x4u
#define FL_AF 0x10u
#define FL_ZF 0x40u
#define FL_SF 0x80u
#define FL_TF 0x100u
#define FL_IF 0x200u
#define FL_DF 0x400u
#define FL_OF 0x800u
#define FL_IOPL 0x3000u
#define FL_NT 0x4000u
#define FL_RF 0x10000u
#define FL_VM 0x20000u
#define FL_AC 0x40000u
#define FL_VIF 0x80000u
#define FL_VIP 0x100000u
#define FL_ID 0x200000u
#define FL_STATUS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)

/* Control registers (SDM 3A, 2.5) */
#define CR0_PE 0x1u
#define CR0_MP 0x2u
#define CR0_EM 0x4u
#define CR0_TS 0x8u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_AM 0x40000u
#define CR0_NW 0x20000000u
#define CR0_CD 0x40000000u
#define CR0_PG 0x80000000u
#define CR4_VME 0x1u
#define CR4_PVI 0x2u
#define CR4_TSD 0x4u
#define CR4_DE 0x8u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_MCE 0x40u
#define CR4_PGE 0x80u
#define CR4_PCE 0x100u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define CR4_UMIP 0x800u
#define CR4_FSGSBASE 0x10000u
#define CR4_PCIDE 0x20000u
#define CR4_OSXSAVE 0x40000u
#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define EFER_SCE 0x1u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define EFER_NXE 0x800u

/* Exception vectors (SDM 3A, 6.3.1) */
/* clang-format off */
enum {
	EXC_DE, EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM, EXC_DF,
	EXC_TS = 10, EXC_NP, EXC_SS, EXC_GP, EXC_PF, EXC_MF = 16, EXC_AC, EXC_MC, EXC_XM,
};
/* clang-format on */

/*
 * A segment register with its hidden part (SDM 3A, 3.4.3). limit is in bytes,
 * granularity applied. attr is bits 40-55 of the descriptor with the limit bits
 * cleared: type 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15.
 */
struct segment {
	uint16_t selector, attr;
	uint32_t limit;
	uint64_t base;
};
#define SEG_ATTR_S 0x10u
#define SEG_ATTR_DPL(a) (((a) >> 5) & 3)
#define SEG_ATTR_P 0x80u
#define SEG_ATTR_L 0x2000u
#define SEG_ATTR_DB 0x4000u
#define SEG_ATTR_G 0x8000u
#define SEG_ATTR_UNUSABLE 0x0100u /* a null selector was loaded */

struct table_register {
	uint64_t base;
	uint16_t limit;
};

/* An event waiting for delivery (saved with the guest). */
struct cpu_event {
	uint8_t pending, vector, has_error, soft;
	uint32_t error;
};

#define CPU_XSAVE_SIZE 4096 /* standard format, up to AVX-512 (2,696 bytes) */

#define SHADOW_STI 1
#define SHADOW_MOV_SS 2 /* ... and debug traps */

struct cpu_state {
	uint64_t gpr[16]; /* indexed by RAX.. R15 */
	uint64_t rip, rflags;
	struct segment seg[SEG_COUNT], tr, ldtr;
	struct table_register gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, cr8, xcr0;
	uint64_t dr[4], dr6, dr7;
	/* model-specific registers */
	uint64_t efer, star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, tsc_aux, misc_enable, mtrr_def_type;
	uint64_t mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
	uint64_t apic_base;
	int64_t tsc_offset;  /* guest TSC minus host TSC */
	uint64_t tsc_adjust; /* IA32_TSC_ADJUST: how far the guest itself has moved its TSC */
	uint64_t spec_ctrl;  /* IA32_SPEC_CTRL; the translator keeps it, without effect */
	uint8_t cpl;
	uint8_t sti_shadow; /* interrupts are held off for one instruction: SHADOW_* or 0 */
	uint8_t nmi_masked; /* between NMI delivery and IRET */
	uint8_t nmi_pending;
	struct cpu_event event;
	uint8_t xsave[CPU_XSAVE_SIZE] __attribute__((aligned(64)));
};

/* The state that power-on and INIT leave (SDM 3A, table 9-1); but EDX, where the CPUID policy counts. */
void cpu_state_reset(struct cpu_state *state);

#endif
