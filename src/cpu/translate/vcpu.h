/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU of the translating engine.
 *
 * The structure's pages are mapped at the start of every TLB context, where %gs
 * points while translated code runs (C code uses the first context's): generated
 * code finds fields at %gs:offset and the context's tables behind them, and a
 * change of context is one WRGSBASE.
 *
 * Guest registers are in host registers of the same name while translated code
 * runs, all but r10 and r11, which live in cpu.gpr[] and whose host registers
 * are scratch. In C code all of cpu is valid, except the vector state: that
 * stays in the host's registers until vcpu_vectors_save().
 */
#ifndef DACH_CPU_TRANSLATE_VCPU_H
#define DACH_CPU_TRANSLATE_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/cpuid.h"
#include "cpu/engine.h"
#include "cpu/state.h"
#include "cpu/translate/counters.h"

struct translate_vm;
struct translate_vcpu;
struct insn;
struct tlb;

/* What a step of execution or emulation led to. */
enum outcome {
	OUT_OK,    /* go on at cpu.rip */
	OUT_FAULT, /* vcpu.fault holds an exception; cpu.rip is still at the instruction */
	OUT_HALT,
	OUT_SHUTDOWN,
	OUT_DEBUG,
	OUT_INTERRUPTED,
	OUT_ERROR, /* the engine itself failed */
};

struct fault {
	uint8_t vector;
	bool has_error;
	uint32_t error;
	uint64_t cr2; /* for #PF */
};

/* How memory is reached; combined. */
#define ACC_READ 0u
#define ACC_WRITE 1u
#define ACC_FETCH 2u
#define ACC_SYSTEM \
	4u /* an implicit supervisor access: descriptor tables, TSS (never user, ignores AC) */

#define BOUNCE_SIZE 16384
#define LIMIT_SIZES 521u /* an access, or several together, have at most 520 bytes */

struct vcpu {
	struct cpu_state cpu;

	/* --- read or written by generated code ------------------------------------------- */
	uint64_t code_base; /* virtual address of the code page that runs (CS base included) */
	uint64_t spill[4];
	uint64_t carry;    /* CF, where a check has taken it out of the host's flags: gen_carry.c */
	uint64_t sum;      /* what a check that failed has added up, with the CF that it took */
	uint64_t host_rsp; /* the stack that C code runs on */
	uint64_t flags;    /* status flags and DF during a slow path */
	uint64_t page_mask; /* constant ~4095, a PEXT mask */
	uint64_t limit
		[LIMIT_SIZES]; /* constant: what makes a sum carry if so many bytes leave a page */
	uint64_t if_mask;      /* constant: all of RFLAGS but IF */
	uint64_t code_flags_mask;  /* constant: the flags that live in the host's */
	uint64_t direction_mask;   /* constant: DF */
	uint64_t *irq_window_poll; /* read when interrupts become enabled; bad while one may wait */
	uint64_t irq_window_mask;  /* PEXT mask of the jump behind STI; 0 while one may wait */
	uint64_t jump_mask; /* PEXT mask that makes a jump cache index; 0 to find nothing there */
	uint64_t *poll;     /* read at back edges; made bad by a kick */
	unsigned kicked;    /* KICK_*, see exclusive.h; atomic */
	uint64_t ea;        /* of the slow access under way */
	uint64_t scratch;   /* C code's answer to the slow path: the host address */
	struct vcpu *self;  /* the mapping that C code uses */
	void (*stub_leave)(void); /* stubs.c, where generated code jumps to */
	void (*stub_slow)(void);
	void (*stub_commit)(void);
	uint64_t resume, resume_rsp; /* where stub_restack goes on, and with which RSP */

	/* --- C only ----------------------------------------------------------------------- */
	struct translate_vm *vm;
	unsigned index;
	struct fault fault;
	bool irq_check;     /* the local APIC may have something */
	bool vectors_saved; /* the guest's extended state is in cpu.xsave, not in registers */
	struct counters count;
	struct engine_debug debug;
	struct tlb *tlb; /* the current context's tables; see tlb.h */
	struct translate_vcpu *private_data;
};

/* What generated code says of a memory access when it needs the slow path; lies in the code. */
struct slow_access {
	int32_t retry;  /* from this struct to the start of the check */
	uint16_t guest; /* the instruction's offset in the code page */
	uint16_t flags; /* SLOW_* */
	uint16_t size;  /* bytes */
	uint8_t length;
	uint8_t seg; /* SEG_*, with SLOW_OP */
} __attribute__((packed));
/* With SLOW_GROUP. */
struct slow_group {
	struct slow_access access;
	uint32_t exit; /* which leads to the same one by one, or 0 */
} __attribute__((packed));
#define SLOW_WRITE 1u
#define SLOW_READ 2u
#define SLOW_MASKED 4u
#define SLOW_STACK 8u /* non-canonical: #SS rather than #GP */
#define SLOW_LOCK 16u
#define SLOW_ALIGNED 64u /* misaligned: #GP, before the page is looked at */
#define SLOW_GROUP 128u  /* several accesses: try again, or do them one by one (MODE_UNGROUPED) */
#define SLOW_OP 32u     /* must go on with the out-of-line copy: ea is an offset in segment `seg` */
#define SLOW_JUMPS 256u /* the instruction goes on to jump, which finds what has changed */
#define SLOW_CARRY 512u /* the guest's CF is in vcpu.carry; the check is tried again without it */
#define SLOW_SUM 1024u  /* the guest's CF is in vcpu.sum; the check is tried again with it */
#define SLOW_RELAXED 2048u /* aligned, but not with MXCSR.MM; then #AC, where that is enabled */

/* What they return to the code in stubs.c. */
enum slow_result { SLOW_RETRY, SLOW_GO, SLOW_LEAVE };

/* --- extended state ------------------------------------------------------------------- */

/*
 * Hot helpers (hot.h) are compiled with -mgeneral-regs-only and leave vector registers alone. Everything
 * else (callbacks, libc, Zydis) must come after vcpu_vectors_save(), which stores the guest's
 * x87/SSE/AVX state in cpu.xsave and gives the host clean control words. It is put back on the way
 * into translated code.
 */
void vcpu_vectors_save(struct vcpu *v);
void vcpu_vectors_restore(struct vcpu *v);

/* --- memory (mmu.c) ------------------------------------------------------------------- */

/*
 * Reads or writes size bytes (up to 4,096) at a linear address with the permissions of the current
 * CPL (CPL 3 = user) or ACC_SYSTEM. All pages are checked before anything is written. Device
 * memory is reached at its width. OUT_OK, or OUT_FAULT with vcpu.fault set (#PF, or #GP(0) /
 * #SS(0) is the caller's business for non-canonical addresses: canonical_ok()).
 * Writes to translated code invalidate it.
 */
enum outcome mem_read(struct vcpu *v, uint64_t linear, void *data, unsigned size, unsigned access);
enum outcome mem_write(struct vcpu *v, uint64_t linear, const void *data, unsigned size,
	unsigned access);
/* Checks permissions (and sets A/D) as such an access would, touches nothing else. */
enum outcome mem_probe(struct vcpu *v, uint64_t linear, unsigned size, unsigned access);
/*
 * A host pointer for bytes that lie in one page of plain RAM, valid until the next emulated
 * instruction; *host is NULL (and OUT_OK returned) when it is device memory or crosses a page.
 * With ACC_WRITE, translated code in the range is forgotten by mem_check_smc(), which translate_run() calls
 * before the next instruction.
 */
enum outcome mem_host(struct vcpu *v, uint64_t linear, unsigned size, unsigned access, void **host);

static inline bool canonical_ok(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

void mem_check_smc(struct vcpu *v);

/* --- TLB and mode (mmu.c, mode.c) --------------------------------------------------------------- */

void mmu_flush_all(struct vcpu *v);                   /* also global entries */
void mmu_flush_nonglobal(struct vcpu *v);             /* the current PCID */
void mmu_flush_page(struct vcpu *v, uint64_t linear); /* INVLPG: current PCID and global */
void mmu_flush_pcid(struct vcpu *v, unsigned pcid);
/* What MOV CRn looks at before PAE paging: see walk_pdptes_good(). */
bool mmu_pdptes_good(struct vcpu *v, uint64_t cr3);
/*
 * CR3 was loaded: cpu.cr3 holds the new value (bit 63 cleared). keep: bit 63 was set (PCID entries
 * stay).
 */
void mmu_cr3_loaded(struct vcpu *v, bool keep);
/*
 * Must be called after any change of cpl, cr0, cr4, efer, RFLAGS.AC, RFLAGS.TF, CS or SS attributes,
 * xcr0, segment bases, debug registers: chooses the TLB context and the block mode.
 */
void mode_update(struct vcpu *v);

/* Guest physical address of code to fetch; OUT_OK or OUT_FAULT. */
enum outcome mmu_fetch(struct vcpu *v, uint64_t linear, uint64_t *gpa);

const struct cpuid_policy *vcpu_cpuid(const struct vcpu *v);
/* Of the guest's XSAVE; cpu.xsave's is vcpu_cpuid(v)->area. */
const struct xsave_layout *vcpu_layout(const struct vcpu *v);
/* vcpu_vectors_save() before any of them. */
const struct engine_callbacks *vcpu_callbacks(const struct vcpu *v, void **ctx);

/* --- faults ----------------------------------------------------------------------------- */

static inline enum outcome fault_raise(struct vcpu *v, unsigned vector)
{
	v->fault = (struct fault){.vector = (uint8_t)vector};
	return OUT_FAULT;
}

static inline enum outcome fault_raise_error(struct vcpu *v, unsigned vector, uint32_t error)
{
	v->fault = (struct fault){.vector = (uint8_t)vector, .has_error = true, .error = error};
	return OUT_FAULT;
}

/* --- emulation (emulate*.c, event.c) ------------------------------------------------------ */

/*
 * Executes one decoded instruction at cpu.rip. On OUT_OK (and OUT_HALT) cpu.rip is past it, or
 * at its target. A REP string instruction may stop early with cpu.rip still on it.
 */
enum outcome emulate(struct vcpu *v, const struct insn *i);

/*
 * Delivers an event through the IDT (real, protected, long mode): SDM 3A chapter 6. Faults during
 * delivery become #DF and then OUT_SHUTDOWN. soft: INT n / INT3 / INTO, whose return address is
 * cpu.rip as set by the caller (past the instruction) and which check the gate's DPL.
 */
enum outcome event_deliver(struct vcpu *v, unsigned vector, bool has_error, uint32_t error,
	bool soft, bool external);
/* Delivers v->fault: sets CR2 for #PF, RF, contributes to double faults. */
enum outcome event_deliver_fault(struct vcpu *v);

#endif
