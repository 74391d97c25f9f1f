/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory comes and goes, while no vCPU runs. */
#include <errno.h>
#include <sys/mman.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/vm.h"

static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void release(void *p, size_t size)
{
	if (p)
		munmap(p, size);
}

static size_t pages_size(const struct region *r)
{
	return (r->size >> 12) * sizeof *r->pages;
}

static size_t populated_size(const struct region *r)
{
	return r->size / PIECE_PRIVATE + 1;
}

static size_t hints_size(const struct region *r)
{
	return (r->size >> 12) * sizeof(uint32_t);
}

/* Each vCPU forgets all addresses and what they led to, and is done with the writes it has begun. */
static void forget_addresses(struct translate_vm *vm)
{
	for (unsigned k = 0; k < vm->vcpus; k++) {
		struct translate_vcpu *p = vm->vcpu[k];

		mem_check_smc(p->v);
		p->pending.active = false;
		mmu_flush_all(p->v);
	}
	native_forget(vm);
}

/* Windows are empty: pages are numbered anew, with a gap between regions. Page 0 is none. */
static int number_pages(struct translate_vm *vm, struct error *err)
{
	uint64_t next = 1;

	for (unsigned i = 0; i < vm->regions; i++) {
		vm->by_gpa[i]->number = (uint32_t)next;
		next += (vm->by_gpa[i]->size >> 12) + 1;
	}
	/* as many as an entry of a window can tell apart */
	return next >> 30 ? error_set(err, ENOSPC, "more than 4 TiB of guest memory") : 0;
}

/* After a change of regions, or of what their doors ask. */
static void count(struct translate_vm *vm)
{
	vm->logs = vm->lazy = 0;
	vm->largest = NULL;
	for (unsigned i = 0; i < vm->regions; i++) {
		struct region *r = vm->by_gpa[i];

		vm->logs += page_door_logs(r->door);
		vm->lazy += page_door_is_lazy(r->door);
		if (!vm->largest || vm->largest->size < r->size)
			vm->largest = r;
	}
}

static void insert(struct translate_vm *vm, struct region *r)
{
	unsigned at = vm->regions++;

	for (; at && vm->by_gpa[at - 1]->gpa > r->gpa; at--)
		vm->by_gpa[at] = vm->by_gpa[at - 1];
	vm->by_gpa[at] = r;
}

static void take_out(struct translate_vm *vm, const struct region *r)
{
	unsigned at = 0;

	while (vm->by_gpa[at] != r)
		at++;
	for (vm->regions--; at < vm->regions; at++)
		vm->by_gpa[at] = vm->by_gpa[at + 1];
}

static void drop(struct translate_vm *vm, struct region *r)
{
	unsigned slot = (unsigned)(r - vm->region);

	for (unsigned k = 0; k < vm->vcpus; k++) {
		release(vm->vcpu[k]->write_hint[slot], hints_size(r));
		vm->vcpu[k]->write_hint[slot] = NULL;
	}
	release(r->pages, pages_size(r));
	release(r->populated, populated_size(r));
	*r = (struct region){0};
}

static struct memory_region as_given(const struct region *r)
{
	return (struct memory_region){.gpa = r->gpa,
		.size = r->size,
		.host = r->host,
		.fd = r->fd,
		.offset = r->offset,
		.read_only = r->read_only};
}

/* May it be beside all others? `except` does not count. */
static int check(const struct translate_vm *vm, const struct memory_region *region,
	const struct region *except, struct error *err)
{
	int r = region_check(region, err);

	for (unsigned i = 0; i < vm->regions && !r; i++) {
		struct memory_region other = as_given(vm->by_gpa[i]);

		if (vm->by_gpa[i] != except)
			r = region_conflict(region, &other, err);
	}
	return r;
}

int vm_map(struct translate_vm *vm, const struct memory_region *region, struct error *err)
{
	struct region *r = vm->region;
	bool room = true;
	int rc = check(vm, region, NULL, err);

	if (rc)
		return rc;
	if (vm->regions == REGIONS_MAX)
		return error_set(err, ENOSPC, "more than %u memory regions", REGIONS_MAX);
	while (r->size)
		r++;
	*r = (struct region){.gpa = region->gpa,
		.size = region->size,
		.host = region->host,
		.fd = region->fd,
		.offset = region->offset,
		.read_only = region->read_only,
		.door = region->door,
		.door_page = region->door_page};
	r->pages = reserve(pages_size(r));
	r->populated = reserve(populated_size(r));
	for (unsigned k = 0; k < vm->vcpus && room; k++) {
		uint32_t **hints = &vm->vcpu[k]->write_hint[r - vm->region];

		*hints = reserve(hints_size(r));
		room = *hints;
	}
	if (!r->pages || !r->populated || !room) {
		drop(vm, r);
		return error_set(err, ENOMEM, "no memory for the guest's page table");
	}
	forget_addresses(vm);
	cache_invalidate_torn(vm);
	insert(vm, r);
	count(vm);
	rc = number_pages(vm, err);
	if (rc) {
		take_out(vm, r);
		drop(vm, r);
		count(vm);
		number_pages(vm, NULL);
	}
	return rc;
}

/* The region that is exactly this, or NULL. */
static struct region *find(struct translate_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	struct region *r = vm_region(vm, gpa);

	if (r && r->gpa == gpa && r->size == size)
		return r;
	error_set(err, EINVAL, "no memory region is at %#llx", (unsigned long long)gpa);
	return NULL;
}

int vm_unmap(struct translate_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	struct region *r = find(vm, gpa, size, err);

	if (!r)
		return -EINVAL;
	forget_addresses(vm);
	cache_invalidate(vm, gpa, size);
	take_out(vm, r);
	drop(vm, r);
	count(vm);
	return number_pages(vm, err);
}

/* What asks now has not been asked for any page that a TLB or a window has. */
int vm_door(struct translate_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	if (!find(vm, gpa, size, err))
		return -EINVAL;
	forget_addresses(vm);
	count(vm);
	return 0;
}

int vm_protect(struct translate_vm *vm, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err)
{
	struct region *r = find(vm, gpa, size, err);
	struct memory_region changed;
	int rc;

	if (!r)
		return -EINVAL;
	changed = as_given(r);
	changed.read_only = read_only;
	rc = check(vm, &changed, r, err);
	if (rc)
		return rc;
	forget_addresses(vm);
	r->read_only = read_only;
	return 0;
}

void vm_unmap_all(struct translate_vm *vm)
{
	vm->vcpus = 0;
	native_pool_destroy(vm);
	while (vm->regions)
		drop(vm, vm->by_gpa[--vm->regions]);
	count(vm);
}

int vm_map_vcpu(struct translate_vm *vm, struct translate_vcpu *p, struct error *err)
{
	for (unsigned i = 0; i < vm->regions; i++) {
		uint32_t **hints = &p->write_hint[vm->by_gpa[i] - vm->region];

		*hints = reserve(hints_size(vm->by_gpa[i]));
		if (!*hints)
			return error_set(err, ENOMEM, "no memory for a vCPU");
	}
	return 0;
}

void vm_unmap_vcpu(struct translate_vm *vm, struct translate_vcpu *p)
{
	for (unsigned i = 0; i < vm->regions; i++) {
		unsigned slot = (unsigned)(vm->by_gpa[i] - vm->region);

		release(p->write_hint[slot], hints_size(vm->by_gpa[i]));
		p->write_hint[slot] = NULL;
	}
}
