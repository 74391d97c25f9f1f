/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of code with instructions that may not run as they are (native_scan()), in copies that have UD2 there: it raises a
 * signal, and translated code does what the program means. native_patch() runs with the guest's vector state live.
 *
 * A copy is never changed: a mirror may have it until it has carried out its orders. So one that is good no more is
 * not used again before native_patches_forget() or native_patches_renew().
 */
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/translate/hot.h"
#include "cpu/translate/native/native.h"

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
