/* SPDX-License-Identifier: Apache-2.0 */
/* What sequences consist of: random instructions, and what random ones would never make: control flow. */
#include <string.h>

#include "making.h"

struct item *make_plain(struct making *m)
{
	struct item i, *to;

	if (!form_random(m->g->forms, m->r, m->pool, m->s->supervisor, &i))
		return NULL;
	to = sequence_add(m->s, i.bytes, i.length);
	if (to)
		*to = i;
	return to;
}

static void some_plain(struct making *m, unsigned most)
{
	for (unsigned n = rng_below(m->r, most + 1); n > 0; n--)
		make_plain(m);
}

#define ADD(m, ...) \
	sequence_add((m)->s, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void fix(struct item *i, enum fix kind, unsigned at, unsigned size, unsigned target)
{
	if (!i)
		return;
	i->fix = (uint8_t)kind;
	i->fix_at = (uint8_t)at;
	i->fix_size = (uint8_t)size;
	i->target = (uint8_t)target;
}

static void tie(struct item *i)
{
	if (i)
		i->tied = true;
}

/* A register outside the pool. */
static unsigned free_register(struct making *m)
{
	unsigned reg;

	do
		reg = rng_below(m->r, 16);
	while ((m->pool->pointers | m->pool->counters | m->pool->kept | 1u << RSP) >> reg & 1);
	return reg;
}

static unsigned forward(struct making *m)
{
	return m->s->count + 1 + rng_below(m->r, 5);
}

/* --- control flow -------------------------------------------------------------------------------- */

static void jcc(struct making *m)
{
	unsigned cc = rng_below(m->r, 16), target = forward(m);

	if (rng_once(m->r, 2))
		fix(ADD(m, 0x70 | cc, 0), FIX_BRANCH, 1, 1, target);
	else
		fix(ADD(m, 0x0f, 0x80 | cc, 0, 0, 0, 0), FIX_BRANCH, 2, 4, target);
}

static void jmp(struct making *m)
{
	if (rng_once(m->r, 2))
		fix(ADD(m, 0xeb, 0), FIX_BRANCH, 1, 1, forward(m));
	else
		fix(ADD(m, 0xe9, 0, 0, 0, 0), FIX_BRANCH, 1, 4, forward(m));
}

/* JRCXZ and the LOOPs, forward. */
static void jrcxz(struct making *m)
{
	struct item *i;

	if (m->pool->narrow || rng_once(m->r, 3)) {
		i = ADD(m, 0x67, 0xe0 | rng_below(m->r, 4), 0);
		fix(i, FIX_BRANCH, 2, 1, forward(m));
		if (i)
			i->narrow = 1;
	} else
		fix(ADD(m, 0xe0 | rng_below(m->r, 4), 0), FIX_BRANCH, 1, 1, forward(m));
}

static void count_in_rcx(struct making *m, unsigned n)
{
	ADD(m, 0xb9, n, n >> 8, 0, 0);
}

/* mov reg, imm32, of which the last byte is rcx's low one the next time round */
static void patched_each_time(struct making *m)
{
	unsigned reg = free_register(m) & 7, at = m->s->count;

	if ((m->pool->pointers | m->pool->counters | m->pool->kept | 1u << RSP) >> reg & 1)
		return;
	ADD(m, 0xb8 | reg, 1, 2, 3, 4);
	some_plain(m, 1);
	fix(ADD(m, 0x88, 0x0d, 0, 0, 0, 0), FIX_PATCH, 2, 4, at);
}

/* LOOPNE, LOOPE or LOOP (kind) to the item `back`. */
static void loop_end(struct making *m, unsigned back, bool short_address, unsigned kind)
{
	struct item *skip, *end;

	/* movzx ecx, cl: whoever jumps in here must get out again; zero would count down from the top */
	ADD(m, 0x0f, 0xb6, 0xc9);
	skip = short_address ? ADD(m, 0x67, 0xe3, 0) : ADD(m, 0xe3, 0);
	end = short_address ? ADD(m, 0x67, 0xe0 | kind, 0) : ADD(m, 0xe0 | kind, 0);
	if (!end) {
		m->s->count = back;
		return;
	}
	skip->narrow = end->narrow = 1;
	fix(skip, FIX_BRANCH, skip->length - 1u, 1, m->s->count);
	fix(end, FIX_BRANCH, end->length - 1u, 1, back);
	tie(skip);
	tie(end);
}

/* mov ecx, n; ...; loop */
static void loop(struct making *m)
{
	uint16_t kept = m->pool->kept;
	unsigned back, short_address = m->pool->narrow || rng_once(m->r, 4);

	if (m->pool->pointers >> RCX & 1)
		return;
	count_in_rcx(m, rng_below(m->r, 6));
	back = m->s->count;
	m->pool->kept |= 1u << RCX;
	if (!m->pool->narrow && rng_once(m->r, 5))
		patched_each_time(m);
	some_plain(m, 4);
	m->pool->kept = kept;
	if (m->s->count - back > 7)
		return;
	loop_end(m, back, short_address, rng_below(m->r, 3));
}

/*
 * At CPL 0 a changed return address may lead into the middle of an instruction whose end is one that does
 * something else at CPL 3, where it runs natively: CLI, POPF...
 */
static void keep_return(struct making *m, unsigned from)
{
	for (unsigned k = from; m->s->supervisor && k < m->s->count; k++) {
		const struct item *item = &m->s->item[k];
		struct insn i;

		if (insn_decode(&i, item->bytes, item->length, 64, &m->g->policy) == 0 &&
			i.mem_write && i.mem_base == RSP)
			m->s->item[k].dropped = true;
	}
}

/* call f; jmp over; f: ...; ret; over: */
static void call(struct making *m)
{
	unsigned bytes = rng_below(m->r, 3) * 8, at = m->s->count;
	struct item *over;

	fix(ADD(m, 0xe8, 0, 0, 0, 0), FIX_BRANCH, 1, 4, at + 2);
	over = ADD(m, 0xeb, 0);
	some_plain(m, 3);
	keep_return(m, at + 2);
	if (rng_once(m->r, 3))
		ADD(m, 0xc2, bytes, 0);
	else
		ADD(m, 0xc3);
	fix(over, FIX_BRANCH, 1, 1, m->s->count);
}

/* mov reg, address; jmp or call reg */
static void indirect_register(struct making *m)
{
	unsigned reg = free_register(m), rex = 0x48 | reg >> 3,
		 op = rng_once(m->r, 2) ? 0xe0 : 0xd0;
	unsigned target = m->s->count + 2 + rng_below(m->r, 4);

	fix(ADD(m, rex, 0xb8 | (reg & 7), 0, 0, 0, 0, 0, 0, 0, 0), FIX_CODE, 2, 8, target);
	if (reg & 8 || rng_once(m->r, 4))
		ADD(m, 0x40 | reg >> 3, 0xff, op | (reg & 7));
	else
		ADD(m, 0xff, op | (reg & 7));
}

static unsigned any_of(struct making *m, uint16_t set)
{
	unsigned reg;

	do
		reg = rng_below(m->r, 16);
	while (!(set >> reg & 1));
	return reg;
}

/* mov qword [pointer + disp], address; jmp or call [pointer + disp] */
static void indirect_memory(struct making *m)
{
	unsigned base = any_of(m, m->pool->pointers), rex = base >> 3, low = base & 7;
	unsigned op = rng_once(m->r, 2) ? 0x20 : 0x10, disp = rng_below(m->r, 128);
	unsigned target = m->s->count + 2 + rng_below(m->r, 4);

	if (low == RSP) {
		fix(ADD(m, 0x48 | rex, 0xc7, 0x44, 0x24, disp, 0, 0, 0, 0), FIX_CODE, 5, 4, target);
		ADD(m, 0x40 | rex, 0xff, 0x44 | op, 0x24, disp);
	} else {
		fix(ADD(m, 0x48 | rex, 0xc7, 0x40 | low, disp, 0, 0, 0, 0), FIX_CODE, 4, 4, target);
		ADD(m, 0x40 | rex, 0xff, 0x40 | op | low, disp);
	}
}

/* push address; ret */
static void push_ret(struct making *m)
{
	fix(ADD(m, 0x68, 0, 0, 0, 0), FIX_CODE, 1, 4, m->s->count + 2 + rng_below(m->r, 4));
	ADD(m, 0xc3);
}

/* --- others ---------------------------------------------------------------------------------------- */

static struct item *load_address(struct making *m, unsigned reg)
{
	uint64_t a = address_random(m->r, m->pool->wild);

	return ADD(m, 0xb8 | reg, (uint8_t)a, (uint8_t)(a >> 8), (uint8_t)(a >> 16),
		(uint8_t)(a >> 24));
}

/* Puts what load_address() has loaded in a page that can only be read, or so many bytes before an end. */
static void move_address(struct rng *r, struct item *load, unsigned bytes)
{
	uint32_t a;

	if (!load || rng_once(r, 2))
		return;
	memcpy(&a, load->bytes + 1, 4);
	if (rng_once(r, 4))
		a = DATA_BASE + 4 * PAGE + rng_below(r, PAGE);
	if (rng_once(r, 2))
		a = (a | (PAGE - 1)) + 1 - bytes + (rng_once(r, 2) ? 0 : rng_below(r, 3) - 1);
	memcpy(load->bytes + 1, &a, 4);
}

static void string(struct making *m)
{
	/* beside the numbers of the sequence, which stay what they are for each seed */
	struct rng more = {~m->r->state};
	struct item *source, *target;
	static const uint8_t op[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
	unsigned opcode = op[rng_below(m->r, sizeof op)];
	struct item *i;
	uint8_t bytes[6];
	unsigned n = 0, count, size = opcode & 1 ? 4 : 1;

	if ((m->pool->pointers | m->pool->counters | m->pool->kept) &
		(1u << RCX | 1u << RSI | 1u << RDI))
		return;
	source = load_address(m, RSI);
	target = load_address(m, RDI);
	/* up to more than a page */
	if (m->pool->wild && rng_once(m->r, 4))
		count = 17 * rng_below(m->r, 255);
	else
		count = rng_below(m->r, 20);
	count_in_rcx(m, count);
	/* cmp or or byte [rdi], 0: that it can be read, or written, is known */
	if (rng_once(&more, 2))
		ADD(m, 0x80, rng_once(&more, 3) ? 0x3f : 0x0f, 0);
	if (rng_once(m->r, 4))
		ADD(m, 0xfd);
	if (m->pool->narrow || rng_once(m->r, 10))
		bytes[n++] = 0x67;
	if (m->pool->segments && rng_once(m->r, 5))
		bytes[n++] = rng_once(m->r, 2) ? 0x64 : 0x65;
	if (!rng_once(m->r, 4))
		bytes[n++] = rng_once(m->r, 2) ? 0xf2 : 0xf3;
	if (rng_once(m->r, 5)) {
		bytes[n++] = 0x66;
		size = opcode & 1 ? 2 : 1;
	}
	if (!m->pool->narrow && rng_once(m->r, 3)) {
		bytes[n++] = 0x48;
		size = opcode & 1 ? 8 : 1;
	}
	bytes[n++] = (uint8_t)opcode;
	i = sequence_add(m->s, bytes, n);
	if (i && m->pool->narrow)
		i->narrow = 1;
	move_address(&more, source, count * size);
	move_address(&more, target, count * size);
	if (rng_once(m->r, 2))
		ADD(m, 0xfc);
}

/* One of several by the same register: MOV either way, ADD either way, INC, MOVUPS, MOVAPS, IMUL. */
static void neighbour(struct making *m, struct rng *r, unsigned reg)
{
	static const uint8_t op[] = {0x8b, 0x89, 0x8b, 0x89, 0x01, 0x03, 0xff};
	static const uint8_t wide[] = {0x10, 0x11, 0x28, 0x29, 0xaf};
	unsigned rex = rng_once(r, 2) ? 0x48 : 0x40, disp = rng_below(r, 72);
	unsigned other = free_register(m) & 7;

	if ((other == reg || other == RCX || other == RSP ||
		    (m->pool->pointers | m->pool->counters | m->pool->kept) >> other & 1))
		other = reg == RAX ? RDX : RAX;
	if ((m->pool->pointers | m->pool->counters | m->pool->kept) >> other & 1)
		return;
	if (rng_once(r, 4)) {
		ADD(m, rex, 0x0f, wide[rng_below(r, sizeof wide)], 0x40 | other << 3 | reg, disp);
		return;
	}
	unsigned opcode = op[rng_below(r, sizeof op)];

	ADD(m, rex, opcode, 0x40 | (opcode == 0xff ? 0 : other << 3) | reg, disp);
}

/* Fields of a structure that lies about the end of a page, several times over. */
void make_neighbours(struct making *m, struct rng *r)
{
	uint32_t at = DATA_BASE + (1 + rng_below(r, DATA_PAGES - 1)) * PAGE - rng_below(r, 96);
	unsigned reg = free_register(m) & 7, back;
	bool again = rng_once(r, 2);

	if (reg == RSP || reg == RCX ||
		(m->pool->pointers | m->pool->counters | m->pool->kept | 1u << RSP) &
			(1u << reg | 1u << RCX))
		return;
	ADD(m, 0xb8 | reg, (uint8_t)at, (uint8_t)(at >> 8), (uint8_t)(at >> 16),
		(uint8_t)(at >> 24));
	if (rng_once(r, 2)) /* cmp byte [reg + 40], 0 */
		ADD(m, 0x80, 0x78 | reg, 40, 0);
	if (again)
		count_in_rcx(m, 2 + rng_below(r, 3));
	back = m->s->count;
	for (unsigned n = 2 + rng_below(r, 4); n > 0; n--)
		neighbour(m, r, reg);
	if (again)
		loop_end(m, back, false, 2);
}

static void store_zero(struct making *m, uint32_t at)
{
	tie(ADD(m, 0xc7, 0x04, 0x25, (uint8_t)at, (uint8_t)(at >> 8), (uint8_t)(at >> 16),
		(uint8_t)(at >> 24), 0, 0, 0, 0));
}

/*
 * FNSTENV, FNSAVE, FXSAVE, FXSAVE64 to an address that suits them all; the instruction and data
 * pointers are overwritten, since the guest has none.
 */
static void save_x87(struct making *m)
{
	static const uint8_t op[4][4] = {{0xd9, 0x34, 0x25}, {0xdd, 0x34, 0x25},
		{0x0f, 0xae, 0x04, 0x25}, {0x0f, 0xae, 0x04, 0x25}};
	uint32_t at = DATA_BASE + PAGE + 64 * rng_below(m->r, 120);
	unsigned kind = rng_below(m->r, 4), n = 0, first = 12, words = 4;
	uint8_t bytes[12];

	if (m->s->count + 8 > ITEMS)
		return;
	/* no trap in the middle: push 0x202; popfq */
	ADD(m, 0x68, 0x02, 0x02, 0, 0);
	tie(ADD(m, 0x9d));
	if (kind < 2 && rng_once(m->r, 4)) {
		bytes[n++] = 0x66;
		first = 6;
		words = 2;
	}
	if (kind == 3)
		bytes[n++] = 0x48;
	memcpy(bytes + n, op[kind], 4);
	n += kind < 2 ? 3 : 4;
	memcpy(bytes + n, &at, 4);
	tie(sequence_add(m->s, bytes, n + 4));
	if (kind >= 2) { /* FOP lies beside the tag word */
		first = 8;
		at += 6;
		tie(ADD(m, 0x66, 0xc7, 0x04, 0x25, (uint8_t)at, (uint8_t)(at >> 8),
			(uint8_t)(at >> 16), (uint8_t)(at >> 24), 0, 0));
		at -= 6;
	}
	for (unsigned k = 0; k < words; k++)
		store_zero(m, at + first + 4 * k);
}

/* An instruction changes the last byte of one that comes soon: mov reg, imm32. */
static void patch(struct making *m)
{
	unsigned reg = free_register(m) & 7, value = rng_below(m->r, 128), at = m->s->count;

	if (at + 3 > ITEMS ||
		(m->pool->pointers | m->pool->counters | m->pool->kept | 1u << RSP) >> reg & 1)
		return;
	fix(ADD(m, 0xc6, 0x05, 0, 0, 0, 0, value), FIX_PATCH, 2, 4, m->s->count + 1);
	if (rng_once(m->r, 2)) {
		tie(ADD(m, 0x90));
		m->s->item[at].target++;
	}
	tie(ADD(m, 0xb8 | reg, 1, 2, 3, 4));
}

static void flags(struct making *m)
{
	uint32_t v = (uint32_t)(rng_next(m->r) & (FL_STATUS | FL_NT | FL_ID | FL_DF | FL_TF));

	if (!rng_once(m->r, 4))
		v &= ~FL_DF;
	if (!rng_once(m->r, 4))
		v &= ~FL_TF;
	if (!m->g->nt)
		v &= ~FL_NT;
	v |= 0x202;
	ADD(m, 0x68, (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24));
	tie(ADD(m, 0x9d));
}

static void fs_base(struct making *m)
{
	unsigned reg = free_register(m), rex = reg >> 3;

	if (!m->g->fsgsbase || !m->pool->segments)
		return;
	if (rng_once(m->r, 2))
		rex |= 8;
	ADD(m, 0xf3, 0x40 | rex, 0x0f, 0xae,
		0xc0 | rng_below(m->r, rng_once(m->r, 6) ? 4 : 2) << 3 | (reg & 7));
}

void make_structured(struct making *m)
{
	static void (*const make[])(struct making *) = {jcc, jcc, jcc, jcc, jmp, jrcxz, loop, loop,
		string, string, call, call, indirect_register, indirect_memory, push_ret, patch,
		flags, fs_base, save_x87};

	/* the first ten are the same in 32-bit code */
	make[rng_below(m->r, m->pool->narrow ? 10 : sizeof make / sizeof *make)](m);
}
