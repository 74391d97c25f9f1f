/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/rewrite.h"

#include "cpu/translate/rewrite_internal.h"

#include <Zydis/Mnemonic.h>

/* --- guest r10 and r11 ------------------------------------------------------------------ */

static struct operand gpr_slot(unsigned reg)
{
	return gs_slot(offsetof(struct vcpu, cpu.gpr) + 8 * reg);
}

static bool is_scratch(unsigned reg)
{
	return reg == R10 || reg == R11;
}

static void store_scratch(struct emit *e, unsigned mask)
{
	for (unsigned reg = R10; reg <= R11; reg++)
		if (mask >> reg & 1)
			emit_store(e, 8, gpr_slot(reg), reg);
}

static void load_scratch(struct emit *e, unsigned mask)
{
	for (unsigned reg = R10; reg <= R11; reg++)
		if (mask >> reg & 1)
			emit_load(e, 8, reg, gpr_slot(reg));
}

/* --- sites --------------------------------------------------------------------------------- */

static uint32_t offset_of(const struct rewrite *w, const uint8_t *at)
{
	return (uint32_t)(at - w->cache->write);
}

void rewrite_site(struct rewrite *w, const uint8_t *at, unsigned spilled, bool poll)
{
	struct site s = {
		.code = offset_of(w, at),
		.guest = (uint16_t)w->guest,
		.length = w->insn->length,
		.spilled = (uint8_t)spilled,
		.poll = poll,
	};

	if (offset_of(w, at) >= w->cache->cold_start) {
		if (w->cold_sites < REWRITE_SITES_MAX / 2)
			w->cold_site[w->cold_sites++] = s;
	} else if (w->hot_sites < REWRITE_SITES_MAX / 2) {
		w->hot_site[w->hot_sites++] = s;
	}
}

/* --- leaving -------------------------------------------------------------------------------- */

void rewrite_leave(struct emit *e, enum leave why)
{
	emit_mov_imm32(e, R11, why);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_leave));
}

/* Emits the stub of a new exit; returns its index, the displacement is the caller's. */
static uint32_t new_exit(struct rewrite *w, int32_t target)
{
	struct cache *c = w->cache;
	uint32_t index = c->exits++;

	c->exit[index] = (struct block_exit){
		.block = w->block_index, .target = target, .stub = offset_of(w, w->cold.at)};
	emit_mov_imm32(&w->cold, R10, index);
	rewrite_leave(&w->cold, LEAVE_EXIT);
	return index;
}

/* r10 holds the RIP: go there by the jump cache, without touching flags. */
void rewrite_lookup(struct rewrite *w)
{
	struct emit *e = &w->hot;
	uint8_t *hit;

	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_pext(e, R11, R10, gs_slot(offsetof(struct vcpu, jump_mask)));
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, jump_base)));
	emit_lea(e, 8, R11, (struct operand){RCX, R11, 8, 0});
	emit_load(e, 8, RCX, at_reg(R11, 0));
	emit_lea(e, 8, RCX, (struct operand){RCX, R10, 1, 0});
	hit = emit_jrcxz(e);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	rewrite_leave(e, LEAVE_LOOKUP);
	emit_close(e, hit);
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	/* jmp *JUMP_TARGET_DELTA(%r11) */
	emit_8(e, 0x41);
	emit_8(e, 0xff);
	emit_modrm_mem(e, 4, at_reg(R11, JUMP_TARGET_DELTA));
}

static void code_address(struct emit *e, unsigned reg, int32_t offset, unsigned size)
{
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

	code_address(&w->hot, R10, target, w->bits == 64 ? 8 : 4);
	if (w->bits != 64 || !(w->mode & MODE_RING0)) {
		rewrite_lookup(w);
		return;
	}
	while (((offset_of(w, w->hot.at) + 1) & 63) > 60)
		emit_8(&w->hot, 0x90);
	x = &w->cache->exit[new_exit(w, target)];
	emit_jmp(&w->hot, w->cache->write + x->stub);
	x->patch = offset_of(w, w->hot.at - 4);
	x->lookup = offset_of(w, w->cold.at);
	struct emit hot = w->hot;

	w->hot = w->cold;
	rewrite_lookup(w);
	w->cold = w->hot;
	w->hot = hot;
}

