/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code cache: translated blocks, how they are found, linked and forgotten.
 * One for all vCPUs of a guest; its lock is held to translate, link, invalidate
 * and find. Code memory is one memfd mapped twice, writable here and executable
 * there.
 */
#ifndef DACH_CPU_TRANSLATE_CACHE_H
#define DACH_CPU_TRANSLATE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/translate/decode/insn.h"
#include "cpu/translate/lock.h"
#include "cpu/translate/cache/table.h"
#include "cpu/translate/vcpu.h"

struct translate_vm;
struct page;

/* What a block's code depends on beside its bytes. */
#define MODE_BITS 0x3u /* 0: 16-bit, 1: 32-bit, 2: 64-bit code */
#define MODE_16 0u
#define MODE_32 1u
#define MODE_64 2u
#define MODE_USER 0x4u     /* CPL 3 */
#define MODE_FLAT 0x8u     /* not 64-bit: CS, DS, ES, SS start at 0 and have no limit */
#define MODE_FS_OPEN 0x10u /* FS, GS are writable and have no limit */
#define MODE_GS_OPEN 0x20u
#define MODE_SS32 0x40u     /* 32-bit stack */
#define MODE_STEP 0x80u     /* one instruction a block, then out */
#define MODE_FPU_OFF 0x100u /* CR0.EM or TS */
#define MODE_SSE 0x200u     /* CR4.OSFXSR */
#define MODE_AVX 0x400u     /* XCR0 has AVX */
#define MODE_AVX512 0x800u
#define MODE_TSD 0x1000u        /* RDTSC is privileged here */
#define MODE_RING0 0x4000u      /* CPL 0 */
#define MODE_HOSTMAP 0x8000u    /* memory by way of windows, see hostmap.h */
#define MODE_ALIGN 0x2000u      /* alignment checking is on (CR0.AM, RFLAGS.AC, CPL 3) */
#define MODE_UNGROUPED 0x10000u /* each memory access has a check of its own, see gen_group.c */

#define BLOCK_MAX_INSNS 64u
/* Bytes of an exit's stub; behind that of an exit to another page is code that asks the jump cache. */
#define EXIT_STUB_SIZE 20u

struct tblock {
	uint64_t gpa;             /* of its first byte */
	uint64_t base;            /* MODE_HOSTMAP: of the code page, which the code knows; else 0 */
	uint32_t code, cold;      /* offsets of its two parts; entered at code with r10 = RIP ... */
	uint32_t next_in_page[2]; /* in the lists of its first and its second page */
	uint32_t incoming;        /* exits linked to it */
	uint32_t first_fixup;
	uint32_t second_page; /* number of the page that it ends in, if it crosses */
	uint32_t mode;        /* MODE_* */
	uint16_t code_size, cold_size;
	uint16_t size; /* guest bytes */
	uint16_t fixups;
	uint8_t insns, exits;
	uint8_t same_page_entry;    /* ... or this far behind code, from a block of the same page */
	bool dead : 1, crosses : 1; /* crosses: its one instruction lies in two pages */
};

/* A direct jump out of a block. */
struct block_exit {
	uint32_t block;         /* it belongs to */
	uint32_t patch;         /* offset of the 4-byte displacement in the hot part */
	uint32_t stub;          /* where it points while not linked */
	int32_t target;         /* guest address relative to the code page */
	uint32_t to : 31;       /* block it is linked to, 0: none */
	uint32_t unlinking : 1; /* it is being taken out of that one's list */
	uint32_t next_incoming;
};

/* Does it lead to another page? */
static inline bool exit_crosses(const struct block_exit *e)
{
	return (uint32_t)e->target >= 4096;
}

/* The linear address of its code page while it runs. */
static inline uint64_t block_base(const struct vcpu *v, const struct tblock *b)
{
	return b->mode & MODE_HOSTMAP ? b->base : v->code_base;
}

static inline uint64_t block_gpa2(const struct tblock *b)
{
	return (uint64_t)b->second_page << 12;
}

/* Guest instruction of a place in the generated code that may fault or leave. */
struct fixup {
	uint32_t code;  /* host offset where this instruction's code starts (hot or cold) */
	uint32_t slow;  /* an access through a window: the host offset of the way through C; or 0 */
	uint16_t guest; /* offset in the code page */
	uint8_t length; /* of the guest instruction */
	uint8_t spilled; /* host register (1-15) whose guest value is in spill[2], 16: RAX; 0: none */
	bool poll;
	bool carry; /* the guest's CF is in vcpu.carry, not in the host's flags */
};

/* An instruction that C code executes; one record for all places that have the same bytes. */
struct emulated {
	struct insn insn;
	uint32_t next; /* with the same hash: 1 + its offset, or 0 */
	uint8_t bits;  /* 16, 32, 64 */
};

/*
 * The cache is filled in parts, one after the other; when there is no new one, the oldest is
 * evicted: its blocks are forgotten and its memory used again. Each has its share of the code memory
 * and of every table.
 */
#define CACHE_PARTS 16u
#define CACHE_BLOCKS (1u << 20) /* in all parts; index 0 is none, so are exits 0 */
#define CACHE_EXITS (1u << 21)
#define CACHE_FIXUPS (1u << 23)
#define CACHE_INSNS (64u << 20) /* bytes */
#define CODE_START 64u          /* nothing is at offset zero */
#define CACHE_SIZE_MIN (256u << 10)
#define CACHE_CROSSINGS (1u << 16)
#define CACHE_CROSSING_WORDS 1024u
#define CACHE_INSN_HASH 1024u

