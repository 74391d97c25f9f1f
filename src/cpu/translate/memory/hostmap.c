/* SPDX-License-Identifier: Apache-2.0 */
/* What windows hold. Runs with the guest's vector state live: no libc but in create and destroy. */
#include "cpu/translate/memory/hostmap.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/memory/hostmap_internal.h"

/* --- the host ------------------------------------------------------------------------------------- */

long hostmap_sys_mmap(void *at, uint64_t size, int prot, int flags, int fd, uint64_t offset)
{
	register long r10 asm("r10") = flags;
	register long r8 asm("r8") = fd;
	register long r9 asm("r9") = (long)offset;
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"((long)SYS_mmap), "D"(at), "S"(size), "d"((long)prot), "r"(r10), "r"(r8),
		     "r"(r9)
		     : "rcx", "r11", "memory");
	return result;
}

long hostmap_sys_mprotect(void *at, uint64_t size, int prot)
{
	long result;

	asm volatile("syscall"
		     : "=a"(result)
		     : "a"((long)SYS_mprotect), "D"(at), "S"(size), "d"((long)prot)
		     : "rcx", "r11", "memory");
	return result;
}

/* For a mirror, which is told when it runs again. One order too many, and it loses all that it has. */
static void order(struct hostmap *w, struct mirror_order order)
{
	if (w->orders < ORDERS)
		w->order[w->orders] = order;
	w->orders += w->orders <= ORDERS;
}