/* A direct branch to `target` (relative to the code page); cc is a condition or -1. */
static void branch(struct rewrite *w, int cc, int32_t target)
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

/* --- addresses -------------------------------------------------------------------------------- */

static struct address address_of(const struct insn *i)
{
	return (struct address){i->mem_base, i->mem_index, i->mem_scale, i->mem_seg, i->address_size,
		i->mem_disp};
}

/* The register to name for a guest register, loaded into itself if it is one of the scratch ones. */
static unsigned use_reg(struct emit *e, unsigned reg)
{
	if (reg != NO_REG && reg != INSN_RIP && is_scratch(reg))
		emit_load(e, 8, reg, gpr_slot(reg));
	return reg;
}

/* r10 = the offset before segmentation. Uses r11. Flags stay. */
static void effective(struct rewrite *w, struct emit *e, struct address a)
{
	unsigned size = a.size == 8 ? 8 : 4;
	struct operand o = {NO_REG, NO_REG, a.scale ? a.scale : 1, (int32_t)a.disp};

	if (a.base == INSN_RIP) {
		/* mem_disp counts from the end of the instruction */
		code_address(e, R10, (int32_t)a.disp + (int32_t)(w->guest + w->insn->length), size);
		return;
	}
	if (a.disp != (int32_t)a.disp) {
		emit_mov_imm64(e, R10, (uint64_t)a.disp);
		return;
	}
	if (a.index != NO_REG)
		o.index = (uint8_t)use_reg(e, a.index);
	if (a.base != NO_REG)
		o.base = (uint8_t)use_reg(e, a.base);
	if (o.base == NO_REG && o.index == NO_REG) {
		if (size == 4)
			emit_mov_imm32(e, R10, (uint32_t)o.disp);
		else {
			emit_8(e, 0x49); /* mov r10, simm32 */
			emit_8(e, 0xc7);
			emit_8(e, 0xc2);
			emit_32(e, (uint32_t)o.disp);
		}
	} else {
		emit_lea(e, size, R10, o);
	}
	if (a.size == 2)
		emit_movzx16(e, R10, R10);
}

/* True if the segment needs checks that only C code makes. */
static bool needs_checks(const struct rewrite *w, unsigned seg)
{
	if (w->bits == 64)
		return false;
	if (seg == SEG_FS)
		return !(w->mode & MODE_FS_OPEN);
	if (seg == SEG_GS)
		return !(w->mode & MODE_GS_OPEN);
	return !(w->mode & MODE_FLAT);
}

/* r10 = linear address. */
static void linear(struct rewrite *w, struct emit *e, struct address a)
{
	effective(w, e, a);
	if (a.seg == SEG_FS || a.seg == SEG_GS) {
		emit_load(e, 8, R11,
			gs_slot(offsetof(struct vcpu, cpu.seg) + a.seg * sizeof(struct segment) +
				offsetof(struct segment, base)));
		emit_lea(e, w->bits == 64 ? 8 : 4, R10, (struct operand){R10, R11, 1, 0});
	}
}

/* --- the check ----------------------------------------------------------------------------------- */

/*
 * r10 = host address of what r10's linear address names; a jump to cold_at if the TLB does not
 * have it.
 */