struct cache {
	struct lock lock;
	int fd;
	uint64_t
		collapsed; /* pieces of 2 MiB that have been made huge pages, as far as the host could */
	uint32_t ready_cold, ready_blocks, ready_exits; /* steps that make.c was last ahead in */
	uint8_t *write, *exec;                          /* the two mappings */
	uint32_t size, cold_start;    /* hot: [CODE_START, cold_start), cold: [cold_start, size) */
	unsigned parts, part;         /* how many, and which is being filled */
	uint32_t part_hot, part_cold; /* a part's share of them */
	uint32_t part_blocks[CACHE_PARTS]; /* where each part's used blocks end */
	uint32_t part_exits[CACHE_PARTS];  /* and exits, but for the part that is being filled */
	uint32_t hot, cold, exits, fixups, insns; /* fill marks of that part */
	uint32_t hot_end, cold_end, exits_end, fixups_end, insns_end;
	struct tblock *block;
	struct block_exit *exit;
	struct fixup *fixup;
	uint64_t *rip;       /* linear address of each block, for profile.c; NULL: not kept */
	uint8_t *insn;       /* struct emulated, found by insn_hash */
	uint32_t *insn_hash; /* the part's CACHE_INSN_HASH heads */
	uint32_t *insn_hashes;
	struct hash_table table; /* of blocks */
	uint32_t *crossing; /* linked exits to other pages: they go when global mappings change */
	uint32_t crossings;
	uint64_t crossing_pages[CACHE_CROSSING_WORDS]; /* which linear pages they go to, hashed */
	uint32_t changes;     /* counts writes to watched pages, and evictions */
	struct lock watching; /* held while a page's writers are told */
	uint32_t generation;  /* counts evictions */
	bool adx;             /* the host has ADCX (Broadwell, Zen and newer): cheaper checks */
};

/* base: of struct tblock */
static inline uint64_t cache_hash(uint64_t gpa, uint64_t base, uint32_t mode)
{
	uint64_t h = (gpa ^ (uint64_t)mode << 47 ^ base << 20) * 0x9e3779b97f4a7c15ull;

	return h ^ h >> 29;
}

static inline uint64_t block_hash(const struct tblock *b)
{
	return cache_hash(b->gpa, b->base, b->mode);
}

static inline uint32_t cache_first_block(unsigned part)
{
	return part ? part * (CACHE_BLOCKS / CACHE_PARTS) : 1;
}

static inline uint32_t cache_first_exit(unsigned part)
{
	return part ? part * (CACHE_EXITS / CACHE_PARTS) : 1;
}

static inline unsigned block_page_slot(const struct tblock *b, uint64_t gpa)
{
	return (b->gpa ^ gpa) >> 12 ? 1 : 0;
}

/*
 * size: bytes of code memory, CACHE_SIZE_MIN at least. rips: keeps the addresses of blocks for
 * profile.c.
 */
int cache_create(struct cache *c, uint32_t size, bool rips, struct error *err);
void cache_destroy(struct cache *c);

/*
 * The block for the code at cpu.rip in the vCPU's present mode, translated if need be, and
 * *linear, its address. OUT_OK and where to enter it; or a fault of the fetch, or OUT_ERROR.
 */
enum outcome cache_find(struct vcpu *v, void **code, uint64_t *linear);
/*
 * The same after exit `index` of a block of this generation of the cache was taken; the exit is
 * linked if it may be.
 */
enum outcome cache_follow(struct vcpu *v, uint32_t index, uint32_t generation, void **code,
	uint64_t *linear);
/* Forgets blocks that hold any byte of the range; true if there were any. Any thread. */
bool cache_invalidate(struct translate_vm *vm, uint64_t gpa, uint64_t size);
/*
 * Forgets blocks whose last instruction goes on where there was no memory. No vCPU runs.
 */
void cache_invalidate_torn(struct translate_vm *vm);
/*
 * Supervisor mappings change: forgets links to other pages. linear: only if one may go to this page;
 * ~0: in any case.
 */
void cache_unlink_crossing(struct translate_vm *vm, uint64_t linear);
/*
 * Forgets all blocks, if there are more than `blocks`, and gives their memory back to the host. No
 * vCPU is in vcpu_run().
 */
bool cache_trim(struct translate_vm *vm, uint32_t blocks);

/* The block behind i in all parts, dead ones too; 0: there is no further one. Begin with 0. */
uint32_t cache_next(const struct cache *c, uint32_t i);

/* What is in use, for counters. */
struct cache_use {
	uint64_t hot, cold;
	uint32_t blocks, dead, exits, fixups;
};
void cache_usage(const struct cache *c, struct cache_use *use);

/* The block that holds a host address, and the fixup of it; NULL if it is common code. */
const struct tblock *cache_block_at(const struct cache *c, const void *pc);
const struct fixup *cache_fixup_at(const struct cache *c, const struct tblock *b, const void *pc);

/* To be read before an address or a number is looked up that is to be used without the lock. */
static inline uint32_t cache_generation(const struct cache *c)
{
	return __atomic_load_n(&c->generation, __ATOMIC_ACQUIRE);
}

static inline bool cache_holds(const struct cache *c, const void *pc)
{
	return (uint64_t)((const uint8_t *)pc - c->exec) < c->size;
}

#endif
