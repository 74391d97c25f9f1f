/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software TLB against a list of what it was told: whatever passes the
 * checks that generated code makes must be a page that was filled in and has
 * not been taken away since, and the access must lie in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/translate/memory/tlb.h"
#include "cpu/translate/vm.h"

#define STEPS 400000u
#define KNOWN 4096u

/* What was filled in for one page, and whether it must have been forgotten. */
struct page_entry {
	uint64_t page, host;
	uint8_t page_bits;
	bool valid, write, global;
};

struct rig {
	int fd;
	struct tlb *contexts, *t;
	struct page_entry known[KNOWN];
	unsigned count;
	uint64_t seed;
};

static uint64_t next(struct rig *r)
{
	/* splitmix64, Steele, Lea and Flood 2014 */
	uint64_t z = r->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* --- what generated code does ------------------------------------------------------------------ */

/* ADCX twice, with CF before it; whatever comes of it, the sum tells that again. */
static bool check_sum(const struct tlb *t, uint64_t ea, unsigned size, bool write, bool cf)
{
	unsigned index = ea >> 12 & 0xffff;
	unsigned __int128 sum =
		(unsigned __int128)ea + (write ? t->tag_write : t->tag_read)[index] + cf;

	sum = (unsigned __int128)(uint64_t)sum + tlb_limit(size) + (uint64_t)(sum >> 64);
	assert_int_equal(tlb_carry((uint64_t)sum, ea, size), cf);
	return !(sum >> 64);
}

/* Without ADCX: difference, mask. */
static bool check_difference(const struct tlb *t, uint64_t ea, unsigned size, bool write)
{
	unsigned index = ea >> 12 & 0xffff;
	uint64_t x = ea + (write ? t->tag_write : t->tag_read)[index];

	return !((x + size - 1) & ~4095ull);
}

/* The same by all ways; CF hides what ends with its page, and nothing else. */
static bool check(const struct tlb *t, uint64_t ea, unsigned size, bool write, uint64_t *host)
{
	bool hit = check_difference(t, ea, size, write);

	*host = ea + t->delta[ea >> 12 & 0xffff];
	assert_int_equal(check_sum(t, ea, size, write, false), hit);
	assert_int_equal(check_sum(t, ea, size, write, true), hit && (ea & 4095) + size != 4096);
	return hit;
}

/* --- the list -------------------------------------------------------------------------------------- */

static struct page_entry *lookup(struct rig *r, uint64_t page)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->known[i].page == page)
			return &r->known[i];
	return NULL;
}

/* Few enough regions that indices collide, with both ends of the table and of the address space. */
static uint64_t random_page(struct rig *r)
{
	static const uint64_t bases[] = {0, 0x10000000, 0x20000000, 0x7ffff0000000,
		0xffff800000000000, 0xfffffffff0000000, 0xffffffff80000000, 0x40000000, 0x40200000};
	static const uint64_t offsets[] = {0, 1, 2, 3, 0x1ff, 0x200, 0x201, 0xfffe, 0xffff, 0x8000};
	uint64_t a = next(r), page;

	page = bases[a % 9] + (offsets[a / 16 % 10] << 12);
	if (a >> 40 & 1)
		page += (a >> 41 & 7) << 12;
	return page & ~4095ull;
}

static unsigned random_bits(struct rig *r)
{
	switch (next(r) % 8) {
	case 0:
		return 21;
	case 1:
		return 22;
	case 2:
		return next(r) % 4 ? 12 : 30;
	default:
		return 12;
	}
}

