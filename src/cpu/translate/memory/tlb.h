/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Software TLBs. A context is the memory that %gs points to while translated
 * code runs: the vCPU structure, then the tables below, so that generated code
 * reaches them at constant offsets. There is one context for supervisor code
 * that must not touch user pages (SMAP), one for supervisor code that may, and
 * several for user code, one a PCID: system calls and context switches flush
 * nothing. Supervisor contexts are shared by all PCIDs; what is not global in
 * them goes when CR3 changes.
 *
 * Tables are indexed by bits 12-27 of the linear address. A tag is minus the
 * page's address (tlb_tag()), so that address + tag is the offset in the page
 * exactly if the entry is this page's; an empty entry holds the tag of a page
 * whose index bits belong elsewhere (tlb_empty()). A delta makes a host address
 * of a linear one.
 */
#ifndef DACH_CPU_TRANSLATE_TLB_H
#define DACH_CPU_TRANSLATE_TLB_H

#include <stdint.h>

#include "cpu/translate/vcpu.h"
#include "cpu/translate/memory/hostmap.h"

#define TLB_ENTRIES 65536u
#define JUMP_ENTRIES 32768u /* indexed by bits 2-16 of RIP; see tlb_remember_jump() */
#define JUMP_MASK ((JUMP_ENTRIES - 1ull) << 2)
#define JUMP_PAGE_ENTRIES 1024u /* of them, a page of code has so many in a row */
#define TLB_LOG 2048u

#define VCPU_PAGES_SIZE 0x8000u /* the vCPU structure, rounded up */

#define CTX_TAG_READ VCPU_PAGES_SIZE
#define CTX_TAG_WRITE (CTX_TAG_READ + 8 * TLB_ENTRIES)
#define CTX_DELTA (CTX_TAG_WRITE + 8 * TLB_ENTRIES)
#define CTX_JUMP_KEY (CTX_DELTA + 8 * TLB_ENTRIES)
#define CTX_JUMP_TARGET (CTX_JUMP_KEY + 8 * JUMP_ENTRIES)
#define CTX_HOSTMAP (CTX_JUMP_TARGET + 8 * JUMP_ENTRIES) /* hostmap.h */
#define CTX_SIZE (CTX_HOSTMAP + 4096)
enum { CTX_SUPER, CTX_SUPER_USER, CTX_USER_FIRST, CTX_COUNT = CTX_USER_FIRST + 6 };

struct fetch_entry {
	uint64_t page; /* linear address | 1, | 2 if global */
	uint64_t gpa;
};
#define FETCH_ENTRIES 256u

struct tlb {
	uint8_t *base;
	uint64_t *tag_read, *tag_write, *delta, *jump_key, *jump_target;
	uint64_t zero_key, zero_target; /* entry 0, which generated code does not see */
	unsigned pcid;                  /* of a user context; ~0u: free */
	uint64_t used;                  /* for LRU */
	bool fetched;                   /* `fetch` holds anything */
	bool fetched_nonglobal;         /* the jump cache holds code of pages that are not global */
	uint32_t jump_mode;             /* of the blocks in the jump cache */
	bool log_overflow;
	unsigned logged;
	uint16_t log[TLB_LOG]; /* entries to clear when what is not global goes */
	uint64_t touched[2 * TLB_ENTRIES / 512 / 64];    /* pages of tag_read, tag_write in use */
	uint64_t jumps_touched[JUMP_ENTRIES / 512 / 64]; /* pages of jump_key in use */
	uint64_t large[16]; /* by 2 MiB region: holds pieces of a larger page */
	uint64_t huge;      /* the same by GiB */
	struct fetch_entry fetch[FETCH_ENTRIES];
	uint64_t fills;          /* counts tlb_fill() */
	struct hostmap *hostmap; /* of user contexts; NULL: it can have none */
};

static inline unsigned tlb_index(uint64_t linear)
{
	return linear >> 12 & (TLB_ENTRIES - 1);
}

/*
 * Tags are negated page addresses, so that the sum of an address and the tag of its page is the offset
 * in the page. Page 0 is never in the TLB: its sum is the only one that has no carry, and the check in
 * gen_access.c takes the carry for granted.
 */
static inline uint64_t tlb_tag(uint64_t linear)
{
	return -(linear & ~4095ull);
}

