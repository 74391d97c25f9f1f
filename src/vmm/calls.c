/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define CALL(name) SCMP_SYS(name)

/* Tables of calls, several a line where one reason is theirs. */
/* clang-format off */
static const int common[] = {
	/* Locks, conditions, halted vCPUs. */
	CALL(futex),
	CALL(write),  /* eventfds, by which threads wake each other and KVM is told of interrupts */
	CALL(writev), /* the C library's last words (abort, assertions) */
	CALL(timerfd_settime), /* the event loop's timers: any thread that drives a device arms them */
	CALL(restart_syscall), /* a wait goes on after a signal */
	/* Clocks, where the vDSO cannot tell; the TSC is measured; spinning threads make way. */
	CALL(clock_gettime), CALL(clock_nanosleep), CALL(nanosleep), CALL(sched_yield),
	/* Memory: malloc, threads' stacks, the engine's tables; guest RAM given back. */
	CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk),
	CALL(sched_getaffinity), /* malloc counts processors for its arenas */
	CALL(getrandom),         /* malloc's seed; the guest's entropy device */
	/* Threads begin and end. */
	CALL(set_robust_list), CALL(rseq), CALL(exit), CALL(exit_group), CALL(gettid), CALL(getpid),
	/* Kicks: handlers, their stacks, the way back. */
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack),
	/* What was opened goes when its device cannot be made. */
	CALL(close), CALL(fstat), CALL(newfstatat),
};

/* The event loop: timers, signals, the terminal, what is saved, the end. */
static const int loop[] = {
	CALL(read), CALL(poll), CALL(ppoll),
	/* Kernel and initrd at a reset; states, cores and the last words of the monitor. */
	CALL(pread64), CALL(pwrite64), CALL(lseek),
	CALL(ftruncate), /* a state that could not be written whole */
	CALL(fdatasync), /* disks are made stable when they are closed */
	CALL(arch_prctl), /* the translator's register where the loop looks into a vCPU */
};

static const int vcpu[] = {
	CALL(arch_prctl), /* the translator's register for its vCPU, on hosts without FSGSBASE */
	CALL(preadv2),    /* a read that the page cache answers is done at once */
	CALL(poll),       /* a terminal that is slow */
};

static const int disk[] = {
	CALL(preadv), CALL(pwritev),
	CALL(fsync), CALL(fdatasync), /* the guest's flush */
	CALL(fallocate),              /* the guest's discard and write-zeroes */
	CALL(pwrite64),               /* the latter, where a file system cannot */
	CALL(pread64), /* with pwrite64: cache=none and a buffer that the host's disk cannot take */
	/* A device that KVM notifies by an eventfd: its thread makes it, waits, and does the rest. */
	CALL(eventfd2), CALL(read), CALL(preadv2),
};

/* The disk, and the files in memory that are filled from it. */
static const int reader[] = {
	CALL(read), CALL(pread64), CALL(pwrite64), CALL(lseek), CALL(ftruncate),
};

/* User-mode networking: what libslirp does with the host's sockets, and waits for. */
static const int sockets[] = {
	CALL(bind), CALL(connect), CALL(listen), CALL(accept), CALL(accept4), CALL(getsockname),
	CALL(getpeername), CALL(getsockopt), CALL(setsockopt), CALL(sendto), CALL(recvfrom),
	CALL(sendmsg), CALL(recvmsg), CALL(shutdown), CALL(read), CALL(poll), CALL(ppoll),
};

/* A debugger's connection: its listening socket is open already. */
static const int debugger[] = {
	CALL(accept), CALL(accept4), CALL(sendto), CALL(recvfrom), CALL(setsockopt), CALL(shutdown),
};
/* The daemon's sockets are listening already; a dump's file comes over one. */
static const int doors[] = {CALL(accept4), CALL(recvmsg), CALL(shutdown)};
/* A profile: a timer of each vCPU's thread, made by that thread; qsort() asks for the memory's size. */
static const int profile[] = {
	CALL(timer_create), CALL(timer_settime), CALL(timer_delete), CALL(sysinfo),
};
/* clang-format on */

#define ALLOW(filter, list) allow_list(filter, list, sizeof list / sizeof *list)

static int allow_list(scmp_filter_ctx filter, const int *list, size_t count)
{
	int r = 0;

	/* The roles' lists overlap where one thread has all of them. */
	for (size_t i = 0; (!r || r == -EEXIST) && i < count; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, list[i], 0);
	return r == -EEXIST ? 0 : r;
}

static int allow_masked(scmp_filter_ctx filter, int call, unsigned arg, uint64_t mask,
	uint64_t value)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
		SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value));
}

static int allow_value(scmp_filter_ctx filter, int call, unsigned arg, uint64_t value)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
		SCMP_CMP(arg, SCMP_CMP_EQ, value, 0));
}

/* ioctl is many calls in one: only these of its requests. */
static int allow_ioctls(scmp_filter_ctx filter, unsigned roles, const struct sandbox_needs *needs)
{
	static const struct {
		unsigned roles, request;
	} requests[] = {
		/* The terminal goes back to how it was. */
		{CALLS_LOOP, TCGETS},
		{CALLS_LOOP, TCSETS},
		{CALLS_LOOP, TCSETSW},
		{CALLS_LOOP, TCSETSF},
		/* libslirp's sockets */
		{CALLS_NET, FIONBIO},
		{CALLS_NET, FIONREAD},
		/* Disks that are block devices; how large they are is asked when they are made. */
		{CALLS_DISK, BLKDISCARD},
		{CALLS_DISK, BLKZEROOUT},
		{CALLS_DISK, BLKGETSIZE64},
	};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof requests / sizeof *requests; i++)
		if (requests[i].roles & roles)
			r = allow_value(filter, CALL(ioctl), 1, requests[i].request);
	if (!r && (roles & CALLS_NET) && needs->user) /* name servers on link-local addresses */
		r = allow_value(filter, CALL(ioctl), 1, SIOCGIFINDEX);
	if (!r && needs->kvm)
		r = allow_masked(filter, CALL(ioctl), 1, 0xff00, 0xae00); /* KVM's own: type 0xae */
	return r;
}