static void check(struct rewrite *w, unsigned size, bool write, uint8_t *cold_at)
{
	struct emit *e = &w->hot;
	uint32_t tags = write ? CTX_TAG_WRITE : CTX_TAG_READ;

	emit_rorx(e, R11, R10, 12);
	emit_movzx16(e, R11, R11);
	if (!w->flags_live) {
		emit_op_mem(e, 8, 0x33, R10, gs_table(tags, R11)); /* xor r10, tag */
		emit_8(e, 0x49);                                   /* cmp r10, 4096 - size */
		emit_8(e, 0x81);
		emit_8(e, 0xfa);
		emit_32(e, 4096 - size);
		emit_jcc(e, 7, cold_at); /* above */
		emit_op_mem(e, 8, 0x03, R10, gs_table(CTX_HOST, R11)); /* add r10, host */
		return;
	}
	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[0])), RCX);
	emit_load(e, 8, RCX, gs_table(tags, R11));
	emit_not(e, RCX);
	emit_lea(e, 8, R10, (struct operand){RCX, R10, 1, 1});
	if (size > 1)
		emit_lea(e, 8, RCX, at_reg(R10, (int32_t)size - 1));
	emit_pext(e, RCX, size > 1 ? RCX : R10, gs_slot(offsetof(struct vcpu, page_mask)));
	uint8_t *hit = emit_jrcxz(e);

	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	emit_jmp(e, cold_at);
	emit_close(e, hit);
	emit_load(e, 8, R11, gs_table(CTX_HOST, R11));
	emit_load(e, 8, RCX, gs_slot(offsetof(struct vcpu, spill[0])));
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
}

static struct slow_access *slow_call(struct rewrite *w, unsigned size, unsigned flags, unsigned seg)
{
	struct emit *e = &w->cold;
	struct slow_access *d;
	uint8_t *lea = e->at;

	emit_lea_rip(e, R11, e->at);
	emit_jmp_slot(e, offsetof(struct vcpu, stub_slow));
	d = (struct slow_access *)e->at;
	*d = (struct slow_access){.guest = (uint16_t)w->guest, .length = w->insn->length,
		.flags = (uint8_t)flags, .size = (uint16_t)size, .seg = (uint8_t)seg};
	e->at += sizeof *d;
	struct emit patch = {lea, 0};

	emit_lea_rip(&patch, R11, (uint8_t *)d);
	return d;
}

/*
 * A memory access: check, operation; and out of line the slow path with the operation again.
 * reads/writes: what the operation does with the bytes.
 */
static void access(struct rewrite *w, struct address a, unsigned size, unsigned flags, access_op *op)
{
	bool checks = needs_checks(w, a.seg), write = flags & SLOW_WRITE;
	uint8_t *start = w->hot.at, *done;
	struct slow_access *d;

	if (a.seg == SEG_SS)
		flags |= SLOW_STACK;
	rewrite_site(w, start, 0, false);
	if (checks) {
		/* offset, then always out of line */
		emit_jmp(&w->hot, w->cold.at);
		done = w->hot.at;
		effective(w, &w->cold, a);
		d = slow_call(w, size, flags | SLOW_OP, a.seg);
	} else {
		linear(w, &w->hot, a);
		check(w, size, write, w->cold.at);
		op(w, &w->hot);
		done = w->hot.at;
		linear(w, &w->cold, a);
		d = slow_call(w, size, flags, a.seg);
	}
	d->retry = (int32_t)(start - (uint8_t *)d);
	rewrite_site(w, w->cold.at, 0, false);
	op(w, &w->cold);
	if (write) {
		emit_lea_rip(&w->cold, R11, (uint8_t *)d);
		emit_lea_rip(&w->cold, R10, done);
		emit_jmp_slot(&w->cold, offsetof(struct vcpu, stub_commit));
	} else {
		emit_jmp(&w->cold, done);
	}
}

void rewrite_stack_write(struct rewrite *w, unsigned size, access_op *op)
{
	struct address below = {RSP, NO_REG, 1, SEG_SS, 8, -(int32_t)size};

	access(w, below, size, SLOW_WRITE, op);
}

/* --- copied instructions ------------------------------------------------------------------------ */