static void fill(struct rig *r)
{
	uint64_t page = random_page(r), host = (next(r) & 0xffffffff000) + 0x100000000;
	struct page_entry *e = lookup(r, page);
	struct page_entry entry = {.page = page,
		.host = host,
		.page_bits = (uint8_t)random_bits(r),
		.valid = true,
		.write = next(r) % 2,
		.global = next(r) % 2};
	uint64_t unused;

	/* a page that is there is filled again only to become writable */
	if (check(r->t, page, 1, false, &unused)) {
		if (check(r->t, page, 1, true, &unused))
			return;
		assert_non_null(e);
		entry = *e;
		entry.write = true;
	}
	if (!e) {
		if (r->count == KNOWN)
			return;
		e = &r->known[r->count++];
	}
	*e = entry;
	tlb_fill(r->t, page + next(r) % 4096, (void *)entry.host, entry.write, entry.global,
		entry.page_bits);
	/* page 0 is never there */
	assert_int_equal(check(r->t, page, 1, false, &unused), page != 0);
	assert_int_equal(check(r->t, page, 1, true, &unused), page && entry.write);
}

static void try_access(struct rig *r)
{
	uint64_t ea = random_page(r) + (next(r) % 2 ? next(r) % 4096 : 4096 - next(r) % 64), host;
	unsigned size = next(r) % 4 ? 1u << next(r) % 7 : 1 + next(r) % 512;
	bool write = next(r) % 2;
	struct page_entry *e = lookup(r, ea & ~4095ull);

	if (!check(r->t, ea, size, write, &host))
		return;
	assert_non_null(e);
	assert_true(e->valid);
	assert_true(e->write || !write);
	assert_true((ea & 4095) + size <= 4096);
	assert_int_equal(host, e->host + (ea & 4095));
}

/* INVLPG forgets all of a large page, whichever of its addresses is named. */
static void clear_page(struct rig *r)
{
	uint64_t linear = random_page(r) + next(r) % 4096;

	tlb_clear_page(r->t, linear);
	for (unsigned i = 0; i < r->count; i++)
		if (!((r->known[i].page ^ linear) >> r->known[i].page_bits))
			r->known[i].valid = false;
}

static void demote(struct rig *r)
{
	struct page_entry *e;
	bool all = next(r) % 2;

	if (!r->count)
		return;
	e = &r->known[next(r) % r->count];
	tlb_demote(r->t, (void *)e->host,
		all ? TLB_ANYWHERE : tlb_where(r->contexts, 0, NULL, tlb_index(e->page)));
	for (unsigned i = 0; i < r->count; i++)
		if (r->known[i].host == e->host)
			r->known[i].write = false;
}

/* Nothing of the host page is writable in any context; pages come from random_page(). */
static void assert_demoted(struct rig *r, uint64_t host)
{
	static const unsigned starts[] = {0, 0x1f8, 0x8000, 0xfff8};

	for (unsigned n = 0; n < CTX_COUNT; n++)
		for (unsigned k = 0; k < 4 * 24; k++) {
			unsigned i = (starts[k / 24] + k % 24) & (TLB_ENTRIES - 1);

			assert_true(r->contexts[n].tag_write[i] == tlb_empty(i) ||
				r->contexts[n].delta[i] - r->contexts[n].tag_write[i] != host);
		}
}

/* As mmu.c fills and make.c watches: what is known of a page is enough to find all of it. */
static void test_where(void **state)
{
	struct rig *r = *state;
	uint32_t where[4] = {0};
	bool two = false;

	for (unsigned step = 0; step < STEPS / 4; step++) {
		struct tlb *t = &r->contexts[next(r) % CTX_COUNT];
		uint64_t page = random_page(r), k = next(r) % 4, host = 0x100000000 + (k << 12);
		unsigned what = next(r) % 100;

		if (what < 80) {
			tlb_clear_page(t, page); /* it may be another one's */
			where[k] = tlb_where(r->contexts, where[k], (void *)host, tlb_index(page));
			tlb_fill(t, page, (void *)host, true, next(r) % 2, 12);
			two |= where[k] != TLB_ANYWHERE && where[k] >> 16;
		} else if (what < 90) {
			for (unsigned n = 0; n < CTX_COUNT; n++)
				tlb_demote(&r->contexts[n], (void *)host, where[k]);
			where[k] = 0;
			assert_demoted(r, host);
		} else if (what < 99) {
			tlb_clear_nonglobal(t);
		} else {
			tlb_clear(t);
		}
	}
	assert_true(two);
	for (unsigned n = 0; n < CTX_COUNT; n++)
		tlb_clear(&r->contexts[n]);
}

