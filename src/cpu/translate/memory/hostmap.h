/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The direct map: user code that computes reaches its memory through the
 * host's own page tables instead of a software TLB.
 *
 * An address space is 256 slots of 512 GiB (its lower half), of which a program
 * uses a handful. Each one used gets a window: 512 GiB of reserved host
 * addresses between two guards, filled piece by piece from the guest's memory
 * as it is touched. A table of 256 entries at %gs:CTX_HOSTMAP holds, for bits
 * 39-46 of a guest address, what has to be added to make it a host address.
 * Entries without a window lead into the void, which is never filled. The bits
 * above stay in the sum: for a guest address beyond the lower half it is not
 * canonical, or in the host kernel's half. So whatever a guest computes, the
 * access either finds what the guest may reach there or faults, and
 * the signal handler goes on with the access's slow path, which fills the
 * window, raises the guest's fault, or does the access by way of C.
 *
 * The windows of a user context are its TLB for such code: what clears the one
 * clears the other. They are read-only where the guest's page is, or is not yet
 * dirty, or holds translated code.
 *
 * An address space moves up when it runs for some ticks of the guest's clock
 * without many TLB fills, and down when its windows miss all the time. A miss
 * costs about 10 us, forgetting a page 2 us, and each piece one or two of the
 * host's memory areas, of which a process has 65,530 (vm.max_map_count).
 *
 * The pool's lock guards what windows hold, since a vCPU that translates code
 * takes write permission from the windows of all.
 */
#ifndef DACH_CPU_TRANSLATE_HOSTMAP_H
#define DACH_CPU_TRANSLATE_HOSTMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/translate/lock.h"

struct memory_region;
struct region;
struct translate_vm;
struct vcpu;

#define WINDOW_BITS 39u
#define WINDOW_SLOTS 256u
#define WINDOW_GUARD (2u << 20)

enum hostmap_policy {
	HOSTMAP_AUTO,
	HOSTMAP_NEVER,
	HOSTMAP_ALWAYS, /* tests */
};

/* What all windows of a guest share. */
struct hostmap_pool {
	enum hostmap_policy policy;
	uint8_t *void_base; /* the window of slots that have none; NULL: there can be no windows */
	uint32_t reserved, most_reserved; /* windows */
	uint32_t pieces, most_pieces;     /* mapped */
	uint32_t spaces;                  /* address spaces that have windows now */
	struct lock lock;
};

struct hostmap;

/* Before the first vCPU: reserves the void. No error: without, there are no windows. */
void hostmap_pool_init(struct translate_vm *vm, enum hostmap_policy policy);
void hostmap_pool_destroy(struct translate_vm *vm);

/* Of one user context, whose table is at `table`; NULL if there is no memory for it. */
struct hostmap *hostmap_create(struct translate_vm *vm, int64_t *table);
void hostmap_destroy(struct hostmap *w);

/* All of the following: w may be NULL. The context's own vCPU calls, but for hostmap_demote(). */

/* Does its code run with windows, when it is translated? */
bool hostmap_on(const struct hostmap *w);
/* Forgets what is in them. */
void hostmap_clear(struct hostmap *w);
/* ... at one page, or the large page that holds it. */
void hostmap_clear_page(struct hostmap *w, uint64_t linear);
/* The context goes to another address space. */
void hostmap_leave(struct hostmap *w);
/* The same if cr3 is another address space's than it was. */
void hostmap_space(struct hostmap *w, uint64_t cr3);
/* The guest's clock, or something else, has interrupted user code: moves up or down. True: mode_update(). */
bool hostmap_tick(struct vcpu *v);
/*
 * The slow path of an access to size bytes at linear, whose one or two pages may be reached (the host
 * addresses; NULL: a device, or no second page). True: all is mapped now, try again.
 */
bool hostmap_reach(struct vcpu *v, uint64_t linear, unsigned size, unsigned access,
	const uint8_t *first, const uint8_t *second);
/* The same for a program that runs natively and has missed a page; to fetch from it, too. */
bool hostmap_reach_native(struct vcpu *v, uint64_t linear, unsigned access);
/* Code with windows has had a page fault at linear; it is about to go on behind that. */
void hostmap_expect(struct vcpu *v, uint64_t linear);
void hostmap_expected(struct vcpu *v);
/* Takes write permission for a host page from all windows of the guest. Any thread. */
void hostmap_demote(struct vcpu *v, const uint8_t *host_page);
/* The same for the pages of `part` of a region that have been taken out of its door's log. */
void hostmap_demote_taken(struct translate_vm *vm, const struct region *r,
	const struct memory_region *part);

#endif