#define BOTH_SCRATCH (1u << R10 | 1u << R11)

/* Those of r10 and r11 that the instruction uses beside its address. */
static unsigned scratch_data(const struct insn *i)
{
	const uint8_t *v = i->bytes + i->vex_offset;
	unsigned reg = i->modrm >> 3 & 7, mask = i->gpr_write | i->gpr_fixed, vvvv = 0;

	if (i->encoding == ENC_LEGACY) {
		reg |= i->rex & 4 ? 8 : 0;
	} else {
		reg |= v[1] & 0x80 ? 0 : 8;
		vvvv = ~(v[0] == 0xc5 ? v[1] : v[2]) >> 3 & 15;
		mask |= (1u << vvvv) & i->gpr_read;
	}
	mask |= (1u << reg) & i->gpr_read;
	return mask & BOTH_SCRATCH;
}

static void op_copy(struct rewrite *w, struct emit *e)
{
	const struct insn *i = w->insn;
	unsigned both = BOTH_SCRATCH, scratch = scratch_data(i);
	unsigned mem = R10, spilled = 0;

	if (i->high8 || scratch == both) {
		/* another register for the address: one of the low eight that the instruction leaves alone */
		unsigned used = i->gpr_read | i->gpr_write | 1u << RSP | 1u << RBP;

		for (mem = RAX; used >> mem & 1; mem++)
			;
		spilled = mem;
		emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[2])), mem);
		emit_mov(e, 8, mem, R10);
		rewrite_site(w, e->at, spilled == RAX ? 16 : spilled, false);
	} else if (scratch == 1u << R10) {
		emit_mov(e, 8, R11, R10);
		mem = R11;
	}
	load_scratch(e, scratch);
	emit_copy(e, i, w->bits, mem);
	if (i->high8 || scratch == both) {
		emit_load(e, 8, mem, gs_slot(offsetof(struct vcpu, spill[2])));
		rewrite_site(w, e->at, 0, false);
	}
	store_scratch(e, i->gpr_write & both);
}

static void copy(struct rewrite *w)
{
	const struct insn *i = w->insn;
	unsigned flags = 0;

	if (!i->has_mem) {
		if (i->may_fault)
			rewrite_site(w, w->hot.at, 0, false);
		load_scratch(&w->hot, i->gpr_read | i->gpr_write);
		emit_copy(&w->hot, i, w->bits, R10);
		store_scratch(&w->hot, i->gpr_write);
		return;
	}
	if (i->mem_read)
		flags |= SLOW_READ;
	if (i->mem_write)
		flags |= SLOW_WRITE;
	if (i->mem_masked)
		flags |= SLOW_MASKED;
	if (i->mem_aligned)
		flags |= SLOW_ALIGNED;
	access(w, address_of(i), i->mem_size, flags, op_copy);
}

static void lea(struct rewrite *w)
{
	const struct insn *i = w->insn;
	unsigned to = (i->modrm >> 3 & 7) | (i->rex & 4 ? 8 : 0);

	if (w->bits == 64 && i->mem_base != INSN_RIP && !is_scratch(to) && !is_scratch(i->mem_base) &&
		!is_scratch(i->mem_index)) {
		emit_bytes(&w->hot, i->bytes, i->length);
		return;
	}
	effective(w, &w->hot, address_of(i));
	if (!is_scratch(to)) {
		emit_mov(&w->hot, i->operand_size, to, R10);
		return;
	}
	if (i->operand_size == 2) {
		emit_store(&w->hot, 2, gpr_slot(to), R10);
		return;
	}
	if (i->operand_size == 4)
		emit_mov(&w->hot, 4, R10, R10);
	emit_store(&w->hot, 8, gpr_slot(to), R10);
}

/* --- the stack (64-bit code) ---------------------------------------------------------------------- */

static const struct address stack_top = {RSP, NO_REG, 1, SEG_SS, 8, 0};

