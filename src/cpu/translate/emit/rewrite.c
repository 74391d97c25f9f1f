/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/emit/rewrite.h"

#include "cpu/translate/emit/rewrite_internal.h"

#include <Zydis/Mnemonic.h>

/* --- sites --------------------------------------------------------------------------------- */

static void add_site(struct rewrite *w, struct site s)
{
	s.guest = (uint16_t)w->guest;
	s.carry = w->carry == CARRY_SLOT;
	s.length = w->insn->length;
	if (s.code >= w->cache->cold_start) {
		if (w->cold_sites < REWRITE_SITES_MAX / 2)
			w->cold_site[w->cold_sites++] = s;
	} else if (w->hot_sites < REWRITE_SITES_MAX / 2) {
		w->hot_site[w->hot_sites++] = s;
	}
}

void rewrite_site(struct rewrite *w, const uint8_t *at, unsigned spilled, bool poll)
{
	add_site(w,
		(struct site){.code = offset_of(w, at), .spilled = (uint8_t)spilled, .poll = poll});
}

void rewrite_site_slow(struct rewrite *w, const uint8_t *at, unsigned spilled)
{
	add_site(w,
		(struct site){.code = offset_of(w, at),
			.slow = w->slow,
			.spilled = (uint8_t)spilled});
}

/* --- one instruction -------------------------------------------------------------------------------- */

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

void rewrite_emulate(struct rewrite *w)
{
	if (w->mode & MODE_HOSTMAP) {
		rewrite_code_address(w, &w->hot, R10, 0, 8);
		emit_store(&w->hot, 8, gs_slot(offsetof(struct vcpu, code_base)), R10);
	}
	emit_mov_imm64(&w->hot, R10, (uint64_t)emulated(w->cache, w->insn, w->bits));
	emit_mov_imm32(&w->hot, R11, LEAVE_EMULATE | w->guest << 8);
	emit_jmp_slot(&w->hot, offsetof(struct vcpu, stub_leave));
}

static void rdtsc(struct rewrite *w)
{
	struct emit *e = &w->hot;
	bool waits = w->insn->mnemonic == ZYDIS_MNEMONIC_RDTSCP;

	/* RDTSCP: for what comes before */
	if (waits)
		emit_bytes(e, "\x0f\xae\xe8", 3); /* lfence */
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
	if (waits)
		emit_load(e, 4, RCX, gs_slot(offsetof(struct vcpu, cpu.tsc_aux)));
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
	bool near_branches = (mode & MODE_BITS) == MODE_64 ||
		(mode & MODE_FLAT && (mode & MODE_BITS) == MODE_32);
	bool bits64 = (mode & MODE_BITS) == MODE_64;

	if (!state_enabled(mode, i) ||
		(i->encoding != ENC_LEGACY && (mode & (MODE_BITS | MODE_FLAT)) == MODE_16))
		return false;
	switch (i->class) {
	case INSN_COPY:
		return !i->has_mem || (i->mem_size && i->mem_size <= 64);
	case INSN_NOP:
	case INSN_LEA:
		return true;
	case INSN_JMP:
	case INSN_JCC:
		return near_branches && i->operand_size != 2;
	case INSN_LOOP:
		return bits64 && i->cc >= 2 && i->operand_size == 8;
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
	case INSN_STRING:
		return rewrite_string_native(mode, i);
	case INSN_BITSTRING:
		return rewrite_bits_native(mode, i);
	default:
		return rewrite_system_native(mode, i);
	}
}

/* CF as the instruction needs it; those that access memory see to it themselves, behind their check. */
static void carry_before(struct rewrite *w, const struct insn *i)
{
	switch (i->class) {
	case INSN_COPY:
		if (!i->has_mem)
			rewrite_carry_for(w, &w->hot, i, R11);
		break;
	case INSN_NOP:
	case INSN_LEA:
	case INSN_PUSH:
	case INSN_POP:
	case INSN_LEAVE:
	case INSN_BITSTRING:
	case INSN_CALL:
	case INSN_RET:
	case INSN_JMP_IND:
	case INSN_CALL_IND:
		break;
	default:
		rewrite_carry_load(w, &w->hot, R11);
		break;
	}
}

