/* SPDX-License-Identifier: Apache-2.0 */
/* Control flow: branches, calls, returns, and leaving translated code. */
#include "cpu/translate/emit/rewrite_internal.h"

/* --- leaving -------------------------------------------------------------------------------- */

void rewrite_leave(struct emit *e, enum leave why)
{
	emit_mov_imm32(e, R11, why);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_leave));
}

uint32_t rewrite_exit(struct rewrite *w, int32_t target)
{
	struct cache *c = w->cache;
	uint32_t index = c->exits++;

	c->exit[index] = (struct block_exit){.block = w->block_index,
		.target = target,
		.stub = offset_of(w, w->cold.at)};
	return index;
}

/* The same with its stub. */
static uint32_t new_exit(struct rewrite *w, int32_t target)
{
	uint32_t index = rewrite_exit(w, target);

	emit_mov_imm32(&w->cold, R10, index);
	rewrite_leave(&w->cold, LEAVE_EXIT);
	return index;
}

/* r10 holds the RIP: go there by the jump cache, without touching flags; else leave, as `why` says. */
static void lookup(struct rewrite *w, uint32_t why)
{
	struct emit *e = &w->hot;
	uint8_t *hit;

	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_pext(e, R11, R10, gs_slot(offsetof(struct vcpu, jump_mask)));
	if (w->shadow) /* an interrupt that waits finds its window at the target */
		emit_pext(e, R11, R11, gs_slot(offsetof(struct vcpu, irq_window_mask)));
	emit_load(e, 8, RCX, gs_table(CTX_JUMP_KEY, R11));
	emit_lea(e, 8, RCX, (struct operand){RCX, R10, 1, 0});
	hit = emit_jrcxz(e);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	emit_mov_imm32(e, R11, why);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_leave));
	emit_close(e, hit);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	emit_op_mem(e, 4, 0xff, 4, gs_table(CTX_JUMP_TARGET, R11)); /* jmp */
}

void rewrite_lookup(struct rewrite *w)
{
	lookup(w, LEAVE_LOOKUP);
}

_Static_assert(CACHE_BLOCKS <= 1u << 24, "a block's number goes with the reason to leave");

void rewrite_lookup_indirect(struct rewrite *w)
{
	lookup(w, LEAVE_LOOKUP | w->block_index << 8);
}

void rewrite_code_address(struct rewrite *w, struct emit *e, unsigned reg, int32_t offset,
	unsigned size)
{
	if (w->mode & MODE_HOSTMAP) {
		uint64_t address = w->base + (uint64_t)(int64_t)offset;

		if (size == 4 || address == (uint32_t)address)
			emit_mov_imm32(e, reg, (uint32_t)address);
		else
			emit_mov_imm64(e, reg, address);
		return;
	}
	emit_load(e, 8, reg, gs_slot(offsetof(struct vcpu, code_base)));
	if (offset || size == 4)
		emit_lea(e, size, reg, at_reg(reg, offset));
}

/* The most that far() puts in line. */
#define FAR_SIZE 128

/*
 * To another page: by the jump cache; but supervisor code, most of which lies in global pages, by
 * an exit that can be linked while the mapping stays (cache_follow()), with the jump cache behind it.
 */
static void far(struct rewrite *w, int32_t target)
{
	struct block_exit *x;

	rewrite_code_address(w, &w->hot, R10, target, w->bits == 64 ? 8 : 4);
	if (w->bits != 64 || !(w->mode & MODE_RING0)) {
		rewrite_lookup(w);
		return;
	}
	while (((offset_of(w, w->hot.at) + 1) & 63) > 60)
		emit_8(&w->hot, 0x90);
	x = &w->cache->exit[new_exit(w, target)];
	emit_jmp(&w->hot, w->cache->write + x->stub);
	x->patch = offset_of(w, w->hot.at - 4);
	struct emit hot = w->hot;

	w->hot = w->cold;
	rewrite_lookup(w);
	w->cold = w->hot;
	w->hot = hot;
}

/* A direct branch to `target` (relative to the code page); cc is a condition or -1. */
void rewrite_branch(struct rewrite *w, int cc, int32_t target)
{
	struct emit *e = &w->hot;
	uint32_t index;

	if ((uint32_t)target < 4096) {
		/* the displacement must not straddle a cache line: it is patched while others run */
		while (((offset_of(w, e->at) + (cc < 0 ? 1 : 2)) & 63) > 60)
			emit_8(e, 0x90);
		index = new_exit(w, target);
		if (cc < 0)
			emit_jmp(e, w->cache->write + w->cache->exit[index].stub);
		else
			emit_jcc(e, (unsigned)cc, w->cache->write + w->cache->exit[index].stub);
		w->cache->exit[index].patch = offset_of(w, e->at - 4);
		return;
	}
	if (cc >= 0) {
		/* the way there lies out of line; room for it, then its stubs behind it */
		struct emit hot = w->hot;
		const uint8_t *room;

		emit_jcc(&hot, (unsigned)cc, w->cold.at);
		w->hot = w->cold;
		w->cold.at += FAR_SIZE;
		room = w->cold.at;
		far(w, target);
		while (w->hot.at < room)
			emit_8(&w->hot, 0x90);
		w->hot = hot;
		return;
	}
	far(w, target);
}