static struct address stack_below(int32_t size)
{
	return (struct address){RSP, NO_REG, 1, SEG_SS, 8, -size};
}

static void move_rsp(struct emit *e, int32_t by)
{
	emit_lea(e, 8, RSP, at_reg(RSP, by));
}

static void op_push(struct rewrite *w, struct emit *e)
{
	const struct insn *i = w->insn;
	unsigned size = i->operand_size;

	if (i->has_mem) {
		emit_load(e, 8, R11, gs_slot(offsetof(struct vcpu, spill[1])));
		emit_store(e, size, at_reg(R10, 0), R11);
	} else if (i->op_reg == NO_REG) {
		if (size == 2)
			emit_8(e, 0x66);
		emit_8(e, size == 8 ? 0x49 : 0x41); /* mov [r10], imm */
		emit_8(e, 0xc7);
		emit_8(e, 0x02);
		if (size == 2)
			emit_bytes(e, &(uint16_t){(uint16_t)i->imm}, 2);
		else
			emit_32(e, (uint32_t)i->imm);
	} else {
		unsigned from = i->op_reg;

		if (is_scratch(from)) {
			emit_load(e, 8, R11, gpr_slot(from));
			from = R11;
		}
		emit_store(e, size, at_reg(R10, 0), from);
	}
	move_rsp(e, -(int32_t)size);
}

static void op_load_value(struct rewrite *w, struct emit *e)
{
	emit_load(e, w->insn->operand_size, R10, at_reg(R10, 0));
	emit_store(e, 8, gs_slot(offsetof(struct vcpu, spill[1])), R10);
}

static void push(struct rewrite *w)
{
	if (w->insn->has_mem)
		access(w, address_of(w->insn), w->insn->operand_size, SLOW_READ, op_load_value);
	access(w, stack_below(w->insn->operand_size), w->insn->operand_size, SLOW_WRITE, op_push);
}

static void op_pop(struct rewrite *w, struct emit *e)
{
	unsigned size = w->insn->operand_size, to = w->insn->op_reg;

	if (is_scratch(to)) {
		emit_load(e, size, R10, at_reg(R10, 0));
		emit_store(e, size, gpr_slot(to), R10);
	} else if (to == RSP) {
		emit_load(e, size, R10, at_reg(R10, 0));
		move_rsp(e, (int32_t)size);
		emit_mov(e, size, RSP, R10);
		return;
	} else {
		emit_load(e, size, to, at_reg(R10, 0));
	}
	move_rsp(e, (int32_t)size);
}

static void op_leave(struct rewrite *w, struct emit *e)
{
	emit_load(e, 8, R10, at_reg(R10, 0));
	emit_lea(e, 8, RSP, at_reg(RBP, 8));
	emit_mov(e, 8, RBP, R10);
}

static void op_ret(struct rewrite *w, struct emit *e)
{
	emit_load(e, 8, R10, at_reg(R10, 0));
	move_rsp(e, 8 + (int32_t)(uint16_t)w->insn->imm);
}

static void op_call(struct rewrite *w, struct emit *e)
{
	code_address(e, R11, (int32_t)(w->guest + w->insn->length), 8);
	emit_store(e, 8, at_reg(R10, 0), R11);
	move_rsp(e, -8);
}

