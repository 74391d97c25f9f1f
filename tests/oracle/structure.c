/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the code cache holds, decoded again: nothing but what insn_host_allowed()
 * admits, jumps that end at instructions of the cache, and indirect jumps only
 * through the vCPU and its jump cache.
 */
#include <stdlib.h>
#include <string.h>

#include <Zydis/Mnemonic.h>

#include "cpu/translate/vm.h"
#include "oracle.h"

/* How far a check of an address has come; see note_check(). */
enum check { NO_CHECK, INDEX, INDEXED, SUMMED, LIMITED, COMPARED, FOUND };

struct structure {
	const struct cache *c;
	uint8_t *start;   /* of each byte: does an instruction begin here? */
	uint32_t *target; /* of direct jumps */
	uint32_t targets, room;
	unsigned instructions, wrong;
	const struct tblock *block;
	bool host_stack; /* the instruction before has loaded the host's stack pointer */
	unsigned
		window; /* how far r11 has become the way from window_base to its window, 3: all the way */
	uint16_t window_base; /* a mask of one register, */
	uint64_t drift;       /* which has moved since */
	enum check check;     /* of the bytes that r10 pointed to: */
	bool linear;          /* the instruction before has put their address into r10: */
	uint16_t linear_base; /* a mask of one register, */
	int64_t linear_disp;  /* and this */
	uint16_t checked_base;
	int64_t checked_disp;
	unsigned checked_size;
	bool checked_write;
	bool constant; /* the instruction before has put this into r10: */
	uint64_t value;
};

/* The instruction, and what stands before it. */
static void complain(struct structure *s, uint32_t at, const char *what)
{
	uint32_t start = at >= s->c->cold_start ? s->block->cold : s->block->code;

	if (++s->wrong > 10)
		return;
	printf("code cache: %x: %s (block of %llx, mode %x)\n", at, what,
		(unsigned long long)s->block->gpa, s->block->mode);
	if (start + 160 < at)
		start = at - 160;
	while (!s->start[start] && start < at)
		start++;
	while (start <= at) {
		struct insn i;
		char text[160];

		insn_decode(&i, s->c->write + start, 15, 64, NULL);
		insn_format(&i, start, 64, text, sizeof text);
		printf("  %x: %s\n", start, text);
		start += i.length;
		while (!s->start[start] && start < at)
			start++;
	}
}

/* jmp *%gs:slot, with which slot */
static bool is_slot_jump(const struct insn *i, int64_t *slot)
{
	if (i->class != INSN_JMP_IND || !i->has_mem || i->mem_seg != SEG_GS)
		return false;
	*slot = i->mem_disp;
	return i->mem_base == INSN_NO_REG && i->mem_index == INSN_NO_REG;
}

static void check_jump(struct structure *s, uint32_t at, const struct insn *i)
{
	int64_t slot;

	if (i->class == INSN_JMP_IND) {
		if (is_slot_jump(i, &slot)) {
			if (slot != offsetof(struct vcpu, stub_leave) &&
				slot != offsetof(struct vcpu, stub_slow) &&
				slot != offsetof(struct vcpu, stub_commit))
				complain(s, at, "jumps through a field that is no stub");
		} else if (!i->has_mem || i->mem_seg != SEG_GS || i->mem_base != INSN_NO_REG ||
			i->mem_index != R11 || i->mem_disp != CTX_JUMP_TARGET) {
			complain(s, at, "jumps elsewhere");
		}
	} else if (i->class == INSN_JMP || i->class == INSN_JCC || i->class == INSN_LOOP) {
		uint32_t to = at + i->length + (uint32_t)i->imm;

		if (to >= s->c->size)
			complain(s, at, "jumps out of the cache");
		if (s->targets < s->room)
			s->target[s->targets++] = to;
	}
}

/* Memory is reached through %gs, or by r10, r11 or a low register that a check has filled. */
static void check_memory(struct structure *s, uint32_t at, const struct insn *i)
{
	if (!i->has_mem || i->class == INSN_LEA)
		return;
	if (i->mem_seg == SEG_GS) {
		if (i->mem_base != INSN_NO_REG || i->mem_disp < 0 || i->mem_disp >= CTX_SIZE)
			complain(s, at, "reaches beyond the vCPU");
		return;
	}
	if (i->mem_index == R11 && i->mem_base < 16 && !(s->block->mode & MODE_HOSTMAP)) {
		if (s->check != FOUND || s->checked_base != 1u << i->mem_base ||
			s->checked_disp != i->mem_disp || i->mem_size > s->checked_size ||
			(i->mem_write && !s->checked_write))
			complain(s, at, "reaches other bytes than were checked");
		return;
	}
	if (i->mem_index == R11 && i->mem_base < 16) {
		if (s->window != 3 || s->window_base != 1u << i->mem_base)
			complain(s, at, "reaches through a window that is not its base register's");
		return;
	}
	if (i->mem_base == INSN_NO_REG || i->mem_base == INSN_RIP || i->mem_base == RSP)
		complain(s, at, "reaches memory by an address that was not checked");
	if (i->mem_index != INSN_NO_REG)
		complain(s, at, "reaches memory by two registers");
}

