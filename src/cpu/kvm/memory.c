/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory, and which pages of it vCPUs have written. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm.h"

int kvm_map(struct engine_vm *vm, uint64_t gpa, uint64_t size, void *host, int fd, uint64_t offset,
	struct error *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = vm->slots,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
	};

	if (vm->slots == KVM_REGIONS)
		return error_set(err, ENOSPC, "KVM: more than %d memory regions", KVM_REGIONS);
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return error_set(err, errno, "KVM: guest memory: %s", strerror(errno));
	vm->region[vm->slots++] = region;
	return 0;
}

int kvm_dirty_log(struct engine_vm *vm, bool on, struct error *err)
{
	for (unsigned i = 0; i < vm->slots; i++) {
		struct kvm_userspace_memory_region *region = &vm->region[i];

		region->flags = on ? KVM_MEM_LOG_DIRTY_PAGES : 0;
		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, region) < 0)
			return error_set(err, errno, "KVM: dirty log: %s", strerror(errno));
	}
	return 0;
}

int kvm_dirty_read(struct engine_vm *vm, uint64_t gpa, uint64_t size, uint64_t *bitmap,
	struct error *err)
{
	for (unsigned i = 0; i < vm->slots; i++) {
		const struct kvm_userspace_memory_region *region = &vm->region[i];
		struct kvm_dirty_log log = {.slot = i, .dirty_bitmap = bitmap};

		if (region->guest_phys_addr != gpa || region->memory_size != size)
			continue;
		if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
			return error_set(err, errno, "KVM: dirty log: %s", strerror(errno));
		return 0;
	}
	return error_set(err, EINVAL, "KVM: dirty log: no memory region is at %#llx",
		(unsigned long long)gpa);
}
