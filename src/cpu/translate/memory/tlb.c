/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/memory/tlb.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/translate/hot.h"

_Static_assert(sizeof(struct vcpu) <= VCPU_PAGES_SIZE, "the vCPU structure outgrew its pages");

/* Hot helpers may not call libc (vector registers are the guest's). */
static inline void zero(void *at, size_t quads)
{
	asm volatile("rep stosq" : "+D"(at), "+c"(quads) : "a"(0ul) : "memory");
}

static inline void put(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELAXED);
}

static void clear_entry(struct tlb *t, unsigned index)
{
	put(&t->tag_read[index], tlb_empty(index));
	put(&t->tag_write[index], tlb_empty(index));
}

/* The entries whose empty value is not zero. */
static void clear_ends(struct tlb *t)
{
	clear_entry(t, 0);
	clear_entry(t, 1);
	clear_entry(t, TLB_ENTRIES - 1);
}

int tlb_create(int fd, void (*miss)(void), struct tlb *contexts, struct error *err)
{
	for (unsigned i = 0; i < CTX_COUNT; i++) {
		struct tlb *t = &contexts[i];
		uint8_t *base = mmap(NULL, CTX_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (base == MAP_FAILED)
			return error_set(err, errno, "no memory for a TLB: %s", strerror(errno));
		t->base = base;
		if (mmap(base, VCPU_PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			    0) == MAP_FAILED)
			return error_set(err, errno, "cannot map a vCPU into its TLB: %s",
				strerror(errno));
		t->tag_read = (uint64_t *)(base + CTX_TAG_READ);
		t->tag_write = (uint64_t *)(base + CTX_TAG_WRITE);
		t->delta = (uint64_t *)(base + CTX_DELTA);
		t->jump_key = (uint64_t *)(base + CTX_JUMP_KEY);
		t->jump_target = (uint64_t *)(base + CTX_JUMP_TARGET);
		t->pcid = ~0u;
		clear_ends(t);
		t->jump_target[0] = (uint64_t)miss;
		tlb_clear_jumps(t);
	}
	return 0;
}

void tlb_destroy(struct tlb *contexts)
{
	for (unsigned i = 0; i < CTX_COUNT; i++)
		if (contexts[i].base)
			munmap(contexts[i].base, CTX_SIZE);
}

/*
 * An empty key must differ from every RIP that has its index: the guest may jump to any 64-bit
 * value, so the low bits make the difference. Any RIP may come to entry 0, whose target is `miss`.
 */
static uint64_t *jump_key(struct tlb *t, unsigned i)
{
	return i ? &t->jump_key[i] : &t->zero_key;
}

static uint64_t *jump_target(struct tlb *t, unsigned i)
{
	return i ? &t->jump_target[i] : &t->zero_target;
}

static void drop_jump(struct tlb *t, unsigned i)
{
	put(jump_key(t, i), jump_empty(i));
}

void tlb_drop_target(struct tlb *t, unsigned offset, const void *code)
{
	unsigned within = jump_index(offset);

	_Static_assert(JUMP_PAGE_ENTRIES == 2 * 512, "every second page of keys may have it");
	for (unsigned w = 0; w < sizeof t->jumps_touched / 8; w++) {
		uint64_t pages = __atomic_load_n(&t->jumps_touched[w], __ATOMIC_RELAXED) &
			~0ull / 3 << within / 512;

		for (; pages; pages &= pages - 1) {
			unsigned i =
				512 * (64 * w + (unsigned)__builtin_ctzll(pages)) + within % 512;

			if (*jump_target(t, i) == (uint64_t)code)
				drop_jump(t, i);
		}
	}
}

void tlb_forget_jumps(struct tlb *t)
{
	for (unsigned w = 0; w < sizeof t->jumps_touched / 8; w++) {
		for (uint64_t bits = t->jumps_touched[w]; bits; bits &= bits - 1)
			zero(t->jump_key + 512 * (64 * w + (unsigned)__builtin_ctzll(bits)), 512);
		t->jumps_touched[w] = 0;
	}
	drop_jump(t, 0);
}

void tlb_remember_jump(struct tlb *t, uint64_t rip, const void *code)
{
	unsigned i = jump_index(rip);

	put(&t->jumps_touched[i / 512 / 64], t->jumps_touched[i / 512 / 64] | 1ull << i / 512 % 64);
	/* another vCPU that forgets a block looks at targets: never a new one with the old key */
	drop_jump(t, i);
	put(jump_target(t, i), (uint64_t)code);
	put(jump_key(t, i), -rip);
}

const void *tlb_jump(const struct tlb *t, uint64_t rip)
{
	unsigned i = jump_index(rip);

	if (!i)
		return t->zero_key == -rip ? (const void *)t->zero_target : NULL;
	return t->jump_key[i] == -rip ? (const void *)t->jump_target[i] : NULL;
}

void tlb_forget_jump(struct tlb *t, uint64_t rip)
{
	drop_jump(t, jump_index(rip));
}

void tlb_forget_code(struct tlb *t, const void *code, uint64_t size)
{
	for (unsigned i = 0; i < JUMP_ENTRIES; i++) {
		if (!(t->jumps_touched[i / 512 / 64] >> i / 512 % 64 & 1))
			i |= 511;
		else if (*jump_target(t, i) - (uint64_t)code < size)
			drop_jump(t, i);
	}
}

void tlb_clear_jumps(struct tlb *t)
{
	tlb_forget_jumps(t);
	if (t->fetched)
		zero(t->fetch, sizeof t->fetch / 8);
	t->fetched = t->fetched_nonglobal = false;
}

void tlb_clear(struct tlb *t)
{
	for (unsigned w = 0; w < sizeof t->touched / 8; w++) {
		uint64_t bits = t->touched[w];

		while (bits) {
			unsigned page = w * 64 + __builtin_ctzll(bits);

			zero(t->tag_read + page * 512, 512);
			bits &= bits - 1;
		}
		t->touched[w] = 0;
	}
	clear_ends(t);
	zero(t->large, sizeof t->large / 8);
	t->huge = 0;
	t->logged = 0;
	t->log_overflow = false;
	tlb_clear_jumps(t);
	hostmap_clear(t->hostmap);
}

void tlb_trim(struct tlb *t)
{
	const uint64_t miss = t->jump_target[0];

	tlb_clear(t);
	madvise(t->tag_read, CTX_HOSTMAP - CTX_TAG_READ, MADV_DONTNEED);
	clear_ends(t);
	t->jump_target[0] = miss;
}

void tlb_clear_nonglobal(struct tlb *t)
{
	if (t->log_overflow) {
		tlb_clear(t);
		return;
	}
	for (unsigned i = 0; i < t->logged; i++)
		clear_entry(t, t->log[i]);
	t->logged = 0;
	if (t->fetched_nonglobal)
		tlb_clear_jumps(t);
}

static void clear_range(struct tlb *t, uint64_t start, uint64_t size)
{
	unsigned count = size >> 12 > TLB_ENTRIES ? TLB_ENTRIES : (unsigned)(size >> 12);

	for (unsigned i = 0; i < count; i++) {
		unsigned index = (tlb_index(start) + i) & (TLB_ENTRIES - 1);

		if ((-t->tag_read[index] & ~(size - 1)) == start ||
			(-t->tag_write[index] & ~(size - 1)) == start)
			clear_entry(t, index);
	}
	/* all code of the range: rare enough to forget every jump */
	tlb_clear_jumps(t);
}

void tlb_clear_page(struct tlb *t, uint64_t linear)
{
	uint64_t page = linear & ~4095ull;
	struct fetch_entry *f = &t->fetch[linear >> 12 & (FETCH_ENTRIES - 1)];
	unsigned index = tlb_index(linear);

	hostmap_clear_page(t->hostmap, linear);
	if (t->huge >> (linear >> 30 & 63) & 1) {
		clear_range(t, linear & ~((1ull << 30) - 1), 1ull << 30);
		return;
	}
	if (t->large[linear >> 27 & 15] >> (linear >> 21 & 63) & 1)
		clear_range(t, linear & ~((1ull << 21) - 1), 1ull << 21);
	if (t->tag_read[index] == tlb_tag(page) || t->tag_write[index] == tlb_tag(page))
		clear_entry(t, index);
	if (f->page) {
		/* any page that shares the entry may have put code of `page` out of it, not out of the jumps */
		unsigned first = jump_index(page);

		for (unsigned i = first; i < first + JUMP_PAGE_ENTRIES; i++)
			if ((-*jump_key(t, i) & ~4095ull) == page)
				drop_jump(t, i);
		if ((f->page & ~4095ull) == page)
			f->page = 1;
	}
}

static bool is_touched(const struct tlb *t, unsigned page)
{
	return __atomic_load_n(&t->touched[page / 64], __ATOMIC_RELAXED) >> page % 64 & 1;
}

/*
 * The host page that an entry lets be written, or 0. Also another vCPU's, which may be giving the entry to
 * another page: its tag is empty meanwhile.
 */
static uint64_t writable_host(const struct tlb *t, unsigned index)
{
	uint64_t tag, delta;

	do {
		tag = __atomic_load_n(&t->tag_write[index], __ATOMIC_ACQUIRE);
		delta = __atomic_load_n(&t->delta[index], __ATOMIC_ACQUIRE);
	} while (tag != __atomic_load_n(&t->tag_write[index], __ATOMIC_RELAXED));
	return tag != tlb_empty(index) ? delta - tag : 0;
}

static bool writes(const struct tlb *t, uint64_t host, unsigned index)
{
	return writable_host(t, index) == host;
}

static bool demote_entry(struct tlb *t, uint64_t host, unsigned index)
{
	if (!writes(t, host, index))
		return false;
	put(&t->tag_write[index], tlb_empty(index));
	return true;
}

/* The page of tag_write that holds an entry; what was never touched is not looked at. */
static unsigned write_page(unsigned index)
{
	return (TLB_ENTRIES + index) / 512;
}

uint32_t tlb_where(const struct tlb *contexts, uint32_t where, const void *host_page,
	unsigned index)
{
	uint32_t at[2] = {where & 0xffff, where >> 16};

	if (where == TLB_ANYWHERE || !index)
		return TLB_ANYWHERE;
	if (at[0] == index || at[1] == index)
		return where;
	for (unsigned k = 0; k < 2; k++) {
		bool used = false;

		for (unsigned n = 0; at[k] && n < CTX_COUNT && !used; n++)
			used = is_touched(&contexts[n], write_page(at[k])) &&
				writes(&contexts[n], (uint64_t)host_page, at[k]);
		if (!used)
			return at[!k] << 16 | index;
	}
	return TLB_ANYWHERE;
}

bool tlb_demote(struct tlb *t, const void *host_page, uint32_t where)
{
	uint64_t host = (uint64_t)host_page;
	bool found = false;

	if (where != TLB_ANYWHERE) {
		for (; where; where >>= 16)
			if (where & 0xffff && is_touched(t, write_page(where & 0xffff)))
				found |= demote_entry(t, host, where & 0xffff);
		return found;
	}
	for (unsigned first = 0; first < TLB_ENTRIES; first += 512)
		for (unsigned i = first; is_touched(t, write_page(first)) && i < first + 512; i++)
			found |= demote_entry(t, host, i);
	return found;
}

bool tlb_demote_all(struct tlb *t, const uint8_t *host_page, const uint64_t *bits, uint64_t first,
	uint64_t count)
{
	bool found = false;

	for (unsigned from = 0; from < TLB_ENTRIES; from += 512)
		for (unsigned i = from; is_touched(t, write_page(from)) && i < from + 512; i++) {
			uint64_t host = writable_host(t, i);
			uint64_t page = (host - (uint64_t)host_page) >> 12;

			if (host && page < count &&
				bits[(first + page) / 64] >> (first + page) % 64 & 1)
				found |= demote_entry(t, host, i);
		}
	return found;
}

void tlb_fill(struct tlb *t, uint64_t linear, void *host_page, bool write, bool global,
	unsigned page_bits)
{
	uint64_t tag = tlb_tag(linear);
	unsigned index = tlb_index(linear), slot = index / 512;

	if (!tag)
		return;

	t->fills++;
	if (page_bits == 21)
		t->large[linear >> 27 & 15] |= 1ull << (linear >> 21 & 63);
	else if (page_bits > 21)
		t->huge |= 1ull << (linear >> 30 & 63);
	if (t->tag_read[index] != tag) {
		/* the host address must never be seen with another page's tag */
		clear_entry(t, index);
		if (!global) {
			if (t->logged < TLB_LOG)
				t->log[t->logged++] = (uint16_t)index;
			else
				t->log_overflow = true;
		}
	}
	put(&t->delta[index], tlb_delta(linear, host_page));
	t->touched[slot / 64] |= 1ull << slot % 64;
	put(&t->tag_read[index], tag);
	if (write) {
		slot += TLB_ENTRIES / 512;
		t->touched[slot / 64] |= 1ull << slot % 64;
		put(&t->tag_write[index], tag);
	}
}