/*
 * What the guest's flags are read by: PUSHFQ and POP r10, which nothing else may contain, and only
 * right behind the load of the host's stack pointer. Returns the length, or 0.
 */
static unsigned flags_read(const struct structure *s, uint32_t at)
{
	static const uint8_t bytes[] = {0x9c, 0x41, 0x5a};

	return s->host_stack && memcmp(s->c->write + at, bytes, sizeof bytes) == 0 ? sizeof bytes
										   : 0;
}

static void note_stack(struct structure *s, const struct insn *i)
{
	s->host_stack = i->mnemonic == ZYDIS_MNEMONIC_MOV && i->has_mem && i->mem_seg == SEG_GS &&
		i->gpr_write == 1u << RSP && i->mem_disp == offsetof(struct vcpu, host_rsp);
}

/* The base register by so little that the guards between windows make up for it. */
static bool moves(struct structure *s, const struct insn *i)
{
	int64_t by = i->class == INSN_LEA && i->mem_index == INSN_NO_REG && i->mem_base < 16 &&
			i->gpr_write == 1u << i->mem_base
		? i->mem_disp
		: i->mnemonic == ZYDIS_MNEMONIC_ADD || i->mnemonic == ZYDIS_MNEMONIC_SUB
		? i->imm
		: WINDOW_GUARD;

	if (i->operand_size != 8 || (i->class != INSN_LEA && (i->has_mem || !i->imm_size)))
		return false;
	s->drift += (uint64_t)(by < 0 ? -by : by);
	return s->drift < WINDOW_GUARD / 2;
}

/* rorx r11, base, 39; movzx r11d, r11b; mov r11, %gs:CTX_HOSTMAP(,%r11,8): and r11 and base stay. */
static void note_window(struct structure *s, const struct insn *i)
{
	unsigned r11 = 1u << R11;

	if (i->mnemonic == ZYDIS_MNEMONIC_RORX && i->gpr_write == r11 &&
		(uint8_t)i->imm == WINDOW_BITS) {
		s->window_base = i->gpr_read;
		s->drift = 0;
		s->window = 1;
	} else if (s->window == 1 && i->mnemonic == ZYDIS_MNEMONIC_MOVZX && i->gpr_read == r11 &&
		i->gpr_write == r11 && i->opcode == 0xb6) {
		s->window = 2;
	} else if (s->window == 2 && i->mnemonic == ZYDIS_MNEMONIC_MOV && i->mem_seg == SEG_GS &&
		i->mem_disp == CTX_HOSTMAP && i->mem_index == R11 && i->mem_scale == 8 &&
		i->gpr_write == r11) {
		s->window = 3;
	} else if (s->constant && i->mnemonic == ZYDIS_MNEMONIC_MOV && i->mem_seg == SEG_GS &&
		i->has_mem && i->mem_index == INSN_NO_REG && i->gpr_write == r11 &&
		(uint64_t)i->mem_disp ==
			CTX_HOSTMAP + 8 * (s->value >> WINDOW_BITS & (WINDOW_SLOTS - 1))) {
		s->window_base = 1u << R10;
		s->window = 3;
		s->drift = 0;
	} else if (i->gpr_write & r11 || (i->gpr_write & s->window_base && !moves(s, i))) {
		s->window = 0;
	}
}

static bool loads(const struct insn *i, unsigned reg, uint64_t table)
{
	return i->mnemonic == ZYDIS_MNEMONIC_MOV && i->mem_seg == SEG_GS && i->mem_index == R11 &&
		i->mem_scale == 8 && (uint64_t)i->mem_disp == table && i->gpr_write == 1u << reg;
}

/*
 * lea r10, [base+disp]; rorx r11, r10, 12; movzx r11d, r11w; then either
 *   adcx r10, %gs:tags(,%r11,8); adcx r10, %gs:limit[size]; jc
 * or, without ADCX,
 *   mov rcx, %gs:tags(,%r11,8); lea r10, [rcx+r10]; lea rcx, [r10+size-1]; pext rcx, ...; jrcxz
 * and mov r11, %gs:CTX_DELTA(,%r11,8): [base+r11+disp] is what was checked, while r11 and base stay.
 */
