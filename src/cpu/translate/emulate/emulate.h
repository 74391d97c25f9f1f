/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the emulator's files share. All of this runs with the guest's vector
 * registers live: compiled with -mgeneral-regs-only, no libc.
 */
#ifndef DACH_CPU_TRANSLATE_EMULATE_H
#define DACH_CPU_TRANSLATE_EMULATE_H

#include "cpu/translate/decode/insn.h"
#include "cpu/translate/emulate/segment.h"
#include "cpu/translate/vcpu.h"

#define TRY(expr)                                           \
	do {                                                \
		enum outcome try_out = (expr);              \
		if (__builtin_expect(try_out != OUT_OK, 0)) \
			return try_out;                     \
	} while (0)

/* --- modes --------------------------------------------------------------------------- */

static inline bool mode_long(const struct vcpu *v)
{
	return v->cpu.efer & EFER_LMA;
}

static inline bool mode_code64(const struct vcpu *v)
{
	return (v->cpu.efer & EFER_LMA) && (v->cpu.seg[SEG_CS].attr & SEG_ATTR_L);
}

static inline bool mode_vm86(const struct vcpu *v)
{
	return v->cpu.rflags & FL_VM;
}

/* Real or virtual-8086 mode: selectors are paragraphs. */
static inline bool mode_paragraphs(const struct vcpu *v)
{
	return !(v->cpu.cr0 & CR0_PE) || (v->cpu.rflags & FL_VM);
}

static inline unsigned mode_iopl(const struct vcpu *v)
{
	return v->cpu.rflags >> 12 & 3;
}

/* --- registers and sizes ------------------------------------------------------------- */

