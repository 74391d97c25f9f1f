/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory, and which pages of it vCPUs have written. Each region is a slot of the kernel's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm.h"

/* Tells the kernel of a slot as it is now; `size`: its bytes, 0 for no slot any more. */
static int set_slot(struct kvm_vm *vm, unsigned slot, uint64_t size, struct error *err)
{
	const struct memory_region *region = &vm->region[slot];
	struct kvm_userspace_memory_region set = {
		.slot = slot,
		.flags = (region->read_only ? KVM_MEM_READONLY : 0) |
			(page_door_logs(region->door) ? KVM_MEM_LOG_DIRTY_PAGES : 0),
		.guest_phys_addr = region->gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)region->host,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &set) < 0)
		return error_set(err, errno, "KVM: guest memory: %s", strerror(errno));
	return 0;
}

static int check_read_only(struct kvm_vm *vm, struct error *err)
{
	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0)
		return 0;
	return error_set(err, ENOTSUP, "this host's KVM has no read-only guest memory");
}

static int watch_absent(struct kvm_vm *vm, const struct memory_region *region, struct error *err)
{
	if (page_door_is_lazy(region->door))
		return kvm_absent_watch(vm, region, err);
	kvm_absent_unwatch(vm, region);
	return 0;
}

static int map(struct kvm_vm *vm, const struct memory_region *region, struct error *err)
	REQUIRES(vm->slots)
{
	unsigned slot = REGIONS_MAX;
	int r = region_check(region, err);

	if (!r && region->read_only)
		r = check_read_only(vm, err);
	for (unsigned i = 0; i < REGIONS_MAX && !r; i++) {
		if (vm->region[i].size)
			r = region_conflict(region, &vm->region[i], err);
		else if (slot == REGIONS_MAX)
			slot = i;
	}
	if (r)
		return r;
	if (slot == REGIONS_MAX)
		return error_set(err, ENOSPC, "KVM: more than %u memory regions", REGIONS_MAX);
	if (page_door_is_lazy(region->door))
		r = kvm_absent_watch(vm, region, err);
	if (r)
		return r;
	mutex_lock(&vm->lock);
	vm->region[slot] = *region;
	mutex_unlock(&vm->lock);
	r = set_slot(vm, slot, region->size, err);
	if (r)
		vm->region[slot].size = 0;
	return r;
}

int kvm_map(struct engine_vm *e, const struct memory_region *region, struct error *err)
{
	struct kvm_vm *vm = kvm_vm(e);
	int r;

	mutex_lock(&vm->slots);
	r = map(vm, region, err);
	mutex_unlock(&vm->slots);
	return r;
}

static int find_slot(struct kvm_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	for (unsigned i = 0; i < REGIONS_MAX; i++)
		if (size && vm->region[i].gpa == gpa && vm->region[i].size == size)
			return (int)i;
	return error_set(err, EINVAL, "KVM: no memory region is at %#llx", (unsigned long long)gpa);
}

/* The kernel's log of a slot, which begins anew with that, goes to the region's door. */
static void collect(struct kvm_vm *vm, unsigned slot) REQUIRES(vm->slots)
{
	const struct memory_region *region = &vm->region[slot];
	uint64_t pages = region->size / REGION_PAGE;
	uint64_t *bits = page_door_logs(region->door) ? calloc((pages + 63) / 64, 8) : NULL;
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bits};

	if (!page_door_logs(region->door))
		return;
	/* what is not known counts as written */
	if (!bits || ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
		page_door_mark(region->door, region->door_page, pages);
	else
		for (uint64_t i = 0; i < pages; i++)
			if (bits[i / 64] >> i % 64 & 1)
				page_door_mark(region->door, region->door_page + i, 1);
	free(bits);
}

static int unmap(struct kvm_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
	REQUIRES(vm->slots)
{
	int slot = find_slot(vm, gpa, size, err);
	int r;

	if (slot < 0)
		return slot;
	collect(vm, (unsigned)slot);
	r = set_slot(vm, (unsigned)slot, 0, err);
	if (r)
		return r;
	kvm_absent_unwatch(vm, &vm->region[slot]);
	mutex_lock(&vm->lock);
	vm->region[slot].size = 0;
	mutex_unlock(&vm->lock);
	return 0;
}

int kvm_unmap(struct engine_vm *e, uint64_t gpa, uint64_t size, struct error *err)
{
	struct kvm_vm *vm = kvm_vm(e);
	int r;

	mutex_lock(&vm->slots);
	r = unmap(vm, gpa, size, err);
	mutex_unlock(&vm->slots);
	return r;
}

/* The kernel takes that of a new slot only. */
static int protect(struct kvm_vm *vm, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err) REQUIRES(vm->slots)
{
	int slot = find_slot(vm, gpa, size, err);
	int r = slot < 0 ? slot : 0;
	struct memory_region *region = &vm->region[slot < 0 ? 0 : slot];

	if (r || region->read_only == read_only)
		return r;
	if (read_only)
		r = check_read_only(vm, err);
	for (unsigned i = 0; i < REGIONS_MAX && !r; i++) {
		struct memory_region changed = *region;

		changed.read_only = read_only;
		if (i != (unsigned)slot && vm->region[i].size)
			r = region_conflict(&changed, &vm->region[i], err);
	}
	if (r)
		return r;
	collect(vm, (unsigned)slot);
	r = set_slot(vm, (unsigned)slot, 0, err);
	if (r)
		return r;
	region->read_only = read_only;
	return set_slot(vm, (unsigned)slot, size, err);
}

int kvm_protect(struct engine_vm *e, uint64_t gpa, uint64_t size, bool read_only, struct error *err)
{
	struct kvm_vm *vm = kvm_vm(e);
	int r;

	mutex_lock(&vm->slots);
	r = protect(vm, gpa, size, read_only, err);
	mutex_unlock(&vm->slots);
	return r;
}

int kvm_door(struct engine_vm *e, uint64_t gpa, uint64_t size, struct error *err)
{
	struct kvm_vm *vm = kvm_vm(e);
	int slot, r;

	mutex_lock(&vm->slots);
	slot = find_slot(vm, gpa, size, err);
	r = slot < 0 ? slot : watch_absent(vm, &vm->region[slot], err);
	if (!r)
		r = set_slot(vm, (unsigned)slot, size, err);
	mutex_unlock(&vm->slots);
	return r;
}

void kvm_log_collect(struct engine_vm *e, const struct memory_region *part)
{
	struct kvm_vm *vm = kvm_vm(e);

	mutex_lock(&vm->slots);
	for (unsigned i = 0; i < REGIONS_MAX; i++)
		if (vm->region[i].size && region_holds(&vm->region[i], part->gpa))
			collect(vm, i);
	mutex_unlock(&vm->slots);
}
