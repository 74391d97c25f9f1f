/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences by their seeds. */
#include <errno.h>
#include <string.h>

#include "../layouts.h"
#include "making.h"

/* --- sequences --------------------------------------------------------------------------------------- */

static unsigned counter(struct rng *r, bool narrow)
{
	if (narrow)
		return rng_below(r, 8);
	return rng_once(r, 3) ? R10 + rng_below(r, 4) : rng_below(r, 16);
}

static void choose_pool(struct rng *r, struct pool *pool)
{
	unsigned pointers = 2 + rng_below(r, 3), counters = 1 + rng_below(r, 2);

	memset(pool, 0, sizeof *pool);
	pool->narrow = rng_once(r, 6);
	if (!rng_once(r, 8))
		pool->pointers = 1u << RSP;
	if (rng_once(r, 4))
		pool->pointers |= 1u << RBP;
	if (rng_once(r, 4))
		pool->pointers |= 1u << (pool->narrow ? RBX : R10 + rng_below(r, 4));
	while ((unsigned)__builtin_popcount(pool->pointers) < pointers)
		pool->pointers |= 1u << rng_below(r, pool->narrow ? 8 : 16);
	while ((unsigned)__builtin_popcount(pool->counters) < counters)
		pool->counters |= (1u << counter(r, pool->narrow)) & ~pool->pointers & ~(1u << RSP);
	pool->alias = !pool->narrow && rng_once(r, 2);
	pool->segments = rng_once(r, 3);
	pool->wild = rng_once(r, 3);
}

/* Bytes that natively would reach the kernel or change what this process may do. */
static bool dangerous(const uint8_t *code, unsigned from, unsigned to)
{
	for (unsigned i = from; i + 1 < to; i++) {
		if (code[i] == 0x0f && (code[i + 1] == 0x05 || code[i + 1] == 0x34))
			return true;
		if (code[i] == 0xcd && code[i + 1] == 0x80)
			return true;
		if (code[i] == 0x0f && code[i + 1] == 0x01 && code[i + 2] == 0xef)
			return true; /* WRPKRU */
	}
	return false;
}

static unsigned total(const struct sequence *s)
{
	unsigned size = END_LENGTH;

	for (unsigned k = 0; k < s->count; k++)
		size += s->item[k].length;
	return size;
}

static void place_somewhere(struct rng *r, struct sequence *s)
{
	unsigned size = total(s);

	if (rng_once(r, 3))
		s->offset = (1 + rng_below(r, CODE_PAGES - 1)) * PAGE - rng_below(r, size);
	else
		s->offset = rng_below(r, CODE_SIZE - size);
	if (rng_once(r, 4))
		s->offset &= ~63u;
}

static void settle_target(struct sequence *s, struct item *i)
{
	if (i->target > s->count)
		i->target = (uint8_t)s->count;
	while (i->fix != FIX_PATCH && i->target < s->count && s->item[i->target].tied)
		i->target++;
}

void generate(struct generator *g, uint64_t seed, struct sequence *s)
{
	static uint8_t code[CODE_SIZE + 16];
	struct rng r = {seed * 0x2545f4914f6cdd1d}, more = {~r.state};
	struct pool pool;
	struct making m = {g, &r, s, &pool};
	unsigned wanted;

	do {
		memset(s, 0, sizeof *s);
		s->seed = seed;
		s->supervisor = rng_once(&r, 4);
		s->data_seed = (uint32_t)rng_next(&r);
		choose_pool(&r, &pool);
		pool.segments &= g->fsgsbase;
		s->narrow = pool.narrow;
		wanted = 1 + rng_below(&r, rng_once(&r, 3) ? 4 : 26);
		for (unsigned tries = 0; s->count < wanted && tries < 100; tries++) {
			/* not in each sequence: what a seed once stood for must stay */
			if (seed % 4 == 3 && !g->only && !pool.narrow && rng_once(&more, 8))
				make_neighbours(&m, &more);
			if (!g->only && rng_once(&r, 6))
				make_structured(&m);
			else
				make_plain(&m);
		}
		for (unsigned k = 0; k < s->count; k++)
			settle_target(s, &s->item[k]);
		place_somewhere(&r, s);
		state_random(&r, &pool, g->fsgsbase, g->policy.xcr0, &s->in);
		if (!g->rsp)
			s->in.gpr[RSP] = (uint64_t)((int64_t)(s->in.gpr[RSP] << 16) >> 16);
		s->in.rip = sequence_address(s, 0);
	} while (dangerous(code, s->offset, sequence_place(s, code)));
}

/* A guest with as much of that layout as this host has, and without what such a processor has not. */
static int take_layout(struct cpuid_policy *policy, const char *name, struct error *err)
{
	struct layout layout = {0};
	uint32_t reg[4];
	int r;

	for (unsigned i = 0; i < LAYOUTS; i++)
		if (!strcmp(layouts[i].name, name))
			layout = layouts[i];
	if (!layout.name)
		return error_set(err, EINVAL, "no layout is called \"%s\"", name);
	r = cpuid_policy_init(policy, CPUID_TRANSLATE, 1,
		!(layout.xcr0 & XCR0_AVX)           ? "host,-avx"
			: layout.xcr0 & XCR0_AVX512 ? "host"
						    : "host,-avx512f",
		err);
	if (r)
		return r;
	layout.xcr0 &= policy->xcr0;
	cpuid_policy_read(policy, 0xd, 1, 0, 0, XCR0_X87, reg);
	layout_tell(policy, &layout, reg[0]);
	return 0;
}

int generator_init(struct generator *g, const char *only, const char *layout)
{
	struct error err = {0};

	memset(g, 0, sizeof *g);
	if (layout ? take_layout(&g->policy, layout, &err)
		   : cpuid_policy_init(&g->policy, CPUID_TRANSLATE, 1, NULL, &err)) {
		fprintf(stderr, "oracle: %s\n", err.text);
		return -1;
	}
	g->fsgsbase = native_fsgsbase();
	g->nt = native_keeps_nt();
	g->rsp = native_keeps_rsp();
	g->only = only;
	g->forms = form_table_create(&g->policy, only);
	return g->forms ? 0 : -1;
}

void generator_end(struct generator *g)
{
	form_table_destroy(g->forms);
}
