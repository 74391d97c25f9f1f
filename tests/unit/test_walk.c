/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page walks against a plain walker that follows the tables and figures of Intel
 * SDM 3A chapter 4 one mode at a time: random tables, every mode, every access.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/state.h"
#include "cpu/translate/vm.h"
#include "cpu/translate/memory/walk.h"

#define PAGES 96u
#define RAM (PAGES * 4096u)
#define ROUNDS 600u
#define WALKS 300u

struct rig {
	struct translate_vm *vm;
	struct cpuid_policy policy;
	uint8_t *ram, *reference;
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

static bool once(struct rig *r, unsigned n)
{
	return next(r) % n == 0;
}

/* --- the plain walker --------------------------------------------------------------------------- */

struct plain {
	uint64_t gpa;
	unsigned page_bits;
	bool user, writable, global, dirty, no_execute;
	bool fault;
	uint32_t error;
};

static uint64_t load(struct rig *r, uint64_t gpa, unsigned size)
{
	uint64_t v = 0;

	if (gpa < RAM)
		memcpy(&v, r->reference + gpa, size);
	return v;
}

static void set_bits(struct rig *r, uint64_t gpa, uint64_t bits)
{
	r->reference[gpa] |= (uint8_t)bits;
}

static uint64_t bits(unsigned high, unsigned low)
{
	return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

/* Entries met on the way, for accessed and dirty bits. */
struct trail {
	uint64_t gpa[4];
	unsigned count;
};

static void deny(struct plain *p, uint32_t error)
{
	p->fault = true;
	p->error |= error;
}

static void take_rights(struct plain *p, uint64_t entry, bool has_nx)
{
	p->user = p->user && (entry & 4);
	p->writable = p->writable && (entry & 2);
	p->no_execute = p->no_execute || (has_nx && entry >> 63);
}

static void leaf(struct plain *p, const struct cpu_state *s, uint64_t entry, uint64_t frame,
	uint64_t linear, unsigned page_bits)
{
	p->gpa = frame | (linear & bits(page_bits - 1, 0));
	p->page_bits = page_bits;
	p->global = (entry >> 8 & 1) && (s->cr4 & CR4_PGE);
	p->dirty = entry >> 6 & 1;
}

/* 4.3, figure 4-4 */
static void walk_32(struct rig *r, const struct cpu_state *s, uint32_t linear, struct plain *p,
	struct trail *t)
{
	unsigned m = r->policy.phys_bits < 40 ? r->policy.phys_bits : 40;
	uint64_t at = (s->cr3 & 0xfffff000) + (linear >> 22) * 4, e = load(r, at, 4);

	if (!(e & 1)) {
		deny(p, 0);
		return;
	}
	t->gpa[t->count++] = at;
	take_rights(p, e, false);
	if (e & 0x80 && s->cr4 & CR4_PSE) {
		if (e & bits(21, m - 19)) {
			deny(p, 9);
			return;
		}
		leaf(p, s, e, (e & bits(31, 22)) | (e & bits(20, 13)) << 19, linear, 22);
		return;
	}
	at = (e & 0xfffff000) + (linear >> 12 & 0x3ff) * 4;
	e = load(r, at, 4);
	if (!(e & 1)) {
		deny(p, 0);
		return;
	}
	t->gpa[t->count++] = at;
	take_rights(p, e, false);
	leaf(p, s, e, e & 0xfffff000, linear, 12);
}

/* One level of 8-byte entries; true at a leaf or a fault. */
static bool level(struct rig *r, const struct cpu_state *s, uint64_t linear, struct plain *p,
	struct trail *t, uint64_t *table, unsigned shift, bool may_map, bool pae)
{
	unsigned m = r->policy.phys_bits;
	uint64_t at = *table + (linear >> shift & 0x1ff) * 8, e = load(r, at, 8);
	uint64_t reserved = bits(51, m) | (s->efer & EFER_NXE ? 0 : 1ull << 63);
	bool maps = shift == 12 || (may_map && e & 0x80);

	if (pae)
		reserved |= bits(62, 52);
	if (!(e & 1)) {
		deny(p, 0);
		return true;
	}
	if (shift == 39)
		reserved |= 0x80;
	if (maps)
		reserved |= bits(shift - 1, 13);
	if (e & reserved) {
		deny(p, 9);
		return true;
	}
	t->gpa[t->count++] = at;
	take_rights(p, e, true);
	if (maps) {
		leaf(p, s, e, e & bits(m - 1, shift), linear, shift);
		return true;
	}
	*table = e & bits(m - 1, 12);
	return false;
}

/* 4.4, figure 4-7. The PDPTEs are read from memory, where the processor has them in registers. */
static void walk_pae(struct rig *r, const struct cpu_state *s, uint32_t linear, struct plain *p,
	struct trail *t)
{
	uint64_t e = load(r, (s->cr3 & 0xffffffe0) + (linear >> 30) * 8, 8), table;

	if (!(e & 1)) {
		deny(p, 0);
		return;
	}
	if (e & (bits(63, r->policy.phys_bits) | bits(8, 5) | bits(2, 1))) {
		deny(p, 9);
		return;
	}
	table = e & bits(r->policy.phys_bits - 1, 12);
	if (!level(r, s, linear, p, t, &table, 21, true, true))
		level(r, s, linear, p, t, &table, 12, true, true);
}

/* 4.5, figure 4-11 */
static void walk_64(struct rig *r, const struct cpu_state *s, uint64_t linear, struct plain *p,
	struct trail *t)
{
	uint64_t table = s->cr3 & bits(r->policy.phys_bits - 1, 12);

	for (unsigned shift = 39; !level(r, s, linear, p, t, &table, shift, shift != 39, false);)
		shift -= 9;
}

/* 4.6.1, and the error code of 4.7 */
static void judge(const struct cpu_state *s, struct walk_access a, struct plain *p)
{
	bool allowed;

	if (a.fetch)
		allowed = !p->no_execute && (a.user ? p->user : !(p->user && s->cr4 & CR4_SMEP));
	else if (a.user)
		allowed = p->user && (!a.write || p->writable);
	else
		allowed = !(p->user && a.no_user_pages) &&
			(!a.write || p->writable || !(s->cr0 & CR0_WP));
	if (!allowed)
		deny(p, 1);
}

static struct plain plain_walk(struct rig *r, const struct cpu_state *s, uint64_t linear,
	struct walk_access a)
{
	struct plain p = {.user = true, .writable = true};
	struct trail t = {.count = 0};

	if (a.write)
		p.error |= 2;
	if (a.user)
		p.error |= 4;
	if (a.fetch && ((s->cr4 & CR4_PAE && s->efer & EFER_NXE) || s->cr4 & CR4_SMEP))
		p.error |= 16;
	if (s->efer & EFER_LMA)
		walk_64(r, s, linear, &p, &t);
	else if (s->cr4 & CR4_PAE)
		walk_pae(r, s, (uint32_t)linear, &p, &t);
	else
		walk_32(r, s, (uint32_t)linear, &p, &t);
	if (!p.fault && !a.peek)
		judge(s, a, &p);
	if (p.fault || a.peek)
		return p;
	for (unsigned i = 0; i < t.count; i++)
		set_bits(r, t.gpa[i], 0x20 | (a.write && i == t.count - 1 ? 0x40 : 0));
	p.dirty |= a.write;
	return p;
}

/* --- random tables ----------------------------------------------------------------------------------- */

static uint64_t random_entry(struct rig *r, unsigned size)
{
	uint64_t e = next(r) % PAGES << 12 | (next(r) & 0xf7e), v = next(r);

	if (once(r, 12))
		e = next(r); /* anything */
	if (!once(r, 8))
		e |= 1;
	if (once(r, 2))
		e |= 6;
	if (!once(r, 4))
		e &= ~0x80ull;
	else
		e |= 0x80;
	if (e & 0x80 && !once(r, 4)) /* mostly a large page that is aligned */
		e &= ~(size == 4 ? 0x3ff000ull : once(r, 2) ? 0x1ff000ull : 0x3ffff000ull);
	if (size == 8 && once(r, 6))
		e |= 1ull << 63;
	if (size == 8 && once(r, 20))
		e |= 1ull << (12 + v % 52);
	return e;
}

static void random_tables(struct rig *r, unsigned size)
{
	for (unsigned at = 0; at < RAM; at += size) {
		uint64_t e = random_entry(r, size);

		memcpy(r->ram + at, &e, size);
	}
	/* PDPTEs of PAE would nearly all have reserved bits */
	for (unsigned at = 0; size == 8 && at < 32 * 64; at += 8)
		if (!once(r, 8)) {
			uint64_t e = next(r) % PAGES << 12 | 1;

			memcpy(r->ram + at, &e, 8);
		}
}

enum mode { MODE_LEGACY, MODE_PAE, MODE_LONG };

static void random_state(struct rig *r, struct cpu_state *s, enum mode mode)
{
	memset(s, 0, sizeof *s);
	s->cr0 = CR0_PE | CR0_PG | (once(r, 3) ? 0 : CR0_WP);
	s->cr4 = (once(r, 2) ? CR4_SMEP : 0) | (once(r, 2) ? CR4_SMAP : 0) |
		(once(r, 2) ? CR4_PGE : 0) | (once(r, 3) ? 0 : CR4_PSE);
	s->efer = once(r, 3) ? 0 : EFER_NXE;
	s->cr3 = next(r) % PAGES << 12;
	if (mode == MODE_PAE)
		s->cr3 = next(r) % 64 * 32;
	if (mode != MODE_LEGACY)
		s->cr4 |= CR4_PAE;
	if (mode == MODE_LONG) {
		s->efer |= EFER_LME | EFER_LMA;
		s->cr3 |= next(r) & 0xfff; /* PCID or PWT, PCD: not part of the address */
	}
}

static struct walk_access random_access(struct rig *r, const struct cpu_state *s)
{
	struct walk_access a = {.user = once(r, 2), .peek = once(r, 12)};

	a.fetch = once(r, 3);
	a.write = !a.fetch && once(r, 2);
	a.no_user_pages = !a.user && s->cr4 & CR4_SMAP && once(r, 2);
	if (a.peek)
		a = (struct walk_access){.peek = true};
	return a;
}

static void check(struct rig *r, const struct cpu_state *s, uint64_t linear, struct walk_access a)
{
	struct plain p = plain_walk(r, s, linear, a);
	struct walk w;
	uint32_t error = 0;
	int result = walk(r->vm, s, linear, a, &w, &error);

	assert_int_equal(result, p.fault ? -1 : 0);
	if (p.fault) {
		assert_int_equal(error, p.error);
		return;
	}
	assert_int_equal(w.gpa, p.gpa);
	assert_int_equal(w.page_bits, p.page_bits);
	assert_int_equal(w.user, p.user);
	assert_int_equal(w.writable, p.writable);
	assert_int_equal(w.global, p.global);
	assert_int_equal(w.dirty, p.dirty);
	assert_int_equal(w.no_execute, p.no_execute);
}

static void walks(struct rig *r, enum mode mode)
{
	static const uint8_t widths[] = {36, 39, 40, 46, 52};
	struct cpu_state s;

	for (unsigned round = 0; round < ROUNDS; round++) {
		r->policy.phys_bits = widths[next(r) % sizeof widths];
		if (round % 20 == 0) {
			random_tables(r, mode == MODE_LEGACY ? 4 : 8);
			memcpy(r->reference, r->ram, RAM);
		}
		random_state(r, &s, mode);
		for (unsigned n = 0; n < WALKS; n++) {
			uint64_t linear = mode == MODE_LONG ? next(r) : (uint32_t)next(r);

			check(r, &s, linear, random_access(r, &s));
		}
		/* accessed and dirty bits, and nothing else */
		assert_memory_equal(r->ram, r->reference, RAM);
	}
}

static void test_legacy(void **state)
{
	walks(*state, MODE_LEGACY);
}

static void test_pae(void **state)
{
	walks(*state, MODE_PAE);
}

static void test_long(void **state)
{
	walks(*state, MODE_LONG);
}

static void test_no_paging(void **state)
{
	struct rig *r = *state;
	struct cpu_state s = {.cr0 = CR0_PE};
	struct walk w;
	uint32_t error;

	assert_int_equal(walk(r->vm, &s, 0x123456789, (struct walk_access){.write = true}, &w,
				 &error),
		0);
	assert_int_equal(w.gpa, 0x23456789);
	assert_true(w.user && w.writable && w.dirty && !w.no_execute);
}

/* What MOV CR3 looks at under PAE paging. */
static void test_pdptes(void **state)
{
	struct rig *r = *state;
	uint64_t *entry = (uint64_t *)(r->ram + 0x1020);

	r->policy.phys_bits = 40;
	memset(r->ram, 0, 0x2000);
	assert_true(walk_pdptes_good(r->vm, 0x1020));
	entry[0] = 0x5001;
	entry[3] = 0xe1e6; /* not present: the rest does not count */
	assert_true(walk_pdptes_good(r->vm, 0x1020));
	assert_true(walk_pdptes_good(r->vm, 0x1020 | 0x18)); /* PWT and PCD */
	for (unsigned bit = 1; bit < 64; bit++) {
		bool reserved = bit >= 40 || 0x1e6ull >> bit & 1;

		entry[2] = 1ull << bit | 1;
		assert_int_equal(walk_pdptes_good(r->vm, 0x1020), !reserved);
	}
	assert_true(walk_pdptes_good(r->vm, RAM)); /* where there is no memory */
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);

	r->vm = calloc(1, sizeof *r->vm);
	r->ram = calloc(1, RAM);
	r->reference = calloc(1, RAM);
	r->seed = 42;
	r->vm->config.cpuid = &r->policy;
	r->vm->regions = 1;
	r->vm->region[0] = (struct region){.size = RAM, .host = r->ram};
	r->vm->largest = r->vm->by_gpa[0] = &r->vm->region[0];
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	free(r->vm);
	free(r->ram);
	free(r->reference);
	free(r);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_paging),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_pae),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_pdptes),
	};

	return cmocka_run_group_tests_name("walk", tests, setup, teardown);
}