static void note_check(struct structure *s, const struct insn *i)
{
	unsigned r10 = 1u << R10, r11 = 1u << R11;
	uint64_t limit = (uint64_t)i->mem_disp - offsetof(struct vcpu, limit);
	bool tags = i->has_mem && i->mem_seg == SEG_GS && i->mem_index == R11 &&
		(i->mem_disp == CTX_TAG_READ || i->mem_disp == CTX_TAG_WRITE);

	if (i->mnemonic == ZYDIS_MNEMONIC_RORX && i->gpr_write == r11 && i->gpr_read == r10 &&
		(uint8_t)i->imm == 12 && s->linear) {
		s->check = INDEX;
		s->checked_base = s->linear_base;
		s->checked_disp = s->linear_disp;
		s->checked_size = 1;
	} else if (s->check == INDEX && i->mnemonic == ZYDIS_MNEMONIC_MOVZX && i->opcode == 0xb7 &&
		i->gpr_write == r11 && i->gpr_read == r11) {
		s->check = INDEXED;
	} else if (s->check == INDEXED && tags &&
		(i->mnemonic == ZYDIS_MNEMONIC_ADCX || i->gpr_write == 1u << RCX)) {
		s->check = SUMMED;
		s->checked_write = i->mem_disp == CTX_TAG_WRITE;
	} else if (s->check == SUMMED && i->mnemonic == ZYDIS_MNEMONIC_ADCX &&
		i->mem_seg == SEG_GS && limit < 8 * LIMIT_SIZES) {
		s->check = LIMITED;
		s->checked_size = (unsigned)(limit / 8);
	} else if (s->check == SUMMED && i->class == INSN_LEA && i->mem_base == R10 &&
		i->gpr_write == 1u << RCX) {
		s->checked_size = (unsigned)i->mem_disp + 1;
	} else if (s->check == SUMMED && i->mnemonic == ZYDIS_MNEMONIC_PEXT &&
		i->mem_disp == offsetof(struct vcpu, page_mask)) {
		s->check = LIMITED;
	} else if (s->check == LIMITED &&
		(i->mnemonic == ZYDIS_MNEMONIC_JB || i->mnemonic == ZYDIS_MNEMONIC_JRCXZ)) {
		s->check = COMPARED;
	} else if (s->check == COMPARED && loads(i, R11, CTX_DELTA)) {
		s->check = FOUND;
	} else if (i->gpr_write & (r11 | s->checked_base)) {
		/* rcx is put aside and comes back */
		if (s->check < SUMMED || s->check == FOUND || i->gpr_write != 1u << RCX)
			s->check = NO_CHECK;
	}
	s->linear = i->class == INSN_LEA && i->gpr_write == r10 && i->operand_size == 8 &&
		i->mem_base < 16 && i->mem_index == INSN_NO_REG;
	s->linear_base = s->linear ? 1u << i->mem_base : 0;
	s->linear_disp = i->mem_disp;
}

/* mov rsi, %gs:spill[2]; mov rdi, %gs:spill[1]: host addresses that checks have left there */
static bool in_pages(const uint8_t *code, bool both)
{
	static const uint8_t to[] = {0x65, 0x48, 0x8b, 0x3c, 0x25},
			     from[] = {0x65, 0x48, 0x8b, 0x34, 0x25};
	const uint32_t slot[] = {offsetof(struct vcpu, spill[1]), offsetof(struct vcpu, spill[2])};

	return !memcmp(code - 9, to, 5) && !memcmp(code - 4, &slot[0], 4) &&
		(!both || (!memcmp(code - 18, from, 5) && !memcmp(code - 13, &slot[1], 4)));
}

/*
 * String instructions reach memory by RDI and RSI, which have been moved to their windows right before:
 * rorx r11, rdi, 39; movzx r11d, r11b; mov r11, %gs:CTX_HOSTMAP(,%r11,8); lea rdi, [rdi+r11], and the same
 * with r10 for RSI. In blocks without windows see in_pages().
 */
