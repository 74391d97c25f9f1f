/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/landlock.h>
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#define CALL(name) SCMP_SYS(name)

/* Tables of calls, several a line where one reason is theirs. */
/* clang-format off */
static const int always[] = {
	/* Disks, terminal, event and signal descriptors; kernel and initrd at a reset. */
	CALL(read), CALL(write), CALL(pread64), CALL(pwrite64), CALL(preadv), CALL(pwritev),
	CALL(preadv2), CALL(lseek), CALL(close),
	CALL(writev),                  /* the C library's last words (abort, assertions) */
	CALL(fsync), CALL(fdatasync),  /* the guest's flush */
	CALL(fallocate),               /* the guest's discard and write-zeroes */
	CALL(ftruncate),               /* a state that could not be written whole */
	CALL(fstat), CALL(newfstatat), /* stdio: what it writes to; libslirp: resolv.conf's age */
	/* The event loop and the network's thread wait. */
	CALL(poll), CALL(ppoll), CALL(timerfd_settime), CALL(restart_syscall),
	/* Clocks, where the vDSO cannot tell; the TSC is measured; spinning threads make way. */
	CALL(clock_gettime), CALL(clock_nanosleep), CALL(nanosleep), CALL(sched_yield),
	CALL(futex), /* locks, conditions, halted vCPUs */
	/* Memory: malloc, threads' stacks, the engine's tables; guest RAM given back at a reset. */
	CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk),
	/* Threads begin and end; the vCPUs' start after the sandbox is there. */
	CALL(set_robust_list), CALL(rseq), CALL(exit), CALL(exit_group), CALL(gettid), CALL(getpid),
	CALL(sched_getaffinity), /* malloc counts processors for its arenas */
	/* Kicks and faults of the engines: handlers, their stacks, the way back. */
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack),
	CALL(arch_prctl), /* the translator's register for its vCPU, on hosts without FSGSBASE */
	CALL(getrandom),  /* the guest's entropy device; malloc's seed */
};

/* User-mode networking: what libslirp does with the host's sockets. */
static const int sockets[] = {
	CALL(bind), CALL(connect), CALL(listen), CALL(accept), CALL(accept4), CALL(getsockname),
	CALL(getpeername), CALL(getsockopt), CALL(setsockopt), CALL(sendto), CALL(recvfrom),
	CALL(sendmsg), CALL(recvmsg), CALL(shutdown),
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

static int allow_list(scmp_filter_ctx filter, const int *list, size_t count)
{
	int r = 0;

	for (size_t i = 0; !r && i < count; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, list[i], 0);
	return r;
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
static int allow_ioctls(scmp_filter_ctx filter, const struct sandbox_needs *needs)
{
	static const unsigned requests[] = {
		TCGETS, TCSETS, TCSETSW, TCSETSF, /* the terminal goes back to how it was */
		FIONBIO, FIONREAD,                /* libslirp's sockets */
		BLKDISCARD, BLKZEROOUT,           /* disks that are block devices */
	};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof requests / sizeof *requests; i++)
		r = allow_value(filter, CALL(ioctl), 1, requests[i]);
	if (!r && needs->user) /* name servers on link-local addresses */
		r = allow_value(filter, CALL(ioctl), 1, SIOCGIFINDEX);
	if (!r && needs->kvm)
		r = allow_masked(filter, CALL(ioctl), 1, 0xff00, 0xae00); /* KVM's own: type 0xae */
	return r;
}

/* Calls that are harmless with one argument and not with another. */
static int allow_some(scmp_filter_ctx filter, const struct sandbox_needs *needs)
{
	static const int fcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD};
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	int r = allow_ioctls(filter, needs);

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
	int r = allow_list(filter, sockets, sizeof sockets / sizeof *sockets);

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

static int make_filter(scmp_filter_ctx filter, const struct sandbox_needs *needs)
{
	/* All threads, those already there too. */
	int r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	if (!r)
		r = allow_list(filter, always, sizeof always / sizeof *always);
	if (!r)
		r = allow_some(filter, needs);
	if (!r && needs->user)
		r = allow_network(filter, needs->landlocked);
	if (!r && !needs->user)
		r = refuse_opening(filter);
	if (!r && needs->gdb && !needs->user)
		r = allow_list(filter, debugger, sizeof debugger / sizeof *debugger);
	if (!r && needs->doors && !needs->user)
		r = allow_list(filter, doors, sizeof doors / sizeof *doors);
	if (!r && needs->profile)
		r = allow_list(filter, profile, sizeof profile / sizeof *profile);
	/* Most frequent first: the filter is a list that the kernel walks. */
	if (!r)
		r = seccomp_syscall_priority(filter, CALL(futex), 255);
	if (!r)
		r = seccomp_syscall_priority(filter, CALL(write), 254);
	return r;
}

static int allow_file(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	struct stat st;
	int r;

	if (rule.parent_fd < 0)
		return 0; /* no such file: nothing to allow */
	/* A directory is refused as a disk later, with a better sentence than "permission denied". */
	if (!fstat(rule.parent_fd, &st) && S_ISDIR(st.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return r;
}

/* A ruleset that handles all of Landlock's first version (LANDLOCK_ACCESS_FS_*: bits 0 to 12). */
static int make_ruleset(void)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = (1u << 13) - 1};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
}

bool sandbox_files(const char *const *disks)
{
	const uint64_t access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	int ruleset = make_ruleset(), r;

	if (ruleset < 0)
		return false;
	r = allow_file(ruleset, "/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE);
	if (!r) /* GLib, under libslirp, seeds its generator */
		r = allow_file(ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
	for (; !r && *disks; disks++)
		r = allow_file(ruleset, *disks, access);
	if (!r)
		r = syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return !r;
}

bool sandbox_no_files(void)
{
	int ruleset = make_ruleset(), r;

	if (ruleset < 0)
		return false;
	r = syscall(SYS_landlock_restrict_self, ruleset, 0);
	close(ruleset);
	return !r;
}

int sandbox_user(unsigned uid, unsigned gid, struct error *err)
{
	if (geteuid())
		return 0;
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return error_set(err, errno, "cannot become user %u: %s", uid, strerror(errno));
	return 0;
}

/* Root without capabilities may still open root's files, but no more than that. */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};

	return syscall(SYS_capset, &header, none);
}

int sandbox_calls(const struct sandbox_needs *needs, struct error *err)
{
	scmp_filter_ctx filter;
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || drop_capabilities())
		return error_set(err, errno, "cannot give up privileges: %s", strerror(errno));
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return error_set(err, ENOMEM, "no seccomp filter can be made");
	r = make_filter(filter, needs);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r ? error_set(err, -r, "no sandbox (seccomp): %s", strerror(-r)) : 0;
}
