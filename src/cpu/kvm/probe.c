/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does /dev/kvm run guests? There are hosts where it can be opened and a guest
 * in it makes no progress worth the name: it never comes back, or each of its
 * instructions is emulated. So a child runs a small guest in 64-bit mode: one
 * instruction that such an emulator does not know, which ends it at once, and
 * a loop that takes a processor a millisecond. It is killed when it takes long.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cpu/kvm/kvm.h"

/*
 * How long the guest may take, in processor time since a busy host may keep the child waiting; and
 * how long all of it, setting up included. Much more than a millisecond: a host that is a guest itself
 * takes for processor time also what its own host has given to others.
 */
#define PROBE_CPU_MS 600
#define PROBE_MS 5000
#define PROBE_PORT 0x10
#define PROBE_MEMORY 0x5000
#define PROBE_STARTED 0 /* where the child says so */

/*
 * popcnt eax, ecx; mov ecx, 3000000; dec ecx; jnz (back to dec); out 0x10, al; hlt. KVM's own emulator,
 * which such hosts have for every instruction, knows no POPCNT.
 */
static const uint8_t probe_code[] = {0xf3, 0x0f, 0xb8, 0xc1, 0xb9, 0xc0, 0xc6, 0x2d, 0x00, 0xff,
	0xc9, 0x75, 0xfc, 0xe6, PROBE_PORT, 0xf4};

/* A new kernel (6.12) lets no processor into 64-bit mode whose CPUID does not have it. */
static int probe_cpuid(int kvm, int vcpu)
{
	struct kvm_cpuid_table table = {.nent = sizeof table.entry / sizeof *table.entry};

	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &table) < 0)
		return -1;
	return ioctl(vcpu, KVM_SET_CPUID2, &table);
}

static int probe_state(int vcpu)
{
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs s;

	if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
		return -1;
	s.cs = (struct kvm_segment){.selector = 8,
		.limit = ~0u,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1};
	s.ss = (struct kvm_segment){.selector = 16,
		.limit = ~0u,
		.type = 3,
		.present = 1,
		.s = 1,
		.db = 1,
		.g = 1};
	s.ds = s.es = s.fs = s.gs = s.ss;
	s.cr3 = 0x2000;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	s.cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE;
	if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0)
		return -1;
	return ioctl(vcpu, KVM_SET_REGS, &regs);
}

/* Runs in the child, between fork and _exit: system calls only. */
static int probe_guest(int kvm, uint8_t *memory)
{
	struct kvm_userspace_memory_region region = {.memory_size = PROBE_MEMORY};
	int vm, vcpu, size;
	struct kvm_run *run;

	for (unsigned i = 0; i < sizeof probe_code; i++)
		memory[0x1000 + i] = probe_code[i];
	*(uint64_t *)(memory + 0x2000) = 0x3000 | 7; /* present, writable, user */
	*(uint64_t *)(memory + 0x3000) = 0x4000 | 7;
	*(uint64_t *)(memory + 0x4000) = 0 | 0x87; /* one page of 2 MiB */
	region.userspace_addr = (uintptr_t)memory;
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000) < 0 ||
		ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return 2;
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size < (int)sizeof *run)
		return 2;
	run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || probe_cpuid(kvm, vcpu) < 0 || probe_state(vcpu) < 0)
		return 2;
	__atomic_store_n(&memory[PROBE_STARTED], 1, __ATOMIC_RELEASE);
	if (ioctl(vcpu, KVM_RUN, 0) < 0)
		return 3;
	return run->exit_reason == KVM_EXIT_IO && run->io.port == PROBE_PORT ? 0 : 3;
}

static uint64_t milliseconds(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* True when the child has ended, false when it has had its time. */
static bool probe_ended(pid_t child, int pidfd, const uint8_t *memory)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	uint64_t end = milliseconds(CLOCK_MONOTONIC) + PROBE_MS, used = UINT64_MAX;
	clockid_t cpu;

	if (clock_getcpuclockid(child, &cpu))
		return poll(&poll_fd, 1, PROBE_MS) > 0;
	while (poll(&poll_fd, 1, 20) <= 0) {
		if (used == UINT64_MAX && __atomic_load_n(&memory[PROBE_STARTED], __ATOMIC_ACQUIRE))
			used = milliseconds(cpu);
		if (used != UINT64_MAX && milliseconds(cpu) > used + PROBE_CPU_MS)
			return false;
		if (milliseconds(CLOCK_MONOTONIC) > end)
			return false;
	}
	return true;
}

static int probe_wait(pid_t child, const uint8_t *memory, struct error *err)
{
	struct pollfd poll_fd = {.events = POLLIN};
	int status;

	poll_fd.fd = syscall(SYS_pidfd_open, child, 0);
	if (poll_fd.fd < 0) {
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		return error_set(err, ENOTSUP,
			"this host's kernel is too old for KVM (pidfd_open)");
	}
	if (!probe_ended(child, poll_fd.fd, memory)) {
		kill(child, SIGKILL);
		/* Where not even this ends it, better a lost child than a monitor that waits. */
		if (poll(&poll_fd, 1, 1000) > 0)
			waitpid(child, &status, 0);
		close(poll_fd.fd);
		return error_set(err, ENODEV,
			"/dev/kvm is a device that cannot run a guest (a loop of a millisecond was "
			"not over after %d)",
			PROBE_CPU_MS);
	}
	close(poll_fd.fd);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "KVM: waiting: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return error_set(err, ENODEV, "/dev/kvm cannot make a virtual machine");
	return error_set(err, ENODEV, "/dev/kvm is a device that cannot run a guest");
}

int kvm_probe(struct error *err)
{
	int rc, kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	uint8_t *memory;
	pid_t child;

	if (kvm < 0) {
		rc = errno;
		if (rc == ENOENT || rc == ENXIO || rc == ENODEV)
			return error_set(err, ENODEV, "this host has no /dev/kvm");
		return error_set(err, rc, "/dev/kvm: %s", strerror(rc));
	}
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
		rc = error_set(err, ENODEV, "/dev/kvm is not a KVM device");
		goto out;
	}
	memory =
		mmap(NULL, PROBE_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		rc = error_set(err, ENOMEM, "KVM: out of memory");
		goto out;
	}
	child = fork();
	if (child == 0)
		_exit(probe_guest(kvm, memory));
	if (child < 0)
		rc = error_set(err, errno, "KVM: fork: %s", strerror(errno));
	else
		rc = probe_wait(child, memory, err);
	munmap(memory, PROBE_MEMORY);
out:
	close(kvm);
	return rc;
}