static void check_string(struct structure *s, uint32_t at, const struct insn *i)
{
	static const uint8_t to[] = {0xc4, 0x63, 0xfb, 0xf0, 0xdf, WINDOW_BITS, 0x45, 0x0f, 0xb6,
		0xdb, 0x65, 0x4e, 0x8b, 0x1c, 0xdd};
	static const uint8_t from[] = {0xc4, 0x63, 0xfb, 0xf0, 0xd6, WINDOW_BITS, 0x45, 0x0f, 0xb6,
		0xd2, 0x65, 0x4e, 0x8b, 0x14, 0xd5};
	const uint8_t *code = s->c->write + at;
	const uint32_t table = CTX_HOSTMAP;
	const unsigned size = sizeof to + 8;
	bool both = (i->opcode & 0xfe) == 0xa4;

	if (i->class != INSN_STRING)
		return;
	if (!(s->block->mode & MODE_HOSTMAP)) {
		if (!in_pages(code, both))
			complain(s, at, "is not at addresses that were checked");
		return;
	}
	if (both &&
		(memcmp(code - size, from, sizeof from) != 0 || memcmp(code - 8, &table, 4) != 0 ||
			memcmp(code - 4, "\x4a\x8d\x34\x16", 4) != 0))
		complain(s, at, "reads what RSI points to without a window");
	code -= both ? size : 0;
	if (memcmp(code - size, to, sizeof to) != 0 || memcmp(code - 8, &table, 4) != 0 ||
		memcmp(code - 4, "\x4a\x8d\x3c\x1f", 4) != 0)
		complain(s, at, "writes where RDI points to without a window");
}

/* What stands behind a jump to the slow path. */
static unsigned slow_size(const struct cache *c, uint32_t at)
{
	const struct slow_access *d = (const void *)(c->write + at);

	return d->flags & SLOW_GROUP ? sizeof(struct slow_group) : sizeof *d;
}

static void walk_part(struct structure *s, uint32_t at, uint32_t end)
{
	while (at < end) {
		unsigned length = 0;
		struct insn i;
		int64_t slot;

		s->start[at] = 1;
		if (flags_read(s, at)) {
			at += flags_read(s, at);
			s->host_stack = false;
			continue;
		}
		if (!insn_host_allowed(s->c->write + at, end - at < 15 ? end - at : 15, &length)) {
			complain(s, at, "is not allowed");
			return;
		}
		s->instructions++;
		insn_decode(&i, s->c->write + at, length, 64, NULL);
		check_jump(s, at, &i);
		check_memory(s, at, &i);
		check_string(s, at, &i);
		note_stack(s, &i);
		note_window(s, &i);
		note_check(s, &i);
		/* mov r10, address */
		s->constant = i.mnemonic == ZYDIS_MNEMONIC_MOV && !i.has_mem && i.imm_size >= 4 &&
			i.gpr_write == 1u << R10;
		s->value = i.operand_size == 4 ? (uint32_t)i.imm : (uint64_t)i.imm;
		at += length;
		if (is_slot_jump(&i, &slot) && slot == offsetof(struct vcpu, stub_slow))
			at += slow_size(s->c, at);
	}
}

static void dump(const struct cache *c, uint32_t at, uint32_t end)
{
	while (at < end) {
		struct insn i;
		char text[160];
		int64_t slot;

		insn_decode(&i, c->write + at, 15, 64, NULL);
		insn_format(&i, at, 64, text, sizeof text);
		printf("    %x: %s\n", at, text);
		at += i.length;
		if (is_slot_jump(&i, &slot) && slot == offsetof(struct vcpu, stub_slow)) {
			const struct slow_access *d = (const void *)(c->write + at);

			printf("      (guest %x, flags %x, size %u)\n", d->guest, d->flags,
				d->size);
			at += slow_size(c, at);
		}
	}
}

void structure_dump(struct translate_vm *vm, uint64_t gpa, unsigned size)
{
	for (uint32_t k = cache_next(&vm->cache, 0); k; k = cache_next(&vm->cache, k)) {
		const struct tblock *b = &vm->cache.block[k];

		if (b->dead || b->gpa - gpa >= size)
			continue;
		printf("  block %llx, %u instructions, mode %x\n", (unsigned long long)b->gpa,
			b->insns, b->mode);
		dump(&vm->cache, b->code, b->code + b->code_size);
		dump(&vm->cache, b->cold, b->cold + b->cold_size);
	}
}

unsigned structure_check(struct translate_vm *vm, unsigned *instructions)
{
	struct structure s = {.c = &vm->cache};

	s.room = vm->cache.size / 2;
	s.start = calloc(1, vm->cache.size);
	s.target = malloc(s.room * sizeof *s.target);
	if (!s.start || !s.target)
		return 1;
	for (uint32_t k = cache_next(&vm->cache, 0); k; k = cache_next(&vm->cache, k)) {
		const struct tblock *b = &vm->cache.block[k];

		s.block = b;
		walk_part(&s, b->code, b->code + b->code_size);
		walk_part(&s, b->cold, b->cold + b->cold_size);
	}
	for (uint32_t k = 0; k < s.targets; k++)
		if (!s.start[s.target[k]] && s.wrong++ < 20)
			printf("code cache: a jump to %x, where no instruction begins\n",
				s.target[k]);
	free(s.start);
	free(s.target);
	*instructions = s.instructions;
	return s.wrong;
}
