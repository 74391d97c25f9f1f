/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/memory/walk.h"

#include "cpu/translate/hot.h"
#include "cpu/translate/vm.h"

#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)

struct format {
	unsigned levels, bits; /* levels of tables, index bits of each */
	bool wide;             /* 8-byte entries */
};

static struct format format_of(const struct cpu_state *s)
{
	if (s->efer & EFER_LMA)
		return (struct format){4, 9, true};
	if (s->cr4 & CR4_PAE)
		return (struct format){3, 9, true};
	return (struct format){2, 10, false};
}

/* An entry of a table, as it was read. Tables outside of memory read as not present and cannot be written. */
struct step {
	struct region *r;
	uint8_t *at; /* NULL: no memory is there */
	uint64_t value;
};

static struct step step_to(struct translate_vm *vm, uint64_t gpa)
{
	struct region *r = vm_region(vm, gpa);

	return (struct step){r, r ? r->host + (gpa - r->gpa) : NULL, 0};
}

static uint64_t entry_read(void *at, bool wide)
{
	if (!at)
		return 0;
	return wide ? __atomic_load_n((uint64_t *)at, __ATOMIC_ACQUIRE)
		    : __atomic_load_n((uint32_t *)at, __ATOMIC_ACQUIRE);
}

/* False: the entry changed meanwhile and the walk starts again. */
static bool entry_set(void *at, bool wide, uint64_t old, uint64_t bits)
{
	if (wide)
		return __atomic_compare_exchange_n((uint64_t *)at, &old, old | bits, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	uint32_t narrow = (uint32_t)old;

	return __atomic_compare_exchange_n((uint32_t *)at, &narrow, (uint32_t)(old | bits), false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* The same. What is read-only stays as it is. */
static bool entry_mark(const struct step *s, bool wide, uint64_t bits)
{
	if ((s->value & bits) == bits || s->r->read_only)
		return true;
	if (!entry_set(s->at, wide, s->value, bits))
		return false;
	region_mark(s->r, s->r->gpa + (uint64_t)(s->at - s->r->host));
	return true;
}

/* Reserved bits of an entry at a level (1 is the leaf table); SDM 3A, 4.5.4 and figure 4-11. */
static uint64_t reserved_bits(const struct cpu_state *s, struct format f, unsigned level,
	bool large, unsigned phys_bits)
{
	uint64_t bits = 0;

	if (!f.wide)
		/* 4 MiB pages: bits 13-20 carry address bits 32-39, as far as there are any */
		return !large             ? 0
			: phys_bits >= 40 ? 1ull << 21
					  : 0x3fffffull & ~0ull << (phys_bits - 19);
	bits = ~0ull << phys_bits & ~(0xfffull << 52);
	if (!(s->efer & EFER_NXE))
		bits |= PTE_NX;
	if (f.levels == 3) {
		bits |= 0x7ffull << 52;
		if (level == 3)
			return bits | PTE_NX | 0x1e6;
	}
	if (level == 4)
		bits |= PTE_PS;
	if (large)
		bits |= level == 2 ? 0x1fe000ull : 0x3fffe000ull;
	return bits;
}

static bool judge(const struct cpu_state *s, struct walk_access a, const struct walk *w)
{
	if (a.peek)
		return true;
	if (a.user && !w->user)
		return false;
	if (!a.user && a.no_user_pages && w->user && !a.fetch)
		return false;
	if (a.write && !w->writable && (a.user || s->cr0 & CR0_WP))
		return false;
	if (a.fetch && (w->no_execute || (!a.user && w->user && s->cr4 & CR4_SMEP)))
		return false;
	return true;
}

#define WALK_ABSENT 2

static int walk_once(struct translate_vm *vm, const struct cpu_state *s, uint64_t linear,
	struct walk_access a, struct walk *out, uint32_t *error)
{
	struct format f = format_of(s);
	unsigned phys_bits = vm->config.cpuid->phys_bits;
	uint64_t table = f.wide
		? s->cr3 & ((1ull << phys_bits) - 1) & (f.levels == 3 ? ~31ull : ~4095ull)
		: s->cr3 & 0xfffff000ull;
	struct step steps[4];
	unsigned level, count = 0;
	bool large = false;

	*error = (a.write ? PF_WRITE : 0) | (a.user ? PF_USER : 0) |
		(a.fetch && ((f.wide && s->efer & EFER_NXE) || s->cr4 & CR4_SMEP) ? PF_FETCH : 0);
	*out = (struct walk){.user = true, .writable = true};
	for (level = f.levels;; level--) {
		unsigned shift = 12 + f.bits * (level - 1);
		uint64_t index = linear >> shift & ((1u << f.bits) - 1);
		bool pdpte = f.levels == 3 && level == 3;
		uint64_t e, gpa;

		if (pdpte)
			index &= 3;
		gpa = table + index * (f.wide ? 8 : 4);
		steps[count] = step_to(vm, gpa);
		if (__builtin_expect(vm->lazy, 0) && steps[count].r &&
			!region_here(steps[count].r, gpa)) {
			out->gpa = gpa;
			return WALK_ABSENT;
		}
		steps[count].value = e = entry_read(steps[count].at, f.wide);
		if (!(e & PTE_P))
			return -1;
		large = level > 1 && !pdpte && level < 4 && e & PTE_PS &&
			(f.wide || s->cr4 & CR4_PSE);
		if (e & reserved_bits(s, f, level, large, phys_bits)) {
			*error |= PF_PRESENT | PF_RESERVED;
			return -1;
		}
		if (!pdpte) {
			out->user &= !!(e & PTE_U);
			out->writable &= !!(e & PTE_W);
			out->no_execute |= f.wide && e & PTE_NX;
			count++;
		}
		if (level == 1 || large) {
			uint64_t mask = (1ull << shift) - 1;
			uint64_t base = f.wide ? e & ((1ull << phys_bits) - 1) & ~mask & ~4095ull
				: large        ? (e & 0xffc00000) | (e & 0x1fe000) << 19
					       : e & 0xfffff000;

			out->page_bits = (uint8_t)shift;
			out->gpa = base | (linear & mask);
			out->global = e & PTE_G && s->cr4 & CR4_PGE;
			out->accessed = e & PTE_A;
			out->dirty = e & PTE_D;
			break;
		}
		table = f.wide ? e & ((1ull << phys_bits) - 1) & ~4095ull : e & 0xfffff000;
	}
	if (!judge(s, a, out)) {
		*error |= PF_PRESENT;
		return -1;
	}
	if (a.peek)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t bits = PTE_A | (a.write && i == count - 1 ? PTE_D : 0);

		if (!entry_mark(&steps[i], f.wide, bits))
			return 1;
	}
	out->dirty |= a.write;
	return 0;
}

int walk(struct translate_vm *vm, const struct cpu_state *state, uint64_t linear,
	struct walk_access access, struct walk *out, uint32_t *error)
{
	int r;

	if (!(state->cr0 & CR0_PG)) {
		*out = (struct walk){.gpa = linear & 0xffffffff,
			.page_bits = 12,
			.user = true,
			.writable = true,
			.dirty = true,
			.global = true};
		return 0;
	}
	do
		r = walk_once(vm, state, linear, access, out, error);
	while (r == 1);
	return r == WALK_ABSENT ? 1 : r;
}

bool walk_pdptes_good(struct translate_vm *vm, uint64_t cr3)
{
	uint64_t reserved = (~0ull << vm->config.cpuid->phys_bits) | 0x1e6;

	for (unsigned i = 0; i < 4; i++) {
		uint64_t e = entry_read(step_to(vm, (cr3 & 0xffffffe0) + 8 * i).at, true);

		if (e & PTE_P && e & reserved)
			return false;
	}
	return true;
}