static void poll(struct rewrite *w)
{
	rewrite_site(w, w->hot.at, 0, true);
	emit_load(&w->hot, 8, R10, gs_slot(offsetof(struct vcpu, poll)));
	emit_load(&w->hot, 8, R10, at_reg(R10, 0));
	/* whatever follows is not the poll */
	rewrite_site(w, w->hot.at, 0, false);
}

/* --- near branches -------------------------------------------------------------------------- */

static void op_ret(struct rewrite *w, struct emit *e)
{
	rewrite_reach(w, e);
	emit_load(e, 8, R10, w->mem);
	move_rsp(e, 8 + (int32_t)(uint16_t)w->insn->imm);
}

static void op_call(struct rewrite *w, struct emit *e)
{
	unsigned value = free_scratch(w);

	rewrite_code_address(w, e, value, (int32_t)(w->guest + w->insn->length), 8);
	rewrite_reach(w, e);
	emit_store(e, 8, w->mem, value);
	move_rsp(e, -8);
}

/* The target of an indirect branch to spill[1]. */
static void indirect_target(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (i->has_mem) {
		rewrite_access(w, rewrite_address_of(i), 8, SLOW_READ, rewrite_load_value);
	} else {
		unsigned from = i->op_reg;

		if (is_scratch(from)) {
			emit_load(&w->hot, 8, R10, gpr_slot(from));
			from = R10;
		}
		emit_store(&w->hot, 8, gs_slot(offsetof(struct vcpu, spill[1])), from);
	}
}

static void op_load_target(struct rewrite *w, struct emit *e)
{
	rewrite_reach(w, e);
	emit_load(e, 8, R10, w->mem);
}

void rewrite_jump_indirect(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (i->has_mem)
		rewrite_access(w, rewrite_address_of(i), 8, SLOW_READ, op_load_target);
	else if (is_scratch(i->op_reg))
		emit_load(&w->hot, 8, R10, gpr_slot(i->op_reg));
	else
		emit_mov(&w->hot, 8, R10, i->op_reg);
	rewrite_carry_load(w, &w->hot, R11);
	rewrite_lookup_indirect(w);
}

static void goto_spilled(struct rewrite *w)
{
	rewrite_carry_load(w, &w->hot, R11);
	emit_load(&w->hot, 8, R10, gs_slot(offsetof(struct vcpu, spill[1])));
	rewrite_lookup_indirect(w);
}

static int32_t target_of(const struct rewrite *w)
{
	return (int32_t)(w->guest + w->insn->length + w->insn->imm);
}

void rewrite_conditional(struct rewrite *w)
{
	int32_t target = target_of(w);

	if (target <= (int32_t)w->guest)
		poll(w);
	rewrite_branch(w, w->insn->cc, target);
}

/* LOOP and JrCXZ without flags: rcx counts in itself, LOOPE and LOOPNE are left to C. */
void rewrite_loop(struct rewrite *w)
{
	struct emit *e = &w->hot;
	uint8_t *taken, *over;

	if (target_of(w) <= (int32_t)w->guest)
		poll(w);
	if (w->insn->cc == 2)
		emit_lea(e, w->insn->address_size, RCX, at_reg(RCX, -1));
	if (w->insn->address_size == 4)
		emit_8(e, 0x67);
	taken = emit_jrcxz(e);
	if (w->insn->cc == 2) {
		/* zero: fall through; not zero: branch */
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		emit_8(e, 0xeb);
		emit_8(e, 0);
		taken = e->at;
		emit_close(e, over);
		rewrite_branch(w, -1, target_of(w));
		emit_close(e, taken);
	} else {
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		rewrite_branch(w, -1, target_of(w));
		emit_close(e, over);
	}
}

void rewrite_ret_target(struct rewrite *w)
{
	rewrite_access(w, stack_below(0), 8, SLOW_READ, op_ret);
}

void rewrite_jump(struct rewrite *w)
{
	if (w->shadow) {
		rewrite_code_address(w, &w->hot, R10, target_of(w), 8);
		rewrite_lookup(w);
		return;
	}
	if (target_of(w) <= (int32_t)w->guest)
		poll(w);
	rewrite_branch(w, -1, target_of(w));
}

void rewrite_call(struct rewrite *w)
{
	if (target_of(w) <= (int32_t)w->guest)
		poll(w);
	rewrite_access(w, stack_below(8), 8, SLOW_WRITE | SLOW_JUMPS, op_call);
	rewrite_carry_load(w, &w->hot, R11);
	rewrite_branch(w, -1, target_of(w));
}

void rewrite_call_indirect(struct rewrite *w)
{
	indirect_target(w);
	rewrite_access(w, stack_below(8), 8, SLOW_WRITE | SLOW_JUMPS, op_call);
	goto_spilled(w);
}