/* The target of an indirect branch to spill[1]. */
static void indirect_target(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (i->has_mem) {
		access(w, address_of(i), 8, SLOW_READ, op_load_value);
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
	emit_load(e, 8, R10, at_reg(R10, 0));
}

static void jump_indirect(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (i->has_mem)
		access(w, address_of(i), 8, SLOW_READ, op_load_target);
	else if (is_scratch(i->op_reg))
		emit_load(&w->hot, 8, R10, gpr_slot(i->op_reg));
	else
		emit_mov(&w->hot, 8, R10, i->op_reg);
	rewrite_lookup(w);
}

static void goto_spilled(struct rewrite *w)
{
	emit_load(&w->hot, 8, R10, gs_slot(offsetof(struct vcpu, spill[1])));
	rewrite_lookup(w);
}

/* --- one instruction -------------------------------------------------------------------------------- */

void rewrite_emulate(struct rewrite *w)
{
	struct cache *c = w->cache;
	struct emulated *m = (struct emulated *)(c->insn + c->insns);

	c->insns += sizeof *m;
	m->insn = *w->insn;
	m->guest = (uint16_t)w->guest;
	emit_mov_imm64(&w->hot, R10, (uint64_t)m);
	rewrite_leave(&w->hot, LEAVE_EMULATE);
}

static void rdtsc(struct rewrite *w)
{
	struct emit *e = &w->hot;

	emit_8(e, 0x0f);
	emit_8(e, 0x31);
	emit_mov(e, 4, R10, RAX);
	emit_rorx(e, RDX, RDX, 32);
	emit_lea(e, 8, R10, (struct operand){R10, RDX, 1, 0});
	emit_load(e, 8, R11, gs_slot(offsetof(struct vcpu, cpu.tsc_offset)));
	emit_lea(e, 8, R10, (struct operand){R10, R11, 1, 0});
	emit_mov(e, 4, RAX, R10);
	emit_rorx(e, RDX, R10, 32);
	emit_mov(e, 4, RDX, RDX);
}

static int32_t target_of(const struct rewrite *w)
{
	return (int32_t)(w->guest + w->insn->length + w->insn->imm);
}

static void conditional(struct rewrite *w)
{
	int32_t target = target_of(w);

	if (target <= (int32_t)w->guest)
		poll(w);
	branch(w, w->insn->cc, target);
}

/* LOOP and JrCXZ without flags: rcx counts in itself, LOOPE and LOOPNE are left to C. */
static void loop(struct rewrite *w)
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
		branch(w, -1, target_of(w));
		emit_close(e, taken);
	} else {
		emit_8(e, 0xeb);
		emit_8(e, 0);
		over = e->at;
		emit_close(e, taken);
		branch(w, -1, target_of(w));
		emit_close(e, over);
	}
}

/* True if the state that the instruction needs is enabled in this mode. */
static bool state_enabled(uint32_t mode, const struct insn *i)
{
	switch (i->state) {
	case STATE_NONE:
		return true;
	case STATE_X87:
	case STATE_MMX:
		return !(mode & MODE_FPU_OFF);
	case STATE_SSE:
		return (mode & (MODE_FPU_OFF | MODE_SSE)) == MODE_SSE;
	case STATE_AVX:
		return (mode & (MODE_FPU_OFF | MODE_AVX)) == MODE_AVX;
	default:
		return (mode & (MODE_FPU_OFF | MODE_AVX512)) == MODE_AVX512;
	}
}

bool rewrite_native(uint32_t mode, const struct insn *i)
{
	bool near_branches = (mode & MODE_BITS) == MODE_64 || (mode & MODE_FLAT && (mode & MODE_BITS) == MODE_32);
	bool bits64 = (mode & MODE_BITS) == MODE_64;

	if (!state_enabled(mode, i) || (i->encoding != ENC_LEGACY && (mode & (MODE_BITS | MODE_FLAT)) == MODE_16))
		return false;
	switch (i->class) {
	case INSN_COPY:
		return !(i->has_mem && (!i->mem_size || i->mem_size > 64)) || !i->has_mem;
	case INSN_NOP:
	case INSN_LEA:
		return true;
	case INSN_JMP:
	case INSN_JCC:
		return near_branches && i->operand_size != 2;
	case INSN_LOOP:
		return bits64 && i->cc >= 2;
	case INSN_CALL:
	case INSN_RET:
		return bits64 && i->operand_size == 8;
	case INSN_JMP_IND:
	case INSN_CALL_IND:
		return bits64 && i->operand_size == 8;
	case INSN_PUSH:
	case INSN_LEAVE:
		return bits64 && (i->class == INSN_PUSH || i->operand_size == 8);
	case INSN_POP:
		return bits64 && !i->has_mem;
	case INSN_RDTSC:
		return !(mode & MODE_TSD);
	default:
		return rewrite_system_native(mode, i);
	}
}