static inline uint64_t tlb_empty(unsigned index)
{
	/*
	 * Zero stands for page 0. To the entries of page 0 and of its neighbours on both sides, whose
	 * accesses may begin or end there, it would be a page that they can meet; theirs is page 8.
	 */
	return index <= 1 || index == TLB_ENTRIES - 1 ? tlb_tag(0x8000) : 0;
}

/*
 * The check of generated code is two sums with carry: address + CF + tag, and that + tlb_limit() + the
 * first sum's carry. The second one carries if the access does not lie in the tag's page. With CF set it
 * also carries for an access whose last byte is its page's last: such a check fails without need.
 */
static inline uint64_t tlb_limit(unsigned size)
{
	return (uint64_t)size - 4098;
}

/* The CF that went into a sum. Tags are multiples of 4096, so the two carries show in the lowest bits. */
static inline bool tlb_carry(uint64_t sum, uint64_t linear, unsigned size)
{
	uint64_t both = sum - linear - tlb_limit(size), tag = both & ~4095ull;

	if ((both & 4095) != 1)
		return both & 4095;
	return linear + tag >= linear || !tag;
}

/* What makes a host address of a linear address in the entry's page. */
static inline uint64_t tlb_delta(uint64_t linear, const void *host_page)
{
	return (uint64_t)host_page + tlb_tag(linear);
}

static inline unsigned jump_index(uint64_t rip)
{
	return rip >> 2 & (JUMP_ENTRIES - 1);
}

static inline uint64_t jump_empty(unsigned index)
{
	return index ? 0 : -4ull;
}

/* fd: the vCPU's pages, mapped at the start of each. miss: where a jump that found nothing but entry 0 goes. */
int tlb_create(int fd, void (*miss)(void), struct tlb *contexts, struct error *err);
void tlb_destroy(struct tlb *contexts);
/* Forgets everything in the context. */
void tlb_clear(struct tlb *t);
/* The same, and its memory goes back to the host until it is filled again. The vCPU is in no translated code. */
void tlb_trim(struct tlb *t);
/*
 * Puts the code for rip into the jump cache, whose keys are negated RIPs, so that a sum of zero is a
 * hit. Generated code finds nothing in entry 0: a jump_mask of zero leads everything there, and so out.
 */
void tlb_remember_jump(struct tlb *t, uint64_t rip, const void *code);
/* The code for rip, or NULL. */
const void *tlb_jump(const struct tlb *t, uint64_t rip);
/* Any thread: forgets jumps to code that begins there in a page. */
void tlb_drop_target(struct tlb *t, unsigned offset, const void *code);
/* Forgets the jump cache and fetch entries. */
void tlb_clear_jumps(struct tlb *t);
/* Forgets the jump cache alone; also another vCPU's, while that is outside of translated code. */
void tlb_forget_jumps(struct tlb *t);
/* Forgets the jump to rip. */
void tlb_forget_jump(struct tlb *t, uint64_t rip);
/* Forgets jumps to this code; also another vCPU's, while that is outside of translated code. */
void tlb_forget_code(struct tlb *t, const void *code, uint64_t size);
/* Forgets what is not global. */
void tlb_clear_nonglobal(struct tlb *t);
/* Forgets one page (all of a large one). */
void tlb_clear_page(struct tlb *t, uint64_t linear);
/*
 * Where a page of memory may be writable, for all contexts of a vCPU: two indices, 0 for none; or
 * anywhere. Many pages have two linear addresses in a kernel; more at a time are rare.
 */
#define TLB_ANYWHERE ~0u
/* `where` with one more in it; what is not writable there any more makes room. */
uint32_t tlb_where(const struct tlb *contexts, uint32_t where, const void *host_page,
	unsigned index);
/* Any thread: takes write permission for the host page away. */
bool tlb_demote(struct tlb *t, const void *host_page, uint32_t where);
/*
 * The same for all pages of host memory, from host_page on, whose bits are set; bit `first` is the first
 * one's, and there are `count`.
 */
bool tlb_demote_all(struct tlb *t, const uint8_t *host_page, const uint64_t *bits, uint64_t first,
	uint64_t count);
/* Adds a page, unless it is page 0. page_bits: 12, 21, 22, 30. */
void tlb_fill(struct tlb *t, uint64_t linear, void *host_page, bool write, bool global,
	unsigned page_bits);

#endif
