/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/translate/native/mirror.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/translate/cold.h"

/* --- what the mirror says, and answers ------------------------------------------------------------ */

union notification {
	struct seccomp_notif said;
	uint8_t room[MIRROR_NOTIFICATION];
};

/* Waits for what it says next. */
static bool hear(struct mirror *m, union notification *n)
{
	for (;;) {
		struct pollfd fd[2] = {{.fd = m->listener, .events = POLLIN},
			{.fd = m->process, .events = POLLIN}};

		if (m->polls && poll(fd, 2, -1) > 0 && fd[1].revents)
			break;
		memset(n, 0, sizeof *n);
		if (!ioctl(m->listener, SECCOMP_IOCTL_NOTIF_RECV, n)) {
			m->notification = n->said.id;
			return true;
		}
		/* A notification that a kick has taken back; it comes again unless the process has ended. */
		if (errno != EINTR && errno != ENOENT)
			break;
		if (poll(fd, 2, 0) > 0 && fd[1].revents)
			break;
	}
	mirror_kill(m);
	return false;
}

/* False: what it said before has been taken back, and the answer has not reached it. */
static bool answer(struct mirror *m, uint32_t flags)
{
	struct seccomp_notif_resp answer = {.id = m->notification, .flags = flags};
	int r;

	do {
		r = ioctl(m->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	} while (r && errno == EINTR);
	return !r;
}

/* Answers. False: it has died before that. */
static bool send_off(struct mirror *m, union notification *n)
{
	while (!m->dead && !answer(m, 0)) {
		if (errno != ENOENT)
			mirror_kill(m);
		else
			hear(m, n);
	}
	return !m->dead;
}

/* Answers, and hears what it says then. */
static bool go_on(struct mirror *m, union notification *n)
{
	return send_off(m, n) && hear(m, n);
}

static bool is_ordered(const struct mirror *m, const struct mirror_request *r,
	const struct seccomp_data *said)
{
	if (said->nr != r->number || said->instruction_pointer != mirror_stub(m, stub_called))
		return false;
	for (unsigned i = 0; i < 6; i++)
		if (said->args[i] != r->arg[i])
			return false;
	return true;
}

/* What the stub does when the call that it is in has come back. */
static void command(struct mirror *m, enum stub_command command)
{
	__atomic_store_n(&m->control->command, command, __ATOMIC_SEQ_CST);
}

static void command_call(struct mirror *m, const struct mirror_request *r)
{
	m->control->number = (uint64_t)r->number;
	memcpy(m->control->arg, r->arg, sizeof m->control->arg);
	command(m, STUB_CALL);
}

#define MOST_TRIES 1000u /* that kicks come between */

/*
 * Has the calls made; then the stub does what *then says, and n is what it says after that. A kick meanwhile is the
 * program's: it does not begin, and *then is STUB_REPORT. False: it has died; *done: after the last call had been
 * let through.
 */
static bool make_calls(struct mirror *m, const struct mirror_request *r, unsigned count,
	enum stub_command *then, union notification *n, bool *done)
{
	unsigned tries = 0;

	*done = false;
	command_call(m, r);
	if (!go_on(m, n))
		return false;
	for (;;) {
		if (!is_ordered(m, r, &n->said.data)) {
			/* a kick's handler: once more */
			*then = STUB_REPORT;
			if (tries++ == MOST_TRIES) {
				mirror_kill(m);
				return false;
			}
			command_call(m, r);
			if (!go_on(m, n))
				return false;
			continue;
		}
		/* the kernel has this call's arguments: those of the next may be there */
		if (count > 1)
			command_call(m, r + 1);
		else
			command(m, *then);
		if (!answer(m, SECCOMP_USER_NOTIF_FLAG_CONTINUE)) {
			if (errno != ENOENT || !hear(m, n))
				return false;
			continue;
		}
		*done = count == 1;
		if (!hear(m, n))
			return false;
		if (*done && (*then == STUB_RUN || n->said.data.nr == STUB_SAYS_RESULT))
			return true;
		if (count > 1 && is_ordered(m, r + 1, &n->said.data)) {
			r++;
			count--;
		}
	}
}

bool mirror_calls(struct mirror *m, const struct mirror_request *r, unsigned count, long *result)
{
	enum stub_command then = STUB_REPORT;
	union notification n;
	bool done;

	if (!make_calls(m, r, count, &then, &n, &done))
		return false;
	*result = (long)n.said.data.args[0];
	return true;
}

bool mirror_call(struct mirror *m, long number, const uint64_t arg[6], long *result)
{
	struct mirror_request r = {.number = (int)number};

	memcpy(r.arg, arg, sizeof r.arg);
	return mirror_calls(m, &r, 1, result);
}

void mirror_kill(struct mirror *m)
{
	syscall(SYS_pidfd_send_signal, m->process, SIGKILL, NULL, 0);
	m->dead = true;
}

bool mirror_wipe(struct mirror *m)
{
	const uint64_t below[6] = {MIRROR_FIRST, m->base - MIRROR_FIRST};
	const uint64_t above[6] = {m->base + STUB_SIZE, MIRROR_END - m->base - STUB_SIZE};
	long result[2];

	if (mirror_call(m, SYS_munmap, below, &result[0]) &&
		mirror_call(m, SYS_munmap, above, &result[1]) && !result[0] && !result[1])
		return true;
	mirror_kill(m);
	return false;
}

int mirror_give(struct mirror *m, int fd)
{
	struct seccomp_notif_addfd add = {.id = m->notification, .srcfd = (uint32_t)fd};

	return m->dead ? -1 : ioctl(m->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
}

/* --- the frame of a signal ------------------------------------------------------------------------- */

/* The kernel's layout, where the C library's differs in name only (Linux: asm/sigcontext.h, asm/ucontext.h). */
struct signal_frame {
	uint64_t flags, link;
	uint64_t stack[3];
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
		rflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, mask, address, xsave;
};

/* A copy of size bytes of its stack; false: there are none at that address. */
static bool stack_read(const struct mirror *m, uint64_t at, void *to, uint64_t size)
{
	uint64_t offset = at - m->base - STUB_STACK;

	if (offset > STUB_STACK_SIZE - size)
		return false;
	memcpy(to, m->stack + offset, size);
	return true;
}

#define NESTED 4u /* a fault, and kicks on its way */

/*
 * The frame of the first signal since the mirror was sent off: a kick that came before the monitor had heard of the
 * signal before it has another one within. If that is of an earlier turn, the monitor had heard of it, and its answer
 * came too late for a kernel that was about to take the question back: nothing has run since. Its address.
 */
static uint64_t look(const struct mirror *m, uint64_t at, struct signal_frame *f,
	struct mirror_exit *e)
{
	const uint64_t call = mirror_stub(m, stub_call);

	for (unsigned i = 0; i < NESTED; i++) {
		if (!stack_read(m, at, f, sizeof *f))
			break;
		e->why = MIRROR_SIGNAL;
		if (f->rip - m->base >= 4096)
			return at;
		e->why = MIRROR_NOTHING;
		if (f->rip > call ||
			(f->rip == call &&
				(f->rax != STUB_SAYS_EXIT || (uint32_t)f->rdx != m->control->turn)))
			return at;
		at = f->rip == call ? f->rdi : f->rdx;
	}
	e->why = MIRROR_ASTRAY;
	return at;
}

/* siginfo lies behind the ucontext (struct rt_sigframe), which is larger than what is looked at here. */
#define FRAME_SIGINFO 0x130u

static void fill(const struct mirror *m, uint64_t at, const struct signal_frame *f,
	struct mirror_exit *e)
{
	uint64_t offset = f->xsave - m->base - STUB_STACK;
	siginfo_t info;

	if (!stack_read(m, at + FRAME_SIGINFO, &info, sizeof info)) {
		e->why = MIRROR_ASTRAY;
		return;
	}
	e->signal = info.si_signo;
	e->code = info.si_code;
	e->call = (uint64_t)info.si_call_addr;
	e->trap = f->trap;
	e->error = f->error;
	e->address = f->address;
	e->rip = f->rip;
	e->rflags = f->rflags;
	e->cs = f->cs;
	e->ss = f->ss;
	e->xsave = offset % 64 || offset > STUB_STACK_SIZE - m->area ? NULL : m->stack + offset;
	memcpy(e->gpr,
		(const uint64_t[]){f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp, f->rsi, f->rdi,
			f->r8, f->r9, f->r10, f->r11, f->r12, f->r13, f->r14, f->r15},
		sizeof e->gpr);
}

void mirror_read_exit(const struct mirror *m, const uint64_t arg[6], struct mirror_exit *e)
{
	struct signal_frame f;
	uint64_t at = look(m, arg[0], &f, e);

	if (e->why == MIRROR_SIGNAL)
		fill(m, at, &f, e);
	e->fs_base = arg[4];
	e->gs_base = arg[5];
	e->ds = (uint16_t)arg[3];
	e->es = (uint16_t)(arg[3] >> 16);
	e->fs = (uint16_t)(arg[3] >> 32);
	e->gs = (uint16_t)(arg[3] >> 48);
}

void mirror_run(struct mirror *m, const struct mirror_request *r, unsigned count,
	struct mirror_exit *e)
{
	enum stub_command then = STUB_RUN;
	union notification n;
	bool off, back;

	m->control->turn++;
	if (count) {
		back = make_calls(m, r, count, &then, &n, &off);
	} else {
		command(m, STUB_RUN);
		off = send_off(m, &n);
		back = off && hear(m, &n);
	}
	if (!off || then != STUB_RUN)
		e->why = MIRROR_NOTHING;
	else if (!back)
		e->why = MIRROR_DEAD;
	else if (n.said.data.nr != STUB_SAYS_EXIT)
		e->why = MIRROR_ASTRAY;
	else
		mirror_read_exit(m, (const uint64_t *)n.said.data.args, e);
}