void rewrite_ret_target(struct rewrite *w)
{
	access(w, stack_top, 8, SLOW_READ, op_ret);
}

void rewrite_check(struct rewrite *w, struct address a, unsigned size, bool write, uint8_t *failed)
{
	linear(w, &w->hot, a);
	check(w, size, write, failed);
}

void rewrite_one(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (!rewrite_native(w->mode, i)) {
		rewrite_emulate(w);
		return;
	}
	switch (i->class) {
	case INSN_COPY:
		copy(w);
		break;
	case INSN_LEA:
		lea(w);
		break;
	case INSN_JMP:
		if (target_of(w) <= (int32_t)w->guest)
			poll(w);
		branch(w, -1, target_of(w));
		break;
	case INSN_JCC:
		conditional(w);
		break;
	case INSN_LOOP:
		loop(w);
		break;
	case INSN_CALL:
		if (target_of(w) <= (int32_t)w->guest)
			poll(w);
		access(w, stack_below(8), 8, SLOW_WRITE, op_call);
		branch(w, -1, target_of(w));
		break;
	case INSN_RET:
		rewrite_ret_target(w);
		rewrite_lookup(w);
		break;
	case INSN_JMP_IND:
		jump_indirect(w);
		break;
	case INSN_CALL_IND:
		indirect_target(w);
		access(w, stack_below(8), 8, SLOW_WRITE, op_call);
		goto_spilled(w);
		break;
	case INSN_PUSH:
		push(w);
		break;
	case INSN_POP:
		access(w, stack_top, i->operand_size, SLOW_READ, op_pop);
		break;
	case INSN_LEAVE:
		access(w, (struct address){RBP, NO_REG, 1, SEG_SS, 8, 0}, 8, SLOW_READ, op_leave);
		break;
	case INSN_RDTSC:
		rdtsc(w);
		break;
	case INSN_EMULATE:
		rewrite_system(w);
		break;
	default:
		break;
	}
}

/* --- blocks -------------------------------------------------------------------------------------- */

bool rewrite_ends(uint32_t mode, const struct insn *i)
{
	if (!rewrite_native(mode, i))
		return true;
	switch (i->class) {
	case INSN_JMP:
	case INSN_CALL:
	case INSN_RET:
	case INSN_JMP_IND:
	case INSN_CALL_IND:
		return true;
	case INSN_EMULATE:
		return false; /* rewrite_native() has said that it is not emulated */
	default:
		return i->ends_block;
	}
}

static void liveness(const struct insn *insns, unsigned count, bool exact, uint32_t *before)
{
	uint32_t live = FL_STATUS;

	for (unsigned k = count; k-- > 0;) {
		const struct insn *i = &insns[k];

		if (i->class == INSN_JCC || i->class == INSN_LOOP)
			live = FL_STATUS;
		else
			live = (live & ~i->flags_written) | i->flags_read;
		before[k] = exact ? FL_STATUS : live & FL_STATUS;
	}
}

/* The far entry: r10 is the RIP, of which the page's address is kept. */
static void entry(struct rewrite *w, unsigned start)
{
	emit_lea(&w->hot, 8, R10, at_reg(R10, -(int32_t)start));
	emit_store(&w->hot, 8, gs_slot(offsetof(struct vcpu, code_base)), R10);
}

static bool last_leaves(const struct rewrite *w, const struct insn *i)
{
	return !rewrite_native(w->mode, i) ||
		i->class == INSN_JMP || i->class == INSN_RET || i->class == INSN_CALL ||
		i->class == INSN_JMP_IND || i->class == INSN_CALL_IND;
}

