/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the vCPUs of one guest share in the translating engine: guest memory,
 * what is known of its pages, and the code cache.
 */
#ifndef DACH_CPU_TRANSLATE_VM_H
#define DACH_CPU_TRANSLATE_VM_H

#include <stdint.h>

#include "cpu/region.h"
#include "cpu/translate/cache/cache.h"
#include "cpu/translate/host.h"
#include "cpu/translate/memory/tlb.h"
#include "cpu/translate/native/native.h"
#include "cpu/translate/vcpu.h"

#define VM_VCPUS 64

struct region {
	uint64_t gpa, size;
	uint8_t *host;
	struct page *pages; /* one for each page of the region */
	uint8_t *populated; /* one byte for each piece of vm_piece() */
	int fd;             /* the shared memory that host maps, at offset; -1: private memory */
	uint64_t offset;
	uint32_t number; /* of its first page, among all regions' (vm_map.c); for windows */
	bool read_only;
	struct page_door *door; /* NULL: nobody asks ... */
	uint64_t door_page;     /* ... of its pages, of which this is the first */
};

/*
 * Memory comes in pieces: the host's page faults cost more than ours. Shared memory is made of huge
 * pages by the piece, whatever the host's policy for it says.
 */
#define PIECE_PRIVATE (256u << 10)
#define PIECE_SHARED (2u << 20)

/* A page of guest memory, as the translator sees it. */
struct page {
	uint32_t first_block; /* of those whose code starts or ends here; 0: none */
	uint8_t has_code;     /* PAGE_*, if writes are watched; set before its bytes are read */
	uint8_t write_tolerance; /* log2 of the writes beside code that are borne before it is forgotten */
	uint16_t writes;         /* that hit no code, since */
	uint64_t linear : 52, aliased : 1; /* page number at which CPL 0 runs it; at others too */
	uint64_t lines; /* which of the page's 64-byte lines hold translated bytes */
};

#define PAGE_WATCHING 1u /* writers are being told */
#define PAGE_WATCHED 2u

struct translate_vm {
	struct engine_vm_config config;
	struct cache cache; /* its lock guards pages too */
	unsigned regions;
	struct region *largest;             /* of them; NULL: there are none */
	struct region *by_gpa[REGIONS_MAX]; /* so many, in the order of their addresses */
	struct region region[REGIONS_MAX];  /* they stay where they are; size 0: none */
	struct translate_vcpu *vcpu[VM_VCPUS];
	unsigned vcpus;
	unsigned host_cpus; /* that this process may use */
	struct translate_host host;
	struct xsave_layout layout; /* of the guest's XSAVE */
	bool has_fsgsbase;
	struct hostmap_pool pool;
	struct native_pool native;
	struct lock exclusive; /* held by who wants all others outside of translated code */
	bool stop;             /* ... and is waiting for it, or has it; atomic */
	unsigned logs, lazy;   /* regions whose writes somebody follows; that have absent pages */
	bool lost;             /* a page could not be brought */
};

/* Where one page's part of an access goes. */
struct target {
	uint8_t *host;      /* of the first byte; NULL: a device ... */
	const uint8_t *rom; /* ... or what is read of memory whose writes go to one; else NULL */
	uint64_t gpa;
	bool watched; /* a write must be followed by cache_invalidate() */
	bool debug;   /* a data breakpoint is in the page */
};

/* The part of an access, of 64 bytes at most, that lies in one page. */
struct span {
	unsigned at, size; /* of the access's bytes */
	uint64_t mask;     /* those of them that are touched; none: `to` is not filled in */
	struct target to;  /* of the byte at `at` */
};

#define VM_SMC_PENDING 32u

/* A vCPU's private parts: not visible to generated code. */
struct translate_vcpu {
	struct vcpu *v;
	int fd;              /* the memory of its pages, mapped into each context */
	bool running;        /* vcpu_run() is under way: %gs is ours */
	uint32_t exec_state; /* EXEC_* in the low bits, a count above; atomic */

	/* --- memory --- */
	struct tlb context[CTX_COUNT];
	struct tlb *user;                  /* the context of the current PCID */
	uint64_t clock;                    /* for LRU of contexts */
	uint32_t *write_hint[REGIONS_MAX]; /* per page: where it may be writable, see tlb_where() */

	/* --- a slow path under way --- */
	uint8_t *bounce; /* BOUNCE_SIZE bytes: what an access finds that no host memory can serve */
	struct {
		bool active, direct;
		uint64_t linear;
		struct span part[2];
	} pending; /* the store that translated code makes now, in the buffer or in place */
	bool left_for_lookup; /* it left only to look for the next block */
	uint32_t ungrouped;   /* ... which is of MODE_UNGROUPED: 1 + the exit that leads there */
	bool split_lock;      /* the next instruction has a locked access in two pages ... */
	bool alone;           /* ... and runs while all other vCPUs are held */
	bool native_away;   /* the next code runs translated, though its page could run natively */
	bool native_last;   /* its user code last ran natively */
	int native_process; /* the mirror that runs its code now; -1: none. Atomic */
	struct {
		unsigned count;
		struct smc_write {
			uint8_t *host;
			unsigned size;
		} written[VM_SMC_PENDING];
	} smc_pending; /* mem_host() was asked for them to be written: looked at for code once they have been */