void rewrite_one(struct rewrite *w)
{
	const struct insn *i = w->insn;

	if (!rewrite_native(w->mode, i)) {
		rewrite_carry_load(w, &w->hot, R11);
		rewrite_emulate(w);
		return;
	}
	carry_before(w, i);
	switch (i->class) {
	case INSN_COPY:
		rewrite_copy(w);
		break;
	case INSN_NOP:
		/* a guest that spins must not starve the processor that it waits for */
		if (i->mnemonic == ZYDIS_MNEMONIC_PAUSE)
			emit_bytes(&w->hot, "\xf3\x90", 2);
		/* all that this processor has stored is seen first */
		if (i->mnemonic == ZYDIS_MNEMONIC_SERIALIZE)
			emit_bytes(&w->hot, "\x0f\xae\xf0", 3); /* mfence */
		break;
	case INSN_LEA:
		rewrite_lea(w);
		break;
	case INSN_JMP:
		rewrite_jump(w);
		break;
	case INSN_JCC:
		rewrite_conditional(w);
		break;
	case INSN_LOOP:
		rewrite_loop(w);
		break;
	case INSN_CALL:
		rewrite_call(w);
		break;
	case INSN_RET:
		rewrite_ret_target(w);
		rewrite_carry_load(w, &w->hot, R11);
		rewrite_lookup_indirect(w);
		break;
	case INSN_JMP_IND:
		rewrite_jump_indirect(w);
		break;
	case INSN_CALL_IND:
		rewrite_call_indirect(w);
		break;
	case INSN_PUSH:
		rewrite_push(w);
		break;
	case INSN_POP:
		rewrite_pop(w);
		break;
	case INSN_LEAVE:
		rewrite_leave_frame(w);
		break;
	case INSN_RDTSC:
		rdtsc(w);
		break;
	case INSN_STRING:
		rewrite_string(w);
		break;
	case INSN_BITSTRING:
		rewrite_bits(w);
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
	case INSN_STRING:
	case INSN_EMULATE:
		return false; /* rewrite_native() has said that it is not emulated */
	case INSN_JCC:
		/* code that computes is worth having twice where paths meet, if both run on in one piece */
		return !(mode & MODE_HOSTMAP) || i->imm < 0;
	default:
		return i->ends_block;
	}
}

/* The far entry: r10 is the RIP, of which the page's address is kept. */
static void entry(struct rewrite *w, unsigned start)
{
	if (w->mode & MODE_HOSTMAP)
		return;
	emit_lea(&w->hot, 8, R10, at_reg(R10, -(int32_t)start));
	emit_store(&w->hot, 8, gs_slot(offsetof(struct vcpu, code_base)), R10);
}

static bool last_leaves(const struct rewrite *w, const struct insn *i)
{
	return !rewrite_native(w->mode, i) || i->class == INSN_JMP || i->class == INSN_RET ||
		i->class == INSN_CALL || i->class == INSN_JMP_IND || i->class == INSN_CALL_IND;
}

static void sites_flush(struct rewrite *w, struct tblock *b)
{
	struct cache *c = w->cache;

	/* ascending by code offset: the hot part lies below the cold one */
	b->first_site = c->sites;
	for (unsigned k = 0; k < w->hot_sites; k++)
		c->site[c->sites++] = w->hot_site[k];
	for (unsigned k = 0; k < w->cold_sites; k++)
		c->site[c->sites++] = w->cold_site[k];
	b->sites = (uint16_t)(c->sites - b->first_site);
}