/* Addresses that nothing is at. */
void hostmap_drop(struct hostmap *w, uint8_t *at, uint64_t size)
{
	if (w->mirror)
		order(w, (struct mirror_order){.at = (uint64_t)at, .size = size, .fd = -1});
	else
		hostmap_sys_mmap(at, size, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* Pages with one number after the other are of one region. */
static const struct region *region_of(const struct translate_vm *vm, uint32_t number)
{
	unsigned i = vm->regions - 1;

	while (i && vm->by_gpa[i]->number > number)
		i--;
	return vm->by_gpa[i];
}

static int rights(uint32_t entry)
{
	return PROT_READ | (entry & ENTRY_WRITE ? PROT_WRITE : 0) |
		(entry & ENTRY_EXEC ? PROT_EXEC : 0);
}

/* Copies of neighbours do not lie side by side. */
static void put_patched(struct hostmap *w, uint8_t *at, uint64_t size, uint32_t entry)
{
	const struct native_patches *n = &w->vm->native.patches;

	for (uint64_t i = 0; i < size >> 12; i++) {
		int slot = native_patch_find(n, (entry & ENTRY_NUMBER) + (uint32_t)i);

		order(w,
			(struct mirror_order){(uint64_t)at + (i << 12), 4096,
				(uint64_t)(unsigned)slot << 12, n->fd, rights(entry)});
	}
}

bool hostmap_put(struct hostmap *w, uint8_t *at, uint64_t size, uint32_t entry)
{
	uint32_t number = entry & ENTRY_NUMBER;
	const struct region *r = region_of(w->vm, number);
	uint64_t offset = r->offset + ((uint64_t)(number - r->number) << 12);

	if (entry & ENTRY_PATCHED)
		put_patched(w, at, size, entry);
	else if (w->mirror)
		order(w, (struct mirror_order){(uint64_t)at, size, offset, r->fd, rights(entry)});
	if (w->mirror)
		return true;
	return !hostmap_sys_failed(hostmap_sys_mmap(at, size, rights(entry),
		MAP_SHARED | MAP_FIXED | MAP_POPULATE, r->fd, offset));
}

void hostmap_write_protect(struct hostmap *w, uint8_t *at, uint64_t size, uint32_t entry)
{
	int prot = rights(entry & ~ENTRY_WRITE);

	if (w->mirror)
		order(w,
			(struct mirror_order){.at = (uint64_t)at,
				.size = size,
				.fd = -1,
				.prot = prot});
	else
		hostmap_sys_mprotect(at, size, prot);
}

void hostmap_count(struct hostmap *w, int more)
{
	*(w->mirror ? &w->pieces : &w->vm->pool.pieces) += (uint32_t)more;
}

static uint8_t *reserve_window(void)
{
	long at = hostmap_sys_mmap(NULL, WINDOW_SIZE + 2 * WINDOW_GUARD, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return hostmap_sys_failed(at) ? NULL : (uint8_t *)at + WINDOW_GUARD;
}

static void release_window(uint8_t *base)
{
	if (base)
		munmap(base - WINDOW_GUARD, WINDOW_SIZE + 2 * WINDOW_GUARD);
}

/* --- life ---------------------------------------------------------------------------------------- */

void hostmap_pool_init(struct translate_vm *vm, enum hostmap_policy policy)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	unsigned count = 65530;

	if (f && fscanf(f, "%u", &count) != 1)
		count = 65530;
	if (f)
		fclose(f);
	vm->pool.most_pieces = count / 2 > 2048 ? count / 2 - 2048 : 0;
	vm->pool.most_reserved = MOST_WINDOWS;
	vm->pool.policy = policy;
	vm->pool.void_base = policy == HOSTMAP_NEVER ? NULL : reserve_window();
}

void hostmap_pool_destroy(struct translate_vm *vm)
{
	release_window(vm->pool.void_base);
}

static void table_entry(struct hostmap *w, unsigned slot, const uint8_t *base)
{
	w->table[slot] = (int64_t)base - ((int64_t)slot << WINDOW_BITS);
}

struct hostmap *hostmap_create(struct translate_vm *vm, int64_t *table)
{
	struct hostmap *w;

	for (unsigned i = 0; i < vm->regions; i++)
		if (vm->by_gpa[i]->fd < 0)
			return NULL;
	if (!vm->pool.void_base)
		return NULL;
	w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w == MAP_FAILED)
		return NULL;
	w->vm = vm;
	w->table = table;
	for (unsigned i = 0; i < WINDOW_SLOTS; i++)
		table_entry(w, i, vm->pool.void_base);
	return w;
}

void hostmap_destroy(struct hostmap *w)
{
	for (unsigned i = 0; w && i < OWN_WINDOWS; i++)
		release_window(w->base[i]);
	if (w)
		munmap(w, sizeof *w);
}

/* --- chunks --------------------------------------------------------------------------------------- */

static unsigned hash_of(uint64_t number)
{
	return (unsigned)(number * 0x9e3779b97f4a7c15ull >> 53) & (CHUNK_HASH - 1);
}

struct chunk *chunk_find(struct hostmap *w, uint64_t linear)
{
	uint64_t number = linear >> CHUNK_BITS;

	for (unsigned h = hash_of(number); w->hash[h]; h = (h + 1) & (CHUNK_HASH - 1))
		if (w->chunk[w->hash[h] - 1].number == number)
			return &w->chunk[w->hash[h] - 1];
	return NULL;
}

struct chunk *chunk_make(struct hostmap *w, uint64_t linear)
{
	struct chunk *c = chunk_find(w, linear);
	unsigned h = hash_of(linear >> CHUNK_BITS);

	if (c || w->chunks == CHUNKS)
		return c;
	while (w->hash[h])
		h = (h + 1) & (CHUNK_HASH - 1);
	c = &w->chunk[w->chunks++];
	w->hash[h] = (uint16_t)w->chunks;
	c->number = linear >> CHUNK_BITS;
	c->whole = c->used = 0;
	for (unsigned i = 0; i < CHUNK_PAGES; i++)
		c->page[i] = 0;
	return c;
}

uint8_t *hostmap_window_at(const struct hostmap *w, uint64_t linear)
{
	/* the program's own addresses, in whole chunks */
	if (w->mirror)
		return linear >= MIRROR_FIRST && linear < MIRROR_END &&
				(linear ^ w->mirror->base) >= STUB_ALIGN
			? (uint8_t *)linear
			: NULL;
	for (unsigned i = 0; i < w->slots; i++)
		if (w->slot[i] == linear >> WINDOW_BITS)
			return w->base[i] + (linear & (WINDOW_SIZE - 1));
	return NULL;
}

uint8_t *hostmap_window_make(struct hostmap *w, uint64_t linear)
{
	struct hostmap_pool *pool = &w->vm->pool;
	uint8_t *at = hostmap_window_at(w, linear);
	unsigned i = w->slots, slot = (unsigned)(linear >> WINDOW_BITS);

	if (at || w->mirror || i == OWN_WINDOWS || slot >= WINDOW_SLOTS)
		return at;
	if (!w->base[i]) {
		if (pool->reserved == pool->most_reserved)
			return NULL;
		w->base[i] = reserve_window();
		if (!w->base[i])
			return NULL;
		pool->reserved++;
	}
	w->slots++;
	w->slot[i] = slot;
	table_entry(w, slot, w->base[i]);
	return hostmap_window_at(w, linear);
}

/* --- forgetting ----------------------------------------------------------------------------------- */

void hostmap_forget_slots(struct hostmap *w)
{
	for (unsigned i = 0; i < w->slots; i++)
		table_entry(w, w->slot[i], w->vm->pool.void_base);
	w->slots = 0;
}

void hostmap_empty(struct hostmap *w)
{
	/* many chunks: a window as a whole costs less */
	bool each = w->chunks <= 32 && !w->mirror;

	w->wipe = w->mirror;
	w->orders = 0;

	for (unsigned i = 0; i < w->chunks; i++) {
		struct chunk *c = &w->chunk[i];

		if (each && (c->whole || c->used))
			hostmap_drop(w, hostmap_window_at(w, c->number << CHUNK_BITS),
				1ull << CHUNK_BITS);
		hostmap_count(w, c->whole ? -1 : -(int)c->used);
	}
	for (unsigned i = 0; i < w->slots && !each; i++)
		hostmap_drop(w, w->base[i], WINDOW_SIZE);
	for (unsigned i = 0; i < CHUNK_HASH && w->chunks; i++)
		w->hash[i] = 0;
	w->chunks = 0;
	w->last = ~0ull;
	w->expected = 0;
}

void hostmap_clear(struct hostmap *w)
{
	if (!w || !w->chunks)
		return;
	lock_take(&w->vm->pool.lock);
	hostmap_empty(w);
	lock_drop(&w->vm->pool.lock);
}

void hostmap_forget_page(struct hostmap *w, struct chunk *c, unsigned i)
{
	hostmap_drop(w, hostmap_window_at(w, (c->number << CHUNK_BITS) + ((uint64_t)i << 12)),
		4096);
	c->page[i] = 0;
	c->used--;
	hostmap_count(w, -1);
}

void hostmap_clear_page(struct hostmap *w, uint64_t linear)
{
	struct chunk *c = w && w->chunks ? chunk_find(w, linear) : NULL;
	unsigned i = linear >> 12 & (CHUNK_PAGES - 1);

	if (!c)
		return;
	lock_take(&w->vm->pool.lock);
	if (c->whole) {
		hostmap_drop(w, hostmap_window_at(w, c->number << CHUNK_BITS), 1ull << CHUNK_BITS);
		c->whole = 0;
		hostmap_count(w, -1);
	} else if (c->page[i]) {
		hostmap_forget_page(w, c, i);
	}
	lock_drop(&w->vm->pool.lock);
}