static inline uint64_t size_mask(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

static inline int64_t size_extend(uint64_t value, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (int64_t)(value << shift) >> shift;
}

static inline uint64_t size_merge(uint64_t old, uint64_t value, unsigned size)
{
	if (size == 4)
		return (uint32_t)value;
	return (old & ~size_mask(size)) | (value & size_mask(size));
}

/* Operand size by prefixes: 2, 4, 8. */
static inline unsigned insn_size(const struct vcpu *v, const struct insn *i)
{
	if (mode_code64(v))
		return (i->rex & 8) ? 8 : i->prefix_66 ? 2 : 4;
	return !(v->cpu.seg[SEG_CS].attr & SEG_ATTR_DB) != i->prefix_66 ? 2 : 4;
}

static inline bool guest_amd(const struct vcpu *v)
{
	return cpuid_policy_amd(vcpu_cpuid(v));
}

/*
 * Of a far pointer in memory: what is read of its offset. REX.W makes it 64 bits on Intel's processors
 * (SDM 2A, JMP, LSS); on AMD's it stays at 32 (APM 3, JMP far, LSS), and wins over 66.
 */
static inline unsigned insn_size_far(const struct vcpu *v, const struct insn *i)
{
	unsigned size = insn_size(v, i);

	return size == 8 && guest_amd(v) ? 4 : size;
}

/* The same for instructions that default to 64 bits (stack, near branches). */
static inline unsigned insn_size_stack(const struct vcpu *v, const struct insn *i)
{
	if (mode_code64(v))
		return i->prefix_66 && !(i->rex & 8) ? 2 : 8;
	return insn_size(v, i);
}

/* ModRM.reg and ModRM.rm of legacy encodings, with REX. */
static inline unsigned insn_reg(const struct insn *i)
{
	return (i->modrm >> 3 & 7) | (i->rex & 4) << 1;
}

static inline unsigned insn_rm(const struct insn *i)
{
	return (i->modrm & 7) | (i->rex & 1) << 3;
}

/* Byte registers: without REX, 4 to 7 are AH to BH. */
static inline uint64_t gpr_get(const struct vcpu *v, const struct insn *i, unsigned reg,
	unsigned size)
{
	if (size == 1 && !i->rex && reg >= 4 && reg < 8)
		return v->cpu.gpr[reg - 4] >> 8 & 0xff;
	return v->cpu.gpr[reg] & size_mask(size);
}

static inline void gpr_set(struct vcpu *v, const struct insn *i, unsigned reg, unsigned size,
	uint64_t value)
{
	if (size == 1 && !i->rex && reg >= 4 && reg < 8)
		v->cpu.gpr[reg - 4] = (v->cpu.gpr[reg - 4] & ~0xff00ull) | (value & 0xff) << 8;
	else
		v->cpu.gpr[reg] = size_merge(v->cpu.gpr[reg], value, size);
}

/* The instruction after this one. */
static inline uint64_t insn_next(const struct vcpu *v, const struct insn *i)
{
	uint64_t next = v->cpu.rip + i->length;

	return mode_code64(v) ? next : (uint32_t)next;
}

static inline enum outcome insn_done(struct vcpu *v, const struct insn *i)
{
	v->cpu.rip = insn_next(v, i);
	return OUT_OK;
}

static inline enum outcome raise_ud(struct vcpu *v)
{
	return fault_raise(v, EXC_UD);
}

static inline enum outcome raise_gp(struct vcpu *v, uint32_t error)
{
	return fault_raise_error(v, EXC_GP, error);
}

/* Reads a system structure (TSS): linear is made 32-bit or checked, #GP(0). */
enum outcome system_read(struct vcpu *v, uint64_t linear, void *data, unsigned size);

/* --- flags --------------------------------------------------------------------------- */

static inline uint32_t flags_parity(uint64_t value)
{
	uint32_t x = value & 0xff;

	x ^= x >> 4;
	return (0x6996 >> (x & 15) & 1) ? 0 : FL_PF;
}

/* ZF, SF and PF of a result. */
static inline uint32_t flags_result(uint64_t value, unsigned size)
{
	value &= size_mask(size);
	return (value ? 0 : FL_ZF) | (value >> (size * 8 - 1) ? FL_SF : 0) | flags_parity(value);
}

/* All status flags of a - b - borrow, and of a + b + carry. */
static inline uint32_t flags_subtract(uint64_t a, uint64_t b, unsigned borrow, unsigned size)
{
	uint64_t r = a - b - borrow, sign = 1ull << (size * 8 - 1);

	a &= size_mask(size);
	b &= size_mask(size);
	return flags_result(r, size) | (a < b || (a == b && borrow) ? FL_CF : 0) |
		((a ^ b) & (a ^ r) & sign ? FL_OF : 0) | ((a ^ b ^ r) & FL_AF);
}

static inline uint32_t flags_add(uint64_t a, uint64_t b, unsigned carry, unsigned size)
{
	uint64_t r = (a + b + carry) & size_mask(size), sign = 1ull << (size * 8 - 1);

	a &= size_mask(size);
	b &= size_mask(size);
	return flags_result(r, size) | (r < a || (r == a && carry) ? FL_CF : 0) |
		(~(a ^ b) & (a ^ r) & sign ? FL_OF : 0) | ((a ^ b ^ r) & FL_AF);
}

/* --- operands (emulate_operand.c) ---------------------------------------------------- */

/* Data at seg:offset, at most 8 bytes; checks segment, alignment, page. */
enum outcome data_read(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
	uint64_t *value);
enum outcome data_write(struct vcpu *v, unsigned seg, uint64_t offset, unsigned size,
	uint64_t value);
/* The linear address of the memory operand after segment and alignment checks. */
enum outcome operand_linear(struct vcpu *v, const struct insn *i, unsigned size, unsigned access,
	uint64_t *linear);
/* #AC(0) if alignment checks are on and say so. */
enum outcome alignment_check(struct vcpu *v, uint64_t linear, unsigned size);
/* The ModRM operand, register or memory. */
enum outcome rm_read(struct vcpu *v, const struct insn *i, unsigned size, uint64_t *value);
enum outcome rm_write(struct vcpu *v, const struct insn *i, unsigned size, uint64_t value);

static inline bool rm_is_reg(const struct insn *i)
{
	return i->modrm >= 0xc0;
}

/*
 * A stack being pushed to or popped from: RSP itself moves only at stack_commit(). A push or pop
 * outside it raises #SS(error).
 */
struct stack {
	struct segment ss;
	uint64_t sp, mask;
	unsigned access;
	uint32_t error;
	bool flat;
};
void stack_current(struct vcpu *v, struct stack *s);
enum outcome stack_push(struct vcpu *v, struct stack *s, unsigned size, uint64_t value);
enum outcome stack_pop(struct vcpu *v, struct stack *s, unsigned size, uint64_t *value);
/* Are size bytes below (above, for pops) SP inside the segment? */
enum outcome stack_room(struct vcpu *v, const struct stack *s, uint64_t offset, unsigned size,
	unsigned access, uint64_t *linear);
void stack_commit(struct vcpu *v, const struct stack *s);

/* The stack of an inner privilege level from a legacy TSS (event_legacy.c); #TS, #SS as the SDM. */
enum outcome stack_inner(struct vcpu *v, unsigned dpl, unsigned ext, struct stack *s);

/* Near control transfer: checks target against CS and sets RIP. */
enum outcome branch_check(struct vcpu *v, uint64_t target);

/* --- one function a topic ------------------------------------------------------------ */

typedef enum outcome emulator(struct vcpu *v, const struct insn *i);

/* By ZydisMnemonic, of INSN_EMULATE: whose rule has this class, or some form of which gets it. NULL: #UD. */
extern emulator *const emulate_by[];

enum outcome emulate_string(struct vcpu *v, const struct insn *i);
enum outcome emulate_bitstring(struct vcpu *v, const struct insn *i);

/* emulate_control.c */
enum outcome emulate_mov_cr(struct vcpu *v, const struct insn *i);
enum outcome emulate_mov_dr(struct vcpu *v, const struct insn *i);
enum outcome emulate_clts(struct vcpu *v, const struct insn *i);
enum outcome emulate_lmsw(struct vcpu *v, const struct insn *i);
enum outcome emulate_smsw(struct vcpu *v, const struct insn *i);
enum outcome emulate_xsetbv(struct vcpu *v, const struct insn *i);
enum outcome emulate_xgetbv(struct vcpu *v, const struct insn *i);

/* emulate_table.c */
enum outcome emulate_lgdt_lidt(struct vcpu *v, const struct insn *i);
enum outcome emulate_sgdt_sidt(struct vcpu *v, const struct insn *i);
enum outcome emulate_lldt(struct vcpu *v, const struct insn *i);
enum outcome emulate_ltr(struct vcpu *v, const struct insn *i);
enum outcome emulate_sldt_str(struct vcpu *v, const struct insn *i);
enum outcome emulate_lar_lsl(struct vcpu *v, const struct insn *i);
enum outcome emulate_verr_verw(struct vcpu *v, const struct insn *i);
enum outcome emulate_arpl(struct vcpu *v, const struct insn *i);
enum outcome emulate_mov_sreg(struct vcpu *v, const struct insn *i);
enum outcome emulate_push_sreg(struct vcpu *v, const struct insn *i);
enum outcome emulate_pop_sreg(struct vcpu *v, const struct insn *i);
enum outcome emulate_load_far(struct vcpu *v, const struct insn *i);

/* emulate_system.c */
enum outcome emulate_cpuid(struct vcpu *v, const struct insn *i);
enum outcome emulate_invlpg(struct vcpu *v, const struct insn *i);
enum outcome emulate_invpcid(struct vcpu *v, const struct insn *i);
enum outcome emulate_cache(struct vcpu *v, const struct insn *i);
enum outcome emulate_clflush(struct vcpu *v, const struct insn *i);
enum outcome emulate_hlt(struct vcpu *v, const struct insn *i);
enum outcome emulate_cli_sti(struct vcpu *v, const struct insn *i);
enum outcome emulate_clac_stac(struct vcpu *v, const struct insn *i);
enum outcome emulate_swapgs(struct vcpu *v, const struct insn *i);
enum outcome emulate_fsgsbase(struct vcpu *v, const struct insn *i);
enum outcome emulate_rdtsc(struct vcpu *v, const struct insn *i);
enum outcome emulate_pause(struct vcpu *v, const struct insn *i);
enum outcome emulate_hypercall(struct vcpu *v, const struct insn *i);
enum outcome emulate_rdpid(struct vcpu *v, const struct insn *i);
enum outcome emulate_rdpmc(struct vcpu *v, const struct insn *i);
enum outcome emulate_pushf(struct vcpu *v, const struct insn *i);
enum outcome emulate_popf(struct vcpu *v, const struct insn *i);

/* msr.c */
enum outcome emulate_rdmsr(struct vcpu *v, const struct insn *i);
enum outcome emulate_wrmsr(struct vcpu *v, const struct insn *i);

/* emulate_syscall.c */
enum outcome emulate_syscall(struct vcpu *v, const struct insn *i);
enum outcome emulate_sysret(struct vcpu *v, const struct insn *i);
enum outcome emulate_sysenter(struct vcpu *v, const struct insn *i);
enum outcome emulate_sysexit(struct vcpu *v, const struct insn *i);

/* emulate_far.c */
/* Is target inside cs (or canonical, for 64-bit code)? */
enum outcome far_target_check(struct vcpu *v, const struct segment *cs, uint64_t target);
enum outcome emulate_far_jmp(struct vcpu *v, const struct insn *i);
enum outcome emulate_far_call(struct vcpu *v, const struct insn *i);
/* emulate_return.c */
enum outcome emulate_iret(struct vcpu *v, const struct insn *i);
enum outcome emulate_far_ret(struct vcpu *v, const struct insn *i);

/*
 * A task switch (emulate_task.c). next is where the outgoing task resumes; ext: the EXT bit for
 * error codes.
 */
enum task_cause { TASK_JMP, TASK_CALL, TASK_IRET, TASK_EVENT };
enum outcome task_switch(struct vcpu *v, uint16_t selector, enum task_cause cause, uint64_t next,
	bool has_error, uint32_t error, unsigned ext);

/* emulate_io.c */
enum outcome io_allowed(struct vcpu *v, uint16_t port, unsigned size);
uint32_t io_in(struct vcpu *v, uint16_t port, unsigned size);
void io_out(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);
enum outcome emulate_in(struct vcpu *v, const struct insn *i);
enum outcome emulate_out(struct vcpu *v, const struct insn *i);

/* emulate_flow.c: near control flow and the stack, in every mode */
enum outcome emulate_jmp(struct vcpu *v, const struct insn *i);
enum outcome emulate_jcc(struct vcpu *v, const struct insn *i);
enum outcome emulate_loop(struct vcpu *v, const struct insn *i);
enum outcome emulate_call(struct vcpu *v, const struct insn *i);
enum outcome emulate_jmp_ind(struct vcpu *v, const struct insn *i);
enum outcome emulate_call_ind(struct vcpu *v, const struct insn *i);
enum outcome emulate_ret(struct vcpu *v, const struct insn *i);
enum outcome emulate_push(struct vcpu *v, const struct insn *i);
enum outcome emulate_pop(struct vcpu *v, const struct insn *i);
enum outcome emulate_leave(struct vcpu *v, const struct insn *i);
enum outcome emulate_enter(struct vcpu *v, const struct insn *i);
enum outcome emulate_pusha(struct vcpu *v, const struct insn *i);
enum outcome emulate_popa(struct vcpu *v, const struct insn *i);
bool condition_holds(uint64_t rflags, unsigned cc);

/* emulate_rare.c */
enum outcome emulate_int(struct vcpu *v, const struct insn *i);
enum outcome emulate_bound(struct vcpu *v, const struct insn *i);
enum outcome emulate_xlat(struct vcpu *v, const struct insn *i);
enum outcome emulate_bcd(struct vcpu *v, const struct insn *i);
enum outcome emulate_salc(struct vcpu *v, const struct insn *i);

/* emulate_integer.c: plain integer instructions in odd encodings; OUT_FAULT #UD if not known */
enum outcome emulate_integer(struct vcpu *v, const struct insn *i);

/* emulate_xsave.c, emulate_fpu.c, emulate_gather.c */
enum outcome emulate_xsave(struct vcpu *v, const struct insn *i);
enum outcome emulate_xrstor(struct vcpu *v, const struct insn *i);
enum outcome emulate_fxsave(struct vcpu *v, const struct insn *i);
enum outcome emulate_fxrstor(struct vcpu *v, const struct insn *i);
enum outcome emulate_fnstenv(struct vcpu *v, const struct insn *i);
enum outcome emulate_fldenv(struct vcpu *v, const struct insn *i);
enum outcome emulate_maskmov(struct vcpu *v, const struct insn *i);
enum outcome emulate_ldmxcsr(struct vcpu *v, const struct insn *i);
enum outcome emulate_gather(struct vcpu *v, const struct insn *i);

#endif