/* Pages come and go at many addresses: two at a time are still known. */
static void test_where_moves(void **state)
{
	struct rig *r = *state;
	void *host = (void *)0x100000000;
	uint32_t where = 0;

	for (uint64_t page = 0x5000; page < 0x500000; page += 4096) {
		where = tlb_where(r->contexts, where, host, tlb_index(page));
		tlb_fill(r->t, page, host, true, true, 12);
		assert_int_not_equal(where, TLB_ANYWHERE);
		if (page > 0x5000)
			tlb_clear_page(r->t, page - 4096);
	}
	where = tlb_where(r->contexts, where, host, 1);
	tlb_fill(r->t, 0x1000, host, true, true, 12);
	assert_int_not_equal(where, TLB_ANYWHERE);
	assert_int_equal(tlb_where(r->contexts, where, host, 2), TLB_ANYWHERE);
	assert_int_equal(tlb_where(r->contexts, 0, host, 0), TLB_ANYWHERE);
	tlb_clear(r->t);
}

static void clear(struct rig *r, bool global)
{
	if (global)
		tlb_clear(r->t);
	else
		tlb_clear_nonglobal(r->t);
	for (unsigned i = 0; i < r->count; i++)
		if (global || !r->known[i].global)
			r->known[i].valid = false;
	if (global)
		r->count = 0;
}

static void test_random(void **state)
{
	struct rig *r = *state;

	for (unsigned n = 0; n < STEPS; n++) {
		unsigned what = next(r) % 1000;

		if (what < 300)
			fill(r);
		else if (what < 960)
			try_access(r);
		else if (what < 985)
			clear_page(r);
		else if (what < 995)
			demote(r);
		else
			clear(r, what == 999);
	}
	clear(r, true);
	for (unsigned n = 0; n < STEPS / 10; n++)
		try_access(r);
}

/* More pages than the log of what is not global holds. */
static void test_overflow(void **state)
{
	struct rig *r = *state;
	uint64_t host;

	for (unsigned n = 0; n < 2 * TLB_LOG; n++)
		tlb_fill(r->t, 0x5000000 + (uint64_t)n * 4096, (void *)0x1000000, true, false, 12);
	tlb_clear_nonglobal(r->t);
	for (unsigned n = 0; n < 2 * TLB_LOG; n++)
		assert_false(check(r->t, 0x5000000 + (uint64_t)n * 4096, 1, false, &host));
}

/* An empty table lets nothing through, about the ends of the table above all. */
static void test_empty(void **state)
{
	struct rig *r = *state;
	uint64_t host;

	tlb_clear(r->t);
	for (unsigned k = 0; k < 64; k++)
		for (int64_t page = -3; page < 5; page++)
			for (int at = -600; at < 600; at++) {
				uint64_t ea = ((uint64_t)k << 28) + (uint64_t)(page * 4096 + at);

				assert_false(check(r->t, ea, 512, true, &host));
				assert_false(check(r->t, ea, 1, false, &host));
			}
}

/* --- the jump cache --------------------------------------------------------------------------------- */

/* As mmu_fetch() and cache_find() do. */
static void jump_to(struct rig *r, uint64_t rip, bool global)
{
	struct fetch_entry *f = &r->t->fetch[rip >> 12 & (FETCH_ENTRIES - 1)];

	f->page = (rip & ~4095ull) | 1 | (global ? 2 : 0);
	r->t->fetched = true;
	if (!global)
		r->t->fetched_nonglobal = true;
	tlb_remember_jump(r->t, rip, r);
}

