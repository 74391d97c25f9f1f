/* SPDX-License-Identifier: Apache-2.0 */
/* An address space goes without its mirror, or its mirror without copies of pages (native_patch.c) that are good no more. Runs with the guest's vector state live. */
#include "cpu/translate/hot.h"
#include "cpu/translate/memory/hostmap_internal.h"
#include "cpu/translate/native/native.h"
#include "cpu/translate/run/exclusive.h"

bool native_on(const struct hostmap *w)
{
	return w && w->mirror;
}

void native_release(struct hostmap *w)
{
	struct native_pool *pool = &w->vm->native;

	if (!w->mirror)
		return;
	hostmap_empty(w);
	pool->used[w->mirror - pool->mirror] = false;
	w->mirror = NULL;
	w->wipe = false;
	w->orders = 0;
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