static void sites_flush(struct rewrite *w, struct block *b)
{
	struct cache *c = w->cache;

	/* ascending by code offset: the hot part lies below the cold one, which groups disorder */
	for (unsigned k = 1; k < w->cold_sites; k++) {
		struct site s = w->cold_site[k];
		unsigned n = k;

		for (; n && w->cold_site[n - 1].code > s.code; n--)
			w->cold_site[n] = w->cold_site[n - 1];
		w->cold_site[n] = s;
	}
	b->first_site = c->sites;
	for (unsigned k = 0; k < w->hot_sites; k++)
		c->site[c->sites++] = w->hot_site[k];
	for (unsigned k = 0; k < w->cold_sites; k++)
		c->site[c->sites++] = w->cold_site[k];
	b->sites = c->sites - b->first_site;
}

/* Is there a plain instruction after STI, after which the interrupt may come? */
static bool window_fits(const struct rewrite *w, const struct insn *insns, unsigned k, unsigned count)
{
	if (!rewrite_native(w->mode, &insns[k]))
		return true; /* emulated anyway */
	return k + 1 < count && rewrite_native(w->mode, &insns[k + 1]) &&
		(insns[k + 1].class == INSN_COPY || insns[k + 1].class == INSN_LEA ||
			insns[k + 1].class == INSN_PUSH || insns[k + 1].class == INSN_POP);
}

unsigned rewrite_block(struct cache *c, struct block *b, uint32_t index, const struct insn *insns,
	unsigned count, unsigned start, bool next_crosses)
{
	uint32_t live[BLOCK_MAX_INSNS];
	bool left = false;
	unsigned grouped;
	struct rewrite w = {
		.cache = c, .block_index = index, .mode = b->mode, .guest = start,
		.bits = (b->mode & MODE_BITS) == MODE_64 ? 64 : (b->mode & MODE_BITS) == MODE_32 ? 32 : 16,
		.hot = {c->write + c->hot, 0}, .cold = {c->write + c->cold, 0},
	};

	b->code = c->hot;
	b->cold = c->cold;
	b->first_exit = c->exits;
	liveness(insns, count, c->exact_flags, live);
	entry(&w, start);
	b->near = offset_of(&w, w.hot.at);
	for (unsigned k = 0; k < count; k++) {
		w.insn = &insns[k];
		w.flags_live = live[k] != 0;
		if (w.insn->mnemonic == ZYDIS_MNEMONIC_STI && !window_fits(&w, insns, k, count)) {
			rewrite_emulate(&w);
			count = k + 1;
			left = true;
			break;
		}
		/* not behind STI, where the window is */
		grouped = k && insns[k - 1].mnemonic == ZYDIS_MNEMONIC_STI ? 0 : rewrite_group(&w, insns + k, count - k, live + k);
		if (grouped) {
			k += grouped - 1;
			continue;
		}
		rewrite_one(&w);
		w.guest += insns[k].length;
		if (k && insns[k - 1].mnemonic == ZYDIS_MNEMONIC_STI)
			rewrite_interrupt_window(&w);
	}
	if (!left && !last_leaves(&w, &insns[count - 1])) {
		if (b->mode & MODE_STEP) {
			emit_mov_imm32(&w.hot, R10, w.guest);
			rewrite_leave(&w.hot, LEAVE_STEP);
		} else if (next_crosses) {
			code_address(&w.hot, R10, (int32_t)w.guest, w.bits == 64 ? 8 : 4);
			rewrite_lookup(&w);
		} else {
			branch(&w, -1, (int32_t)w.guest);
		}
	}
	b->exits = c->exits - b->first_exit;
	c->hot = offset_of(&w, w.hot.at);
	c->cold = offset_of(&w, w.cold.at);
	b->code_end = c->hot;
	b->cold_end = c->cold;
	sites_flush(&w, b);
	return count;
}
