/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/engines.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu/kvm/kvm.h"

#define LATE_NS 5000000000ull

static void known(struct engines *engines)
{
	engines->known = true;
	loop_timer_cancel(&engines->late);
	while (engines->waiters) {
		engines->waiters--;
		engines->waiter[engines->waiters].done(engines->waiter[engines->waiters].ctx);
	}
}

static void end_child(struct engines *engines)
{
	if (engines->watch.fd < 0)
		return;
	loop_fd_remove(engines->loop, &engines->watch);
	close(engines->watch.fd);
	engines->watch.fd = -1;
	/* It may be gone, and its number somebody else's, only after it said what it had to say. */
	if (!engines->known && !engines->said)
		kill(engines->child, SIGKILL);
}

static void late(void *ctx)
{
	struct engines *engines = ctx;

	snprintf(engines->kvm, sizeof engines->kvm, "/dev/kvm hangs");
	end_child(engines);
	known(engines);
}

static void said(void *ctx, short revents)
{
	struct engines *engines = ctx;
	ssize_t n = read(engines->watch.fd, engines->kvm, sizeof engines->kvm - 1);

	if (n < 0 && errno == EINTR)
		return;
	engines->said = true;
	engines->kvm[n > 0 ? n : 0] = 0;
	if (n <= 0)
		snprintf(engines->kvm, sizeof engines->kvm, "/dev/kvm could not be tried");
	else if (!strcmp(engines->kvm, "yes"))
		engines->kvm[0] = 0;
	end_child(engines);
	known(engines);
}

/* Nothing of the daemon's stays open in the child: it may outlive it. */
static void child(int fd)
{
	struct error err = {0};
	const char *text;

	signal(SIGCHLD, SIG_DFL);
	dup2(fd, 0);
	close_range(1, ~0u, 0);
	text = kvm_probe(&err) ? err.text : "yes";
	_exit(write(0, text, strlen(text)) < 0);
}

static bool start(struct engines *engines)
{
	int fds[2];

	engines->started = true;
	if (pipe2(fds, O_CLOEXEC))
		return false;
	engines->child = fork();
	if (!engines->child)
		child(fds[1]);
	close(fds[1]);
	if (engines->child < 0) {
		close(fds[0]);
		return false;
	}
	engines->watch =
		(struct loop_fd){.fd = fds[0], .events = POLLIN, .ready = said, .ctx = engines};
	loop_fd_add(engines->loop, &engines->watch);
	loop_timer_arm(&engines->late, clock_now() + LATE_NS);
	return true;
}

void engines_init(struct engines *engines, struct loop *loop)
{
	*engines = (struct engines){.loop = loop, .watch = {.fd = -1}};
	loop_timer_init(&engines->late, loop, late, engines);
}

void engines_free(struct engines *engines)
{
	if (!engines->loop)
		return;
	end_child(engines);
	loop_timer_cancel(&engines->late);
}

void engines_wait(struct engines *engines, void (*done)(void *ctx), void *ctx)
{
	if (engines->known || engines->waiters == ENGINES_WAITERS) {
		done(ctx);
		return;
	}
	engines->waiter[engines->waiters].done = done;
	engines->waiter[engines->waiters].ctx = ctx;
	engines->waiters++;
	if (!engines->started && !start(engines)) {
		snprintf(engines->kvm, sizeof engines->kvm, "/dev/kvm could not be tried");
		known(engines);
	}
}

json_t *engines_describe(const struct engines *engines)
{
	const char *kvm = engines->known ? engines->kvm : "/dev/kvm is being tried";

	return json_pack("[{s:s, s:b, s:s}, {s:s, s:b, s:s}]", "name", "kvm", "available", !*kvm,
		"reason", kvm, "name", "translate", "available", true, "reason", "");
}