static bool jump_hits(struct rig *r, uint64_t rip)
{
	return tlb_jump(r->t, rip);
}

static void test_jumps(void **state)
{
	struct rig *r = *state;

	for (unsigned n = 0; n < 20000; n++) {
		uint64_t a = random_page(r) + next(r) % 4096, b = random_page(r) + next(r) % 4096;

		jump_to(r, a, true);
		jump_to(r, b, true);
		tlb_clear_page(r->t, a);
		assert_false(jump_hits(r, a));
		if ((a ^ b) >> 12 && jump_index(a) != jump_index(b))
			assert_true(jump_hits(r, b));
		jump_to(r, a, false);
		tlb_clear_nonglobal(r->t);
		assert_false(jump_hits(r, a));
	}
	tlb_clear(r->t);
	for (uint64_t rip = 0; rip < 2 * JUMP_ENTRIES; rip++)
		assert_false(jump_hits(r, rip));
}

/* Code that goes takes its entries along, also the one that stands apart; other code's stay. */
static void test_forget_code(void **state)
{
	struct rig *r = *state;
	const uint64_t rips[] = {0xffffffff81000000, 0x7f0000010000, 0x401234, 0xffffffff81002340};
	const uint8_t *code = (const uint8_t *)0x10000000;

	for (unsigned i = 0; i < sizeof rips / sizeof *rips; i++) {
		for (unsigned kind = 0; kind < 3; kind++) {
			tlb_clear_jumps(r->t);
			tlb_remember_jump(r->t, rips[i], code + 4096 + 64);
			assert_ptr_equal(tlb_jump(r->t, rips[i]), code + 4096 + 64);
			if (kind == 0)
				tlb_forget_code(r->t, code + 4096, 4096);
			else if (kind == 1)
				tlb_forget_code(r->t, code, 4096);
			else
				tlb_forget_jump(r->t, rips[i]);
			assert_int_equal(tlb_jump(r->t, rips[i]) != NULL, kind == 1);
		}
	}
	tlb_clear(r->t);
}

/* Of all entries that a place in a page may have, those go that lead to the code. */
static void test_drop_target(void **state)
{
	struct rig *r = *state;
	const uint8_t *code = (const uint8_t *)0x10000000;

	for (unsigned n = 0; n < 20000; n++) {
		uint64_t a = (next(r) % JUMP_ENTRIES) << 2, b = (next(r) % JUMP_ENTRIES) << 2;

		if (jump_index(a) == jump_index(b))
			continue;
		tlb_remember_jump(r->t, a, code);
		tlb_remember_jump(r->t, b, code + 64);
		tlb_drop_target(r->t, b & 4095, code);
		assert_int_equal(tlb_jump(r->t, a) != NULL, ((a ^ b) & 4095) != 0);
		tlb_drop_target(r->t, a & 4095, code);
		assert_null(tlb_jump(r->t, a));
		assert_ptr_equal(tlb_jump(r->t, b), code + 64);
		if (n % 64 == 0)
			tlb_clear_jumps(r->t);
	}
	tlb_clear(r->t);
}

static void nowhere(void)
{
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	struct error err = {0};

	r->fd = memfd_create("tlb", MFD_CLOEXEC);
	if (ftruncate(r->fd, VCPU_PAGES_SIZE))
		return -1;
	r->contexts = calloc(CTX_COUNT, sizeof *r->contexts);
	r->seed = 7;
	if (tlb_create(r->fd, nowhere, r->contexts, &err))
		return -1;
	r->t = &r->contexts[CTX_SUPER];
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	tlb_destroy(r->contexts);
	close(r->fd);
	free(r->contexts);
	free(r);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_where),
		cmocka_unit_test(test_where_moves),
		cmocka_unit_test(test_jumps),
		cmocka_unit_test(test_forget_code),
		cmocka_unit_test(test_drop_target),
	};

	return cmocka_run_group_tests_name("tlb", tests, setup, teardown);
}
