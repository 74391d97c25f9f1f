/* SPDX-License-Identifier: Apache-2.0 */
/* The code generator's working state, shared by its files. */
#ifndef DACH_CPU_TRANSLATE_GEN_INTERNAL_H
#define DACH_CPU_TRANSLATE_GEN_INTERNAL_H

#include "cpu/translate/emit/gen.h"
#include "cpu/translate/vm.h"

/* A base: the whole offset is in spill[3] already. */
#define ADDRESS_SPILLED 0x11

/* A guest address: registers by number (INSN_NO_REG, INSN_RIP too), and the segment. */
struct address {
	uint8_t base, index, scale, seg;
	uint8_t size; /* 2, 4, 8 */
	int64_t disp;
};

/*
 * Where the guest's CF is. Checks of addresses add up with carry, which leaves all other flags alone;
 * CF they keep in vcpu.carry if it counts afterwards.
 */
enum carry { CARRY_HOST, CARRY_SLOT, CARRY_NONE };

struct codegen {
	struct cache *cache;
	uint32_t block_index, mode;
	uint64_t base; /* of struct tblock */
	unsigned bits; /* 16, 32, 64 */
	struct emit hot, cold;
	const struct insn *insn;
	unsigned guest;       /* the instruction's offset in the code page */
	enum carry carry;     /* where the guest's CF is, in line */
	bool carry_counts;    /* CF counts once this instruction's memory has been found */
	unsigned checked;     /* SLOW_CARRY or SLOW_SUM: where the last check has left CF */
	const uint8_t *again; /* where that check is tried again */
	uint8_t *patch;       /* the displacement of a jump out of it that may lead elsewhere */
	bool shadow;          /* it follows STI: interrupts come behind it, not before */
	struct operand mem;   /* what a check found good: where the operation finds its memory */
	bool sums;            /* the operation takes a sum of two registers for it */
	uint32_t slow;        /* out of line: the access again by way of C */
	/* in line, r11 is the way from this register's value to its window: NO_REG, or ... */
	uint8_t way_reg;
	uint32_t way_drift; /* ... that value has moved at most so far since */
	unsigned hot_fixups, cold_fixups;
	struct fixup *hot_fixup, *cold_fixup; /* GEN_FIXUPS_MAX / 2 each */
};

static inline struct operand gpr_slot(unsigned reg)
{
	return gs_slot(offsetof(struct vcpu, cpu.gpr) + 8 * reg);
}

static inline bool is_scratch(unsigned reg)
{
	return reg == R10 || reg == R11;
}

static inline void store_scratch(struct emit *e, unsigned mask)
{
	for (unsigned reg = R10; reg <= R11; reg++)
		if (mask >> reg & 1)
			emit_store(e, 8, gpr_slot(reg), reg);
}

static inline void load_scratch(struct emit *e, unsigned mask)
{
	for (unsigned reg = R10; reg <= R11; reg++)
		if (mask >> reg & 1)
			emit_load(e, 8, reg, gpr_slot(reg));
}

/* Is the access under way through a window, in line? Then it may fault: gen_reach(). */
static inline bool in_window(const struct codegen *g)
{
	return g->mode & MODE_HOSTMAP && g->mem.index == R11;
}

/* The one of r10 and r11 that g->mem leaves free, in line and out of line. */
static inline unsigned free_scratch(const struct codegen *g)
{
	return g->mem.base == R10 ? R11 : R10;
}

/* ModRM.reg with REX.R. */
static inline unsigned modrm_reg(const struct insn *i)
{
	return (i->modrm >> 3 & 7) | (i->rex & 4 ? 8 : 0);
}

static inline uint32_t offset_of(const struct codegen *g, const uint8_t *at)
{
	return (uint32_t)(at - g->cache->write);
}

static inline struct address stack_below(const struct codegen *g, int32_t size)
{
	return (struct address){RSP, NO_REG, 1, SEG_SS, g->bits == 64 ? 8 : 4, -size};
}

/* In 32-bit code it wraps, and has no upper half. */
static inline void move_rsp(const struct codegen *g, struct emit *e, int32_t by)
{
	emit_lea(e, g->bits == 64 ? 8 : 4, RSP, at_reg(RSP, by));
}

/* The operation on g->mem, emitted once in line and once out of line, after gen_reach(). */
typedef void access_op(struct codegen *g, struct emit *e);

/* --- gen_native.c -------------------------------------------------------------------------- */

/* Does gen_one() make host code of it in this mode? Else it leaves for C. */
bool gen_native(uint32_t mode, const struct insn *i);

/* --- gen_fixup.c: what is known of the code from `at` on ------------------------------------ */

void gen_fixup(struct codegen *g, const uint8_t *at, unsigned spilled, bool poll);
/* An access through a window: should the instruction at `at` fault, it is done again at g->slow. */
void gen_fixup_slow(struct codegen *g, const uint8_t *at, unsigned spilled);

/* --- gen_carry.c --------------------------------------------------------------------------- */

/*
 * Does CF count (may it be seen, if only in the frame of a fault) once the memory of an instruction has
 * been found? For each of a block's.
 */
