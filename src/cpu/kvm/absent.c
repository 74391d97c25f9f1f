/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages that are absent until somebody touches them (cpu/page_door.h): Linux's userfaultfd tells of a
 * vCPU that waits for one, and a thread brings it. The kernel must let us serve its own faults too, since
 * it is KVM that touches the page: for root, or by /dev/userfaultfd (Linux 6.1).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/kvm/kvm.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static struct uffdio_range range_of(const struct memory_region *region)
{
	return (struct uffdio_range){(uintptr_t)region->host, region->size};
}

/* Puts pages where nobody can write them. */
static int place(void *ctx, struct page_door *door, uint64_t first, uint64_t count,
	const void *from)
{
	struct kvm_vm *vm = ctx;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)(door->host + first * REGION_PAGE),
		.src = (uintptr_t)from,
		.len = count * REGION_PAGE,
	};

	while (ioctl(vm->absent.fd, UFFDIO_COPY, &copy) < 0) {
		if (errno != EAGAIN)
			return -errno;
		/* not all at once */
		if (copy.copy > 0) {
			copy.dst += (uint64_t)copy.copy;
			copy.src += (uint64_t)copy.copy;
			copy.len -= (uint64_t)copy.copy;
		}
	}
	return 0;
}

/* The region and its page that a host address is in. */
static bool find(struct kvm_vm *vm, uint64_t at, struct page_door **door, uint64_t *page)
{
	bool found = false;

	mutex_lock(&vm->lock);
	for (unsigned i = 0; i < REGIONS_MAX && !found; i++) {
		const struct memory_region *region = &vm->region[i];
		uint64_t offset = at - (uintptr_t)region->host;

		if (!region->door || offset >= region->size)
			continue;
		*door = region->door;
		*page = region->door_page + offset / REGION_PAGE;
		found = true;
	}
	mutex_unlock(&vm->lock);
	return found;
}

/* The guest must not go on: all vCPUs come out before they run another instruction of it. */
static void give_up(struct kvm_vm *vm)
{
	__atomic_store_n(&vm->absent.lost, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < KVM_VCPUS; i++)
		if (vm->vcpu[i])
			kvm_kick(vm->vcpu[i], true);
}

static void serve(struct kvm_vm *vm, uint64_t address)
{
	struct uffdio_zeropage zero = {
		.range = {address & ~(uint64_t)(REGION_PAGE - 1), REGION_PAGE}};
	struct page_door *door;
	uint64_t page;

	if (find(vm, address, &door, &page) && !page_door_is_here(door, page)) {
		if (!page_door_bring(door, page, 1)) {
			ioctl(vm->absent.fd, UFFDIO_WAKE, &zero.range);
			return;
		}
		give_up(vm);
	}
	/* it was given back to the host, or nothing can be had */
	if (ioctl(vm->absent.fd, UFFDIO_ZEROPAGE, &zero) < 0)
		ioctl(vm->absent.fd, UFFDIO_WAKE, &zero.range);
}

static void *bringer(void *ctx)
{
	struct kvm_vm *vm = ctx;
	struct pollfd wait[2] = {{vm->absent.fd, POLLIN, 0}, {vm->absent.stop, POLLIN, 0}};

	for (;;) {
		struct uffd_msg msg;

		if (poll(wait, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (wait[1].revents)
			return NULL;
		while (read(vm->absent.fd, &msg, sizeof msg) == sizeof msg)
			if (msg.event == UFFD_EVENT_PAGEFAULT)
				serve(vm, msg.arg.pagefault.address);
	}
}

static int open_userfaultfd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int device;

	if (fd >= 0)
		return fd;
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -1;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	close(device);
	return fd;
}

static int start(struct kvm_vm *vm, struct error *err)
{
	struct uffdio_api api = {.api = UFFD_API};
	int r;

	vm->absent.fd = open_userfaultfd();
	if (vm->absent.fd < 0 || ioctl(vm->absent.fd, UFFDIO_API, &api) < 0) {
		kvm_absent_end(vm);
		return error_set(err, ENOTSUP,
			"KVM: this host does not let memory come late: no userfaultfd for the kernel's own "
			"faults (/dev/userfaultfd)");
	}
	vm->absent.stop = eventfd(0, EFD_CLOEXEC);
	r = vm->absent.stop < 0 ? -errno : thread_start(&vm->absent.thread, 0, bringer, vm);
	vm->absent.started = !r;
	if (r)
		kvm_absent_end(vm);
	return r ? error_set(err, -r, "KVM: memory that comes late: %s", strerror(-r)) : 0;
}

void kvm_absent_end(struct kvm_vm *vm)
{
	uint64_t one = 1;

	if (vm->absent.started && write(vm->absent.stop, &one, sizeof one) == sizeof one)
		pthread_join(vm->absent.thread, NULL);
	if (vm->absent.fd >= 0)
		close(vm->absent.fd);
	if (vm->absent.stop >= 0)
		close(vm->absent.stop);
	vm->absent.fd = vm->absent.stop = -1;
	vm->absent.started = false;
}

/* What is absent has no page of the host's either: touching one is what the kernel tells of. */
static void empty(const struct memory_region *region)
{
	int how = region->fd < 0 ? MADV_DONTNEED : MADV_REMOVE;

	for (uint64_t i = 0; i < region->size / REGION_PAGE; i++)
		if (!page_door_is_here(region->door, region->door_page + i))
			madvise(region->host + i * REGION_PAGE, REGION_PAGE, how);
}

int kvm_absent_watch(struct kvm_vm *vm, const struct memory_region *region, struct error *err)
{
	struct uffdio_register reg = {.range = range_of(region),
		.mode = UFFDIO_REGISTER_MODE_MISSING};
	int r = vm->absent.started ? 0 : start(vm, err);

	if (r)
		return r;
	empty(region);
	if (ioctl(vm->absent.fd, UFFDIO_REGISTER, &reg) < 0)
		return error_set(err, errno, "KVM: memory that comes late: %s", strerror(errno));
	region->door->place = place;
	region->door->place_ctx = vm;
	return 0;
}

void kvm_absent_unwatch(struct kvm_vm *vm, const struct memory_region *region)
{
	struct uffdio_range range = range_of(region);

	if (vm->absent.started)
		ioctl(vm->absent.fd, UFFDIO_UNREGISTER, &range);
}
