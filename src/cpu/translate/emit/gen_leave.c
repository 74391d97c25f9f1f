/* SPDX-License-Identifier: Apache-2.0 */
/* Out of a block: to the next one, by an exit or the jump cache, or to C code. */
#include "cpu/translate/cold.h"
#include "cpu/translate/emit/gen_internal.h"

void gen_leave(struct emit *e, enum leave why)
{
	emit_mov_imm32(e, R11, why);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_leave));
}

uint32_t gen_exit(struct codegen *g, int32_t target)
{
	struct cache *c = g->cache;
	uint32_t index = c->exits++;

	c->exit[index] = (struct block_exit){.block = g->block_index,
		.target = target,
		.stub = offset_of(g, g->cold.at)};
	return index;
}

/* The same with its stub. */
static uint32_t new_exit(struct codegen *g, int32_t target)
{
	uint32_t index = gen_exit(g, target);

	emit_mov_imm32(&g->cold, R10, index);
	gen_leave(&g->cold, LEAVE_EXIT);
	return index;
}

/* r10 holds the RIP: go there by the jump cache, without touching flags; else leave, as `why` says. */
static void lookup(struct codegen *g, uint32_t why)
{
	struct emit *e = &g->hot;
	uint8_t *hit;

	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_pext(e, R11, R10, gs_slot(offsetof(struct vcpu, jump_mask)));
	if (g->shadow) /* an interrupt that waits finds its window at the target */
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

void gen_lookup(struct codegen *g)
{
	lookup(g, LEAVE_LOOKUP);
}

_Static_assert(CACHE_BLOCKS <= 1u << 24, "a block's number goes with the reason to leave");

void gen_lookup_indirect(struct codegen *g)
{
	lookup(g, LEAVE_LOOKUP | g->block_index << 8);
}

void gen_code_address(struct codegen *g, struct emit *e, unsigned reg, int32_t offset,
	unsigned size)
{
	if (g->mode & MODE_HOSTMAP) {
		uint64_t address = g->base + (uint64_t)(int64_t)offset;

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
static void far(struct codegen *g, int32_t target)
{
	struct block_exit *x;

	gen_code_address(g, &g->hot, R10, target, g->bits == 64 ? 8 : 4);
	if (g->bits != 64 || !(g->mode & MODE_RING0)) {
		gen_lookup(g);
		return;
	}
	while (((offset_of(g, g->hot.at) + 1) & 63) > 60)
		emit_8(&g->hot, 0x90);
	x = &g->cache->exit[new_exit(g, target)];
	emit_jmp(&g->hot, g->cache->write + x->stub);
	x->patch = offset_of(g, g->hot.at - 4);
	struct emit hot = g->hot;

	g->hot = g->cold;
	gen_lookup(g);
	g->cold = g->hot;
	g->hot = hot;
}

/* A direct branch to `target` (relative to the code page); cc is a condition or -1. */
void gen_branch(struct codegen *g, int cc, int32_t target)
{
	struct emit *e = &g->hot;
	uint32_t index;

	if ((uint32_t)target < 4096) {
		/* the displacement must not straddle a cache line: it is patched while others run */
		while (((offset_of(g, e->at) + (cc < 0 ? 1 : 2)) & 63) > 60)
			emit_8(e, 0x90);
		index = new_exit(g, target);
		if (cc < 0)
			emit_jmp(e, g->cache->write + g->cache->exit[index].stub);
		else
			emit_jcc(e, (unsigned)cc, g->cache->write + g->cache->exit[index].stub);
		g->cache->exit[index].patch = offset_of(g, e->at - 4);
		return;
	}
	if (cc >= 0) {
		/* the way there lies out of line; room for it, then its stubs behind it */
		struct emit hot = g->hot;
		const uint8_t *room;

		emit_jcc(&hot, (unsigned)cc, g->cold.at);
		g->hot = g->cold;
		g->cold.at += FAR_SIZE;
		room = g->cold.at;
		far(g, target);
		while (g->hot.at < room)
			emit_8(&g->hot, 0x90);
		g->hot = hot;
		return;
	}
	far(g, target);
}

/* --- to C, for one instruction ----------------------------------------------------------------- */

static struct emulated *emulated(struct cache *c, const struct insn *i, unsigned bits)
{
	uint32_t hash = i->length, *head;
	struct emulated *m;

	for (unsigned k = 0; k < i->length; k++)
		hash = hash * 31 + i->bytes[k];
	head = &c->insn_hash[hash % CACHE_INSN_HASH];
	for (uint32_t at = *head; at; at = m->next) {
		m = (struct emulated *)(c->insn + at - 1);
		if (m->bits == bits && m->insn.length == i->length &&
			!memcmp(m->insn.bytes, i->bytes, i->length))
			return m;
	}
	m = (struct emulated *)(c->insn + c->insns);
	*m = (struct emulated){*i, *head, (uint8_t)bits};
	*head = c->insns + 1;
	c->insns += sizeof *m;
	return m;
}

void gen_emulate(struct codegen *g)
{
	if (g->mode & MODE_HOSTMAP) {
		gen_code_address(g, &g->hot, R10, 0, 8);
		emit_store(&g->hot, 8, gs_slot(offsetof(struct vcpu, code_base)), R10);
	}
	emit_mov_imm64(&g->hot, R10, (uint64_t)emulated(g->cache, g->insn, g->bits));
	emit_mov_imm32(&g->hot, R11, LEAVE_EMULATE | g->guest << 8);
	emit_jmp_slot(&g->hot, offsetof(struct vcpu, stub_leave));
}
