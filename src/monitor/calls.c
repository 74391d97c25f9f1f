/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "monitor/sandbox.h"

#define CALL(name) SCMP_SYS(name)

/* Tables of calls, several a line where one reason is theirs. */
/* clang-format off */
static const int common[] = {
	/* Locks and conditions. */
	CALL(futex),
	CALL(write),  /* eventfds, by which threads wake each other */
	CALL(writev), /* the C library's last words (abort, assertions) */
	CALL(timerfd_settime), /* the event loop's timers: any thread arms them */
	CALL(restart_syscall), /* a wait goes on after a signal */
	/* Clocks, where the vDSO cannot tell; time is measured; spinning threads make way. */
	CALL(clock_gettime), CALL(clock_nanosleep), CALL(nanosleep), CALL(sched_yield),
	/* Memory: malloc, threads' stacks, tables; what is given back. */
	CALL(munmap), CALL(mremap), CALL(madvise), CALL(brk),
	CALL(sched_getaffinity), /* malloc counts processors for its arenas */
	CALL(getrandom),         /* malloc's seed; what a guest gets of it */
	/* Threads begin and end. */
	CALL(set_robust_list), CALL(rseq), CALL(exit), CALL(exit_group), CALL(gettid), CALL(getpid),
	/* Kicks: handlers, their stacks, the way back. */
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(sigaltstack),
	/* What was opened goes when what it was for cannot be made. */
	CALL(close), CALL(fstat), CALL(newfstatat),
};

/* The event loop: timers, signals, the terminal, the end; and jobs. */
static const int loop[] = {
	CALL(read), CALL(poll), CALL(ppoll),
	CALL(rt_sigpending), /* whether a signal to end still waits for the loop */
	CALL(pwrite64), CALL(lseek), /* a job's file; the last words of the monitor */
	CALL(fsync),                 /* a job's file is made stable */
	CALL(ftruncate),             /* or emptied, where it could not be written whole */
};

/*
 * What a newer C library than ours tries first, with an older way behind it: it hears that this kernel has
 * no such call. Anything else that is unknown is no library's doing.
 */
static const int too_new[] = {
	CALL(futex_waitv), CALL(statx), CALL(openat2), CALL(faccessat2), CALL(close_range),
	CALL(epoll_pwait2), CALL(membarrier), CALL(getcpu),
	/* By number, for a libseccomp that does not know them: map_shadow_stack, futex_wake, futex_wait,
	 * futex_requeue, mseal. */
	453, 454, 455, 456, 462,
};

/* The daemon's sockets are listening already; a job's file comes over one. */
static const int doors[] = {CALL(accept4), CALL(recvmsg), CALL(shutdown)};
/* clang-format on */

static void add(struct calls *calls, uint32_t action, int call, const struct scmp_arg_cmp *arg)
{
	if (calls->r)
		return;
	calls->r = arg ? seccomp_rule_add_array(calls->filter, action, call, 1, arg)
		       : seccomp_rule_add(calls->filter, action, call, 0);
	/* The roles' lists overlap where one thread has all of them. */
	if (calls->r == -EEXIST)
		calls->r = 0;
}

void calls_allow_list(struct calls *calls, const int *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		add(calls, SCMP_ACT_ALLOW, list[i], NULL);
}

void calls_allow_masked(struct calls *calls, int call, unsigned arg, uint64_t mask, uint64_t value)
{
	add(calls, SCMP_ACT_ALLOW, call, &SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value));
}

void calls_allow_value(struct calls *calls, int call, unsigned arg, uint64_t value)
{
	add(calls, SCMP_ACT_ALLOW, call, &SCMP_CMP(arg, SCMP_CMP_EQ, value, 0));
}

void calls_allow_args(struct calls *calls, int call, const struct calls_arg *args, size_t count)
{
	struct scmp_arg_cmp compared[6];

	for (size_t i = 0; i < count && i < 6; i++)
		compared[i] =
			SCMP_CMP(args[i].arg, SCMP_CMP_MASKED_EQ, args[i].mask, args[i].value);
	if (!calls->r)
		calls->r = seccomp_rule_add_array(calls->filter, SCMP_ACT_ALLOW, call, count,
			compared);
	if (calls->r == -EEXIST)
		calls->r = 0;
}

void calls_refuse(struct calls *calls, int call, int code, const struct scmp_arg_cmp *arg)
{
	add(calls, SCMP_ACT_ERRNO(code), call, arg);
}

void calls_allow_reading(struct calls *calls)
{
	static const unsigned bits[] = {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC};
	const unsigned mask = O_ACCMODE | O_CREAT | O_TRUNC;

	if (!calls->few_files)
		return;
	calls->opens = true;
	calls_allow_masked(calls, CALL(openat), 2, mask, O_RDONLY);
	/* Every other combination of these bits is refused. */
	for (unsigned i = 1; i < 16; i++) {
		unsigned flags = 0;

		for (unsigned k = 0; k < 4; k++)
			flags |= i & 1u << k ? bits[k] : 0;
		calls_refuse(calls, CALL(openat), EACCES,
			&SCMP_A2(SCMP_CMP_MASKED_EQ, mask, flags));
	}
}