/* Is there an instruction after STI behind which the interrupt may come? */
static bool irq_window_fits(const struct rewrite *w, const struct insn *insns, unsigned k,
	unsigned count)
{
	if (!rewrite_native(w->mode, &insns[k]))
		return true; /* emulated anyway */
	if (k + 1 == count || !rewrite_native(w->mode, &insns[k + 1]))
		return false;
	switch (insns[k + 1].class) {
	case INSN_COPY:
	case INSN_NOP:
	case INSN_LEA:
	case INSN_PUSH:
	case INSN_POP:
	case INSN_JMP:
	case INSN_RET:
		return true;
	default:
		return false;
	}
}

unsigned rewrite_block(struct cache *c, struct tblock *b, uint32_t index, const struct insn *insns,
	unsigned count, unsigned start, bool next_crosses)
{
	bool carry_counts[BLOCK_MAX_INSNS];
	struct site hot_site[REWRITE_SITES_MAX / 2], cold_site[REWRITE_SITES_MAX / 2];
	bool left = false;
	uint32_t first_exit;
	unsigned grouped;
	struct rewrite w = {
		.cache = c,
		.block_index = index,
		.mode = b->mode,
		.base = b->base,
		.guest = start,
		.held = NO_REG,
		.bits = (b->mode & MODE_BITS) == MODE_64   ? 64
			: (b->mode & MODE_BITS) == MODE_32 ? 32
							   : 16,
		.hot = {c->write + c->hot, 0},
		.cold = {c->write + c->cold, 0},
		.hot_site = hot_site,
		.cold_site = cold_site,
	};

	b->code = c->hot;
	b->cold = c->cold;
	first_exit = c->exits;
	rewrite_flow(b->mode, insns, count, carry_counts);
	entry(&w, start);
	b->near = (uint8_t)(offset_of(&w, w.hot.at) - b->code);
	for (unsigned k = 0; k < count; k++) {
		w.insn = &insns[k];
		w.carry_counts = carry_counts[k];
		if (w.insn->mnemonic == ZYDIS_MNEMONIC_STI &&
			!irq_window_fits(&w, insns, k, count)) {
			rewrite_carry_load(&w, &w.hot, R11);
			rewrite_emulate(&w);
			count = k + 1;
			left = true;
			break;
		}
		/* not behind STI, where the window is */
		w.shadow = k && insns[k - 1].mnemonic == ZYDIS_MNEMONIC_STI;
		grouped = w.shadow ? 0 : rewrite_group(&w, insns + k, count - k);
		if (grouped) {
			k += grouped - 1;
			continue;
		}
		rewrite_one(&w);
		rewrite_carry_after(&w, &insns[k]);
		rewrite_hold(&w, &insns[k]);
		w.guest += insns[k].length;
		if (w.shadow && !last_leaves(&w, &insns[k]))
			rewrite_irq_window(&w);
	}
	if (!left && !last_leaves(&w, &insns[count - 1])) {
		rewrite_carry_load(&w, &w.hot, R11);
		if (b->mode & MODE_STEP) {
			emit_mov_imm32(&w.hot, R10, w.guest);
			rewrite_leave(&w.hot, LEAVE_STEP);
		} else if (next_crosses || insns[count - 1].mnemonic == ZYDIS_MNEMONIC_SERIALIZE) {
			/* behind SERIALIZE no jump counts that this processor may have fetched before */
			rewrite_code_address(&w, &w.hot, R10, (int32_t)w.guest,
				w.bits == 64 ? 8 : 4);
			rewrite_lookup(&w);
		} else {
			rewrite_branch(&w, -1, (int32_t)w.guest);
		}
	}
	b->exits = (uint8_t)(c->exits - first_exit);
	c->hot = offset_of(&w, w.hot.at);
	c->cold = offset_of(&w, w.cold.at);
	b->code_size = (uint16_t)(c->hot - b->code);
	b->cold_size = (uint16_t)(c->cold - b->cold);
	sites_flush(&w, b);
	return count;
}