	/* --- code --- */
	uint32_t mode; /* MODE_* of blocks that run now */
	struct insn_memo *memo;
	struct emulated emulated; /* a copy, where another vCPU may flush the cache */

	/* --- breakpoints of the guest's debug registers: debug.c --- */
	struct {
		uint8_t enabled;  /* those of data, as bits */
		uint8_t hits;     /* that the instruction under way has met */
		uint8_t held;     /* the same of the MOV SS before it */
		uint64_t seen[5]; /* DR0-3 and DR7 as debug_update() has found them */
	} breakpoints;

	/* --- the thread --- */
	struct {
		void *stack; /* for handlers */
		size_t stack_size;
		bool fault;        /* the signal was a fault, not a poll */
		const void *again; /* where the last signal of lost_stack() has gone on, ... */
		unsigned times;    /* ... and for how many of them in a row */
	} signal;
	struct {
		uint64_t last_pause;     /* TSC at the last PAUSE */
		unsigned pauses, yields; /* since the vCPU began to spin */
	} spin;
	struct profile *profile; /* profile.c; NULL: none */
};

/* Where a vCPU's thread is, for those who change code or take permissions away. */
#define EXEC_OUTSIDE 0u
#define EXEC_CODE 1u
#define EXEC_HELPER 2u /* in C, called from the middle of an instruction */
#define EXEC_BITS 3u

static inline void irq_check_set(struct vcpu *v, bool check)
{
	v->irq_check = check;
	v->irq_window_poll = check ? (uint64_t *)8 : &v->page_mask;
	v->irq_window_mask = check ? 0 : ~0ull;
}

/* mode.c: the TLB context for CPL and AC alone. */
void mode_context(struct vcpu *v);
/* fetch.c: did the last fetch from there go through a global mapping? */
bool mmu_fetch_global(const struct vcpu *v, uint64_t linear);
/* gs.c: %gs of this thread, while vcpu_run() is under way. */
void vcpu_set_gs(struct vcpu *v, void *base);
/*
 * debug.c. The debug registers have changed; does the page hold a data breakpoint; an access, or one
 * to a port, to be compared with them; which of them (as bits) stop at an instruction.
 */
void debug_update(struct vcpu *v);
bool debug_page(const struct vcpu *v, uint64_t linear);
void debug_access(struct vcpu *v, uint64_t linear, unsigned size, bool write);
void debug_port(struct vcpu *v, uint16_t port, unsigned size);
unsigned debug_fetch(const struct vcpu *v, uint64_t linear);
/*
 * astray.c. The indirect branch that block `number` ends in has led to what is no address: where it
 * stands, and by how much RSP is too low. The block is of 64-bit code and has just been left; vectors are
 * saved. False: it is not known.
 */
bool branch_astray(struct vcpu *v, uint32_t number, uint64_t *rip, int64_t *rsp);
/* slow_mask.c: which bytes a masked access touches; vectors are saved on the way. */
enum outcome mmu_slow_mask(struct vcpu *v, const struct slow_access *d, uint64_t *mask);

/* The region and page of a guest physical address, or NULL where there is no memory. */
struct region *vm_region_search(struct translate_vm *vm, uint64_t gpa);
static inline struct region *vm_region(struct translate_vm *vm, uint64_t gpa)
{
	struct region *r = vm->largest;

	return r && gpa - r->gpa < r->size ? r : vm_region_search(vm, gpa);
}
/*
 * vm_map.c: what engine.h says of them. No vCPU runs. No address, host page, code or window of what was
 * known before is left to any vCPU.
 */
int vm_map(struct translate_vm *vm, const struct memory_region *region, struct error *err);
int vm_unmap(struct translate_vm *vm, uint64_t gpa, uint64_t size, struct error *err);
int vm_protect(struct translate_vm *vm, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err);
int vm_door(struct translate_vm *vm, uint64_t gpa, uint64_t size, struct error *err);
void vm_unmap_all(struct translate_vm *vm); /* there are no vCPUs any more */
/* rearm.c: engine.h's vm_log_rearm(). */
void vm_log_rearm(struct translate_vm *vm, const struct memory_region *part);
/* What a vCPU keeps of each region; it is made and unmade. -ENOMEM. */
int vm_map_vcpu(struct translate_vm *vm, struct translate_vcpu *p, struct error *err);
void vm_unmap_vcpu(struct translate_vm *vm, struct translate_vcpu *p);
static inline struct page *region_page(struct region *r, uint64_t gpa)
{
	return &r->pages[(gpa - r->gpa) >> 12];
}

/* What the region's door says of a page (page_door.h). */
static inline uint64_t region_door_page(const struct region *r, uint64_t gpa)
{
	return r->door_page + ((gpa - r->gpa) >> 12);
}
static inline bool region_here(const struct region *r, uint64_t gpa)
{
	return page_door_is_here(r->door, region_door_page(r, gpa));
}
static inline void region_mark(const struct region *r, uint64_t gpa)
{
	page_door_mark(r->door, region_door_page(r, gpa), 1);
}
/* If writes are followed: is it known that this page is written? Else true. */
static inline bool region_marked(const struct region *r, uint64_t gpa)
{
	return !page_door_logs(r->door) || page_door_is_marked(r->door, region_door_page(r, gpa));
}

#endif