void gen_flow(uint32_t mode, const struct insn *insns, unsigned count, bool *found);
/* Before anything that may read CF or that lets it through, at e in line: it is in the host's flags. */
void gen_carry_load(struct codegen *g, struct emit *e, unsigned scratch);
/* The same if this instruction is such. */
void gen_carry_for(struct codegen *g, struct emit *e, const struct insn *i, unsigned scratch);
/* After an instruction in line. */
void gen_carry_after(struct codegen *g, const struct insn *i);

/* --- gen_leave.c: out of the block --------------------------------------------------------- */

void gen_leave(struct emit *e, enum leave why);
/* To C, which executes g->insn. */
void gen_emulate(struct codegen *g);
/* r10 = the RIP: there; the second for the indirect branch that the block ends in. */
void gen_lookup(struct codegen *g);
void gen_lookup_indirect(struct codegen *g);
/* reg = the code page's address + offset. */
void gen_code_address(struct codegen *g, struct emit *e, unsigned reg, int32_t offset,
	unsigned size);
/* A new exit; its stub is what comes next out of line, its `patch` is the caller's. */
uint32_t gen_exit(struct codegen *g, int32_t target);
/* A direct branch to target (relative to the code page); cc is a condition or -1. */
void gen_branch(struct codegen *g, int cc, int32_t target);

/* --- gen_access.c: memory ------------------------------------------------------------------ */

struct address gen_address_of(const struct insn *i);
/* r10 = the offset of a in its segment; r11 is used, flags stay. */
void gen_effective(struct codegen *g, struct emit *e, struct address a);
/* Before the instruction that touches g->mem, at e: where to go on should it fault there. */
void gen_reach(struct codegen *g, struct emit *e);
/* An instruction has been emitted in line: what does r11 still hold? */
void gen_way_after(struct codegen *g, const struct insn *i);
/* Out of line, before going on in line: r11 again as g->way_reg says. */
void gen_way_again(struct codegen *g, struct emit *e);
/* Does the access go by the value of one register that its window is known by? */
bool gen_direct(const struct insn *i);
/* way = what leads from the 512 GiB around reg's value to their window; r10 and r11 may be `way`. Flags stay. */
void gen_way(struct emit *e, unsigned way, unsigned reg);
/*
 * Out of line, r10 = an address: C code looks at the access there. Who is to try again goes on at the
 * answer's retry, which the caller sets; who may go on by [r10], behind it.
 */
struct slow_access *gen_slow_call(struct codegen *g, unsigned size, unsigned flags, unsigned seg);
/* The same for several accesses; C code answers that the caller's retry be tried, or goes by the exit. */
struct slow_access *gen_slow_group(struct codegen *g, struct address a, unsigned size, bool write,
	uint32_t exit);
/*
 * Before a jump whose displacement comes after `opcode` bytes of it and is patched while others run: it
 * must lie in one cache line.
 */
void gen_align_jump(struct codegen *g, struct emit *e, unsigned opcode);
/* Makes g->mem [r10], so that r11 is free. */
void gen_narrow(struct codegen *g, struct emit *e);
/*
 * g->mem = where the size bytes at a are; a jump to failed if they are not in one page of the TLB.
 * Through a window nothing is checked, and what is not there faults. Fills in g->checked and g->again.
 */
void gen_check(struct codegen *g, struct address a, unsigned size, bool write,
	const uint8_t *failed);
/*
 * A memory access: check, operation; and out of line the slow path with the operation again.
 * flags: SLOW_*, what the operation does with the bytes.
 */
void gen_access(struct codegen *g, struct address a, unsigned size, unsigned flags, access_op *op);
void gen_stack_write(struct codegen *g, unsigned size, access_op *op);

/* --- instructions: g->insn is of that kind and gen_native() ------------------------------- */

/* gen_copy.c */
void gen_copy(struct codegen *g);
void gen_lea(struct codegen *g);
/* gen_stack.c */
void gen_push(struct codegen *g);
void gen_pop(struct codegen *g);
void gen_leave_frame(struct codegen *g);
/* An operation: the value at [r10] to r10 and spill[1]. */
access_op gen_load_value;
/* gen_flow.c */
void gen_jump(struct codegen *g);
void gen_conditional(struct codegen *g);
void gen_loop(struct codegen *g);
void gen_call(struct codegen *g);
void gen_jump_indirect(struct codegen *g);
void gen_call_indirect(struct codegen *g);
void gen_ret(struct codegen *g);
/* RET without the jump: its target is in r10. */
void gen_ret_target(struct codegen *g);
/* gen_bits.c */
void gen_bits(struct codegen *g);
/* gen_string.c */
void gen_string(struct codegen *g);
/* gen_system.c */
void gen_system(struct codegen *g);
/* After the instruction that follows STI. */
void gen_irq_window(struct codegen *g);
/* r10 = the host's flags, of which code_flags_mask are the guest's. Uses spill[1]; flags stay. */
void gen_host_flags(struct emit *e);

/* gen_one.c: host code for g->insn, or the way to C. */
void gen_one(struct codegen *g);
/*
 * gen_group.c: emits the first of these instructions together if they share a check; how many it
 * took, or 0.
 */
unsigned gen_group(struct codegen *g, const struct insn *insns, unsigned count);

#endif