/* Calls that are harmless with one argument and not with another. */
static int allow_some(scmp_filter_ctx filter, unsigned roles, const struct sandbox_needs *needs)
{
	/* Sockets and pipes do not block; a disk is locked when it is made. */
	static const int fcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_OFD_SETLK};
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	int r = allow_ioctls(filter, roles, needs);

	for (size_t i = 0; !r && i < sizeof fcntls / sizeof *fcntls; i++)
		r = allow_value(filter, CALL(fcntl), 1, fcntls[i]);
	/* No new code: what is executable was so before. */
	if (!r)
		r = allow_masked(filter, CALL(mmap), 2, PROT_EXEC, 0);
	if (!r)
		r = allow_masked(filter, CALL(mprotect), 2, PROT_EXEC, 0);
	/* Threads, no processes. clone3's flags are out of sight: without it glibc takes clone. */
	if (!r)
		r = allow_masked(filter, CALL(clone), 0, thread | CLONE_NEWUSER | CLONE_NEWNS,
			thread);
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
	/* Signals to our own threads (kicks, abort) only. */
	if (!r)
		r = allow_value(filter, CALL(tgkill), 0, getpid());
	if (!r)
		r = allow_value(filter, CALL(prctl), 0, PR_SET_NAME);
	/* PR_SET_VMA: glibc names its memory. No harm in an answer that it cannot. */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), CALL(prctl), 1,
			SCMP_A0(SCMP_CMP_NE, PR_SET_NAME, 0));
	return r;
}

/* The C library tries to open files in passing (names of threads): it may hear that it cannot. */
static int refuse_opening(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), CALL(openat), 0);
}

static int allow_reading(scmp_filter_ctx filter)
{
	static const unsigned bits[] = {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC};
	const unsigned mask = O_ACCMODE | O_CREAT | O_TRUNC;
	int r = allow_masked(filter, CALL(openat), 2, mask, O_RDONLY);

	/* Every other combination of these bits is refused. */
	for (unsigned i = 1; !r && i < 16; i++) {
		unsigned flags = 0;

		for (unsigned k = 0; k < 4; k++)
			flags |= i & 1u << k ? bits[k] : 0;
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), CALL(openat), 1,
			SCMP_A2(SCMP_CMP_MASKED_EQ, mask, flags));
	}
	return r;
}

/*
 * resolv.conf may change while the guest runs, so libslirp looks at it again.
 * Behind Landlock that is the only file to be opened, apart from disks that are
 * open anyway; without Landlock none can be, and a new name server needs a new
 * start.
 */
static int allow_network(scmp_filter_ctx filter, bool landlocked)
{
	static const int families[] = {AF_INET, AF_INET6};
	int r = ALLOW(filter, sockets);

	for (size_t i = 0; !r && i < sizeof families / sizeof *families; i++)
		r = allow_value(filter, CALL(socket), 0, families[i]);
	/* No other families; who asks for one (if_nametoindex) tries the next. */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), CALL(socket), 1,
			SCMP_A0(SCMP_CMP_LT, AF_INET, 0));
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), CALL(socket), 1,
			SCMP_A0(SCMP_CMP_GT, AF_INET6, 0));
	if (r)
		return r;
	return landlocked ? allow_reading(filter) : refuse_opening(filter);
}

static int make_filter(scmp_filter_ctx filter, unsigned roles, const struct sandbox_needs *needs)
{
	const bool net = needs->user && (roles & CALLS_NET);
	int r = ALLOW(filter, common);

	/* All threads, those already there too. */
	if (!r && roles == CALLS_ALL)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r && (roles & CALLS_LOOP))
		r = ALLOW(filter, loop);
	if (!r && (roles & CALLS_VCPU))
		r = ALLOW(filter, vcpu);
	if (!r && (roles & CALLS_DISK))
		r = ALLOW(filter, disk);
	if (!r && (roles & CALLS_READER))
		r = ALLOW(filter, reader);
	/* How long it may go on, which it says itself before each disk; no other process. */
	if (!r && (roles & CALLS_READER))
		r = allow_value(filter, CALL(prlimit64), 0, 0);
	if (!r)
		r = allow_some(filter, roles, needs);
	if (!r)
		r = net ? allow_network(filter, needs->landlocked) : refuse_opening(filter);
	if (!r && needs->gdb && (roles & CALLS_LOOP))
		r = ALLOW(filter, debugger);
	if (!r && needs->doors && (roles & CALLS_LOOP))
		r = ALLOW(filter, doors);
	if (!r && needs->profile && (roles & CALLS_VCPU))
		r = ALLOW(filter, profile);
	/* Most frequent first: the filter is a list that the kernel walks. */
	if (!r)
		r = seccomp_syscall_priority(filter, CALL(futex), 255);
	if (!r)
		r = seccomp_syscall_priority(filter, CALL(write), 254);
	return r;
}

int calls_load(unsigned roles, const struct sandbox_needs *needs, struct error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!filter)
		return error_set(err, ENOMEM, "no seccomp filter can be made");
	r = make_filter(filter, roles, needs);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r ? error_set(err, -r, "no sandbox (seccomp): %s", strerror(-r)) : 0;
}
