/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of a mirror process. It is a copy of the monitor that makes its own walls, goes into the stub, and is
 * then told to drop all that it has of the monitor.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpu/translate/cold.h"
#include "cpu/translate/host.h"
#include "cpu/translate/native/mirror.h"

#define ARCH_SET_CPUID 0x1012
#define SA_RESTORER 0x04000000ul
#define NOTIF_SET_FLAGS \
	SECCOMP_IOW(4, __u64) /* Linux 6.6: whoever answers makes way, on one processor */
#define NOTIF_SYNC 1ul

/* Where in the shared file what lies. */
#define FILE_CONTROL 0
#define FILE_STACK STUB_CONTROL_SIZE
#define FILE_CODE (FILE_STACK + STUB_STACK_SIZE)
#define FILE_SIZE (FILE_CODE + 4096)

/* How the child says how far it came: control->number; and arg[0] is the error, or the listener. */
enum step { STEP_NONE, STEP_MAP, STEP_SIGNALS, STEP_RSEQ, STEP_TSC, STEP_FILTER, STEP_READY };
static const char *const step_words[] = {
	[STEP_NONE] = "cannot start",
	[STEP_MAP] = "cannot map memory at its place",
	[STEP_SIGNALS] = "cannot handle signals",
	[STEP_RSEQ] = "cannot take leave of the C library",
	[STEP_TSC] = "cannot have RDTSC raise a signal",
	[STEP_FILTER] = "cannot have its system calls watched",
};

/* The kernel's, which the C library's sigaction() would give a restorer of its own. */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

static void __attribute__((noreturn)) fail(struct stub_control *c, enum step step)
{
	c->arg[0] = (uint64_t)errno;
	__atomic_store_n(&c->number, step, __ATOMIC_SEQ_CST);
	_exit(1);
}

static bool map_stub(uint64_t base, int fd)
{
	const struct {
		uint64_t at, size, offset;
		int prot;
	} part[] = {
		{base, 4096, FILE_CODE, PROT_READ | PROT_EXEC},
		{base + STUB_CONTROL, STUB_CONTROL_SIZE, FILE_CONTROL, PROT_READ},
		{base + STUB_STACK, STUB_STACK_SIZE, FILE_STACK, PROT_READ | PROT_WRITE},
	};

	for (size_t i = 0; i < sizeof part / sizeof *part; i++)
		if (mmap((void *)part[i].at, part[i].size, part[i].prot,
			    MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
			    (off_t)part[i].offset) != (void *)part[i].at)
			return false;
	return true;
}

static bool handle_signals(uint64_t base)
{
	static const int handled[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,
		MIRROR_KICK};
	/* What a terminal or a manager of services sends to all is the monitor's to heed. */
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGALRM, SIGUSR2,
		SIGTSTP, SIGTTIN, SIGTTOU};
	const struct kernel_sigaction ours = {.handler = base,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART | SA_RESTORER,
		.restorer = base};
	const struct kernel_sigaction ignore = {.handler = (uint64_t)SIG_IGN};
	const stack_t stack = {.ss_sp = (void *)(base + STUB_STACK), .ss_size = STUB_STACK_SIZE};
	const uint64_t none = 0;

	if (sigaltstack(&stack, NULL))
		return false;
	for (size_t i = 0; i < sizeof handled / sizeof *handled; i++)
		if (syscall(SYS_rt_sigaction, handled[i], &ours, NULL, 8))
			return false;
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		if (syscall(SYS_rt_sigaction, ignored[i], &ignore, NULL, 8))
			return false;
	return !syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, 8);
}

/* The kernel would go on writing to memory of the C library's that is about to be gone. */
static bool leave_rseq(void)
{
	uint8_t *area = (uint8_t *)__builtin_thread_pointer() + __rseq_offset;

	return !__rseq_size || !syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) ||
		errno == EINVAL;
}

/* All its system calls but that of the stub raise SIGSYS; that one waits for the monitor. Its file, or -1. */
static int watch_calls(uint64_t at)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)at, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			offsetof(struct seccomp_data, instruction_pointer) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(at >> 32), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
	};
	const struct sock_fprog filter = {sizeof code / sizeof *code, code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
		&filter);
}

static void __attribute__((noreturn)) child(const struct mirror *m, int fd, pid_t monitor)
{
	struct stub_control *c = m->control;
	const struct rlimit none = {0};
	int listener;

	/* ... of which it hears nothing if the monitor has died before */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != monitor)
		_exit(1);
	prctl(PR_SET_NAME, "dach-native");
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	setsid(); /* away from the terminal */
	if (!map_stub(m->base, fd))
		fail(c, STEP_MAP);
	if (!handle_signals(m->base))
		fail(c, STEP_SIGNALS);
	if (!leave_rseq())
		fail(c, STEP_RSEQ);
	if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV))
		fail(c, STEP_TSC);
	c->touch = !syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
	listener = watch_calls(mirror_stub(m, stub_called));
	if (listener < 0)
		fail(c, STEP_FILTER);
	c->arg[0] = (uint64_t)listener;
	__atomic_store_n(&c->number, STEP_READY, __ATOMIC_SEQ_CST);
	asm volatile("jmp *%0" : : "r"(mirror_stub(m, stub_call)), "a"(STUB_SAYS_RESULT), "d"(0));
	__builtin_unreachable();
}

