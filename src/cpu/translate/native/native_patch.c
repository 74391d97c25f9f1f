/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of code with instructions that may not run as they are (native_scan()), in copies that have UD2 there: it raises a
 * signal, and translated code does what the program means. Runs with the guest's vector state live but for the first
 * part: no libc.
 *
 * A copy is never changed: a mirror may have it until it has carried out its orders. So one that is good no more is
 * not used again before native_patches_forget() or native_patches_renew().
 */
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/memory/hostmap_internal.h"
#include "cpu/translate/native/native.h"
#include "cpu/translate/run/exclusive.h"

#define PAGE 4096u
#define UD2 0x0b /* after 0F, whatever prefixes are before it */

void native_patches_create(struct native_patches *n)
{
	const size_t size = NATIVE_PATCHES * PAGE;
	int fd = memfd_create("dach-patches", MFD_CLOEXEC);
	uint8_t *page = MAP_FAILED;

	if (fd >= 0 && !ftruncate(fd, (off_t)size))
		page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		*n = (struct native_patches){.fd = fd, .page = page};
	else if (fd >= 0)
		close(fd);
}

void native_patches_destroy(struct native_patches *n)
{
	if (!n->page)
		return;
	munmap(n->page, NATIVE_PATCHES * PAGE);
	close(n->fd);
	n->page = NULL;
}

void native_patches_forget(struct native_patches *n)
{
	__atomic_store_n(&n->used, 0, __ATOMIC_SEQ_CST);
}

int native_patch(struct native_patches *n, uint32_t number, const uint8_t *host,
	const struct native_found *found)
{
	int known = native_patch_find(n, number);
	unsigned slot = known < 0 ? n->used : (unsigned)known;
	uint8_t *to = n->page + slot * PAGE;
	bool alike = true;

	if (!n->page || slot == NATIVE_PATCHES)
		return -1;
	for (unsigned i = 0, k = 0; i < PAGE; i++) {
		bool patched = k < found->count && i == found->at[k] + 1u;
		uint8_t byte = patched ? UD2 : host[i];

		k += patched;
		if (known < 0)
			to[i] = byte;
		alike &= to[i] == byte;
	}
	/* at another address, where other pages lie beside it, its code may be seen otherwise */
	if (known >= 0)
		return alike ? known : -1;
	n->number[slot] = number;
	__atomic_store_n(&n->used, slot + 1, __ATOMIC_SEQ_CST);
	return (int)slot;
}

void native_patches_renew(struct vcpu *v)
{
	struct translate_vm *vm = v->vm;
	struct native_patches *n = &vm->native.patches;
	unsigned bad = 0;

	if (__atomic_load_n(&n->used, __ATOMIC_SEQ_CST) < NATIVE_PATCHES)
		return;
	vm_exclusive_begin(v);
	lock_take(&vm->pool.lock);
	for (unsigned i = 0; i < n->used; i++)
		bad += !n->number[i];
	for (unsigned k = 0; k < vm->vcpus && bad >= NATIVE_PATCHES / 2; k++)
		for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++)
			if (native_on(vm->vcpu[k]->context[i].hostmap))
				hostmap_empty(vm->vcpu[k]->context[i].hostmap);
	if (bad >= NATIVE_PATCHES / 2)
		native_patches_forget(n);
	lock_drop(&vm->pool.lock);
	vm_exclusive_end(v);
}

static bool drop_in(struct hostmap *w, uint32_t entry)
{
	bool found = false;

	for (unsigned i = 0; i < w->chunks; i++) {
		struct chunk *c = &w->chunk[i];

		for (unsigned k = 0; k < CHUNK_PAGES && c->used; k++) {
			if ((c->page[k] & (ENTRY_PATCHED | ENTRY_NUMBER)) !=
				(ENTRY_PATCHED | entry))
				continue;
			hostmap_forget_page(w, c, k);
			found = true;
		}
	}
	return found;
}

/*
 * A program that runs meanwhile comes back soon. That it may go on with the old code until then is what a
 * processor may do as well: it need not see another's change before it serializes, which no program can do natively.
 */
void native_unpatch(struct translate_vm *vm, uint64_t gpa)
{
	struct native_patches *n = &vm->native.patches;
	struct region *r = vm_region(vm, gpa);
	uint64_t found = 0;
	uint32_t number;
	int slot;

	if (!r || !__atomic_load_n(&n->used, __ATOMIC_SEQ_CST))
		return;
	number = r->number + (uint32_t)((gpa - r->gpa) >> 12);
	lock_take(&vm->pool.lock);
	slot = native_patch_find(n, number);
	if (slot >= 0)
		n->number[slot] = 0;
	for (unsigned k = 0; k < vm->vcpus && slot >= 0; k++)
		for (unsigned i = CTX_USER_FIRST; i < CTX_COUNT; i++) {
			struct hostmap *w = vm->vcpu[k]->context[i].hostmap;

			if (native_on(w) && drop_in(w, number))
				found |= 1ull << k;
		}
	lock_drop(&vm->pool.lock);
	for (unsigned k = 0; k < vm->vcpus; k++)
		if (found >> k & 1)
			vcpu_interrupt(vm->vcpu[k]->v, KICK_CODE);
}