/* The terminal goes back to how it was; how large it is. */
static void allow_terminal(struct calls *calls)
{
	static const unsigned requests[] = {TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ,
		/* TCGETS2, TCSETS2, TCSETSW2, TCSETSF2: what the C library takes from glibc 2.42 on
		 * (their header does not go with its own). */
		0x802c542a, 0x402c542b, 0x402c542c, 0x402c542d};

	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
		calls_allow_value(calls, CALL(ioctl), 1, requests[i]);
}

/* Calls that are harmless with one argument and not with another. */
static void allow_some(struct calls *calls)
{
	/* Sockets and pipes do not block. */
	static const int fcntls[] = {F_GETFL, F_SETFL, F_GETFD, F_SETFD};
	const uint64_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

	for (size_t i = 0; i < sizeof fcntls / sizeof *fcntls; i++)
		calls_allow_value(calls, CALL(fcntl), 1, fcntls[i]);
	/* No new code: what is executable was so before. */
	calls_allow_masked(calls, CALL(mmap), 2, PROT_EXEC, 0);
	calls_allow_masked(calls, CALL(mprotect), 2, PROT_EXEC, 0);
	/* Threads, no processes. clone3's flags are out of sight: without it glibc takes clone. */
	calls_allow_masked(calls, CALL(clone), 0, thread | CLONE_NEWUSER | CLONE_NEWNS, thread);
	calls_refuse(calls, CALL(clone3), ENOSYS, NULL);
	/* Signals to our own threads (kicks, abort) only. */
	calls_allow_value(calls, CALL(tgkill), 0, getpid());
	calls_allow_value(calls, CALL(prctl), 0, PR_SET_NAME);
	/* PR_SET_VMA: glibc names its memory. No harm in an answer that it cannot. */
	calls_refuse(calls, CALL(prctl), EINVAL, &SCMP_A0(SCMP_CMP_NE, PR_SET_NAME, 0));
}

static void make_filter(struct calls *calls, unsigned roles, const struct sandbox *sandbox)
{
	CALLS_ALLOW(calls, common);
	if (roles & CALLS_LOOP) {
		CALLS_ALLOW(calls, loop);
		allow_terminal(calls);
	}
	if (sandbox->doors && (roles & CALLS_LOOP))
		CALLS_ALLOW(calls, doors);
	allow_some(calls);
	if (sandbox->calls)
		sandbox->calls(sandbox->ctx, calls, roles);
	/* But those that were just allowed. */
	for (size_t i = 0; i < sizeof too_new / sizeof *too_new; i++)
		calls_refuse(calls, too_new[i], ENOSYS, NULL);
	/* The C library tries to open files in passing (names of threads): it may hear that it cannot. */
	if (!calls->opens)
		calls_refuse(calls, CALL(openat), EACCES, NULL);
	/* All threads, those already there too. */
	if (!calls->r && roles == CALLS_ALL)
		calls->r = seccomp_attr_set(calls->filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* Most frequent first: the filter is a list that the kernel walks. */
	if (!calls->r)
		calls->r = seccomp_syscall_priority(calls->filter, CALL(futex), 255);
	if (!calls->r)
		calls->r = seccomp_syscall_priority(calls->filter, CALL(write), 254);
}

static int load(struct calls *calls, int fd)
{
	return seccomp_load(calls->filter);
}

static int export(struct calls *calls, int fd)
{
	return seccomp_export_bpf(calls->filter, fd);
}

static int make(unsigned roles, const struct sandbox *sandbox,
	int (*use)(struct calls *calls, int fd), int fd, struct error *err)
{
	struct calls calls = {
		.filter = seccomp_init(SCMP_ACT_KILL_PROCESS),
		.few_files = sandbox->few_files,
	};

	if (!calls.filter)
		return error_set(err, ENOMEM,
			"no sandbox: this host, or a container's profile, forbids seccomp");
	/* Calls by another way into the kernel, too. */
	calls.r = seccomp_attr_set(calls.filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	make_filter(&calls, roles, sandbox);
	if (!calls.r)
		calls.r = use(&calls, fd);
	seccomp_release(calls.filter);
	return calls.r ? error_set(err, -calls.r, "no sandbox (seccomp): %s", strerror(-calls.r))
		       : 0;
}

int calls_export(unsigned roles, const struct sandbox *sandbox, int fd, struct error *err)
{
	return make(roles, sandbox, export, fd, err);
}

int calls_load(unsigned roles, const struct sandbox *sandbox, struct error *err)
{
	return make(roles, sandbox, load, -1, err);
}