/* The descriptors are the monitor's own table, until the child has one for itself: so the listener gets here. */
static int start(struct mirror *m, int fd, struct error *err)
{
	struct stub_control *c = m->control;
	pid_t monitor = getpid();
	long pid = syscall(SYS_clone, CLONE_FILES | CLONE_PIDFD, NULL, &m->process, NULL, NULL);
	int status;

	if (!pid)
		child(m, fd, monitor);
	if (pid < 0)
		return error_set(err, errno, "no process for native code: %s", strerror(errno));
	m->pid = (pid_t)pid;
	sched_getaffinity(0, sizeof m->processors, &m->processors);
	while (__atomic_load_n(&c->number, __ATOMIC_SEQ_CST) != STEP_READY) {
		if (waitpid(m->pid, &status, WNOHANG | __WALL) == m->pid) {
			enum step step = __atomic_load_n(&c->number, __ATOMIC_SEQ_CST);

			m->pid = 0;
			return error_set(err, (int)c->arg[0], "native code's process %s: %s",
				step_words[step < STEP_READY ? step : 0], strerror((int)c->arg[0]));
		}
		sched_yield();
	}
	m->listener = (int)c->arg[0];
	m->cpuid_faults = c->touch;
	return 0;
}

/* What it has of ours goes, by its own calls. */
static int settle(struct mirror *m, struct error *err)
{
	const uint64_t all[6] = {0, ~0u, CLOSE_RANGE_UNSHARE};
	long result = -EIO;

	if (!mirror_call(m, SYS_close_range, all, &result) || result || !mirror_wipe(m))
		return error_set(err, EIO,
			"native code's process keeps what is the monitor's (%ld)", result);
	return 0;
}

/* The first thing that it says. */
static int meet(struct mirror *m, struct error *err)
{
	union {
		struct seccomp_notif said;
		uint8_t room[MIRROR_NOTIFICATION];
	} n = {.room = {0}};
	struct seccomp_notif_sizes sizes;
	struct utsname host;
	unsigned major = 0, minor = 0;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) ||
		sizes.seccomp_notif > MIRROR_NOTIFICATION ||
		sizes.seccomp_notif_resp > sizeof(struct seccomp_notif_resp))
		return error_set(err, ENOTSUP, "this host's kernel watches calls in another way");
	/* Linux 6.11 ends the wait for a process that has died. */
	if (uname(&host) || sscanf(host.release, "%u.%u", &major, &minor) != 2 || major < 6 ||
		(major == 6 && minor < 11))
		m->polls = true;
	ioctl(m->listener, NOTIF_SET_FLAGS, NOTIF_SYNC); /* without, it only takes longer */
	if (ioctl(m->listener, SECCOMP_IOCTL_NOTIF_RECV, &n.said))
		return error_set(err, errno, "native code's process says nothing: %s",
			strerror(errno));
	m->notification = n.said.id;
	return settle(m, err);
}

static int make_file(struct mirror *m, struct error *err)
{
	int fd = memfd_create("dach-native", MFD_CLOEXEC);
	uint8_t *at = MAP_FAILED, *code;

	if (fd < 0 || ftruncate(fd, FILE_SIZE) ||
		(at = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) ==
			MAP_FAILED) {
		error_set(err, errno, "no memory for native code: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	m->control = (struct stub_control *)(at + FILE_CONTROL);
	m->stack = at + FILE_STACK;
	code = at + FILE_CODE;
	memset(code, 0xcc, 4096);
	memcpy(code, stub_code, (size_t)(stub_code_end - stub_code));
	munmap(code, 4096);
	return fd;
}

int mirror_create(struct mirror *m, uint32_t area, struct error *err)
{
	uint64_t random = 0;
	int fd, r;

	/* where Linux puts nothing by itself; no program is to count on finding it */
	(void)!getrandom(&random, sizeof random, 0);
	*m = (struct mirror){.process = -1,
		.listener = -1,
		.area = area,
		.base = 0x100000000000 + random % (0x400000000000 / STUB_ALIGN) * STUB_ALIGN};
	if (!translate_host_has_fsgsbase())
		return error_set(err, ENOTSUP,
			"this host's kernel keeps FS and GS bases to itself");
	fd = make_file(m, err);
	if (fd < 0)
		return -ENOMEM;
	r = start(m, fd, err);
	close(fd);
	if (!r)
		r = meet(m, err);
	if (r)
		mirror_destroy(m);
	return r;
}

void mirror_destroy(struct mirror *m)
{
	if (m->pid > 0) {
		syscall(SYS_pidfd_send_signal, m->process, SIGKILL, NULL, 0);
		while (waitpid(m->pid, NULL, __WALL) < 0 && errno == EINTR) {
		}
	}
	if (m->process >= 0)
		close(m->process);
	if (m->listener >= 0)
		close(m->listener);
	if (m->control)
		munmap(m->control, FILE_CODE);
	*m = (struct mirror){.process = -1, .listener = -1};
}
