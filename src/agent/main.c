/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"

#define LOOK_MS 100 /* how often it is asked whether the system is there */

static bool alone;
static uint64_t ready_at;   /* CLOCK_MONOTONIC, when AGENT_READY went; alone */
static bool within, opened; /* in a container; and its command has been asked for */
static struct {
	uint32_t status;
	char why[256];
} failure = {125, "the monitor makes no sense"};

static void tell_failure(void)
{
	port_send(0, AGENT_FAILED, 0, &failure, sizeof failure.status + strlen(failure.why));
	port_flush();
}

/* A command that is to have a folder does not run without; a system that is there without us does. */
static void take_mount(const struct agent_header *header, const char *payload)
{
	struct agent_mount share;

	if (!alone) {
		beside_mount(payload, header->length);
		return;
	}
	if (agent_mount_read(payload, header->length, &share) &&
		!share_mount(&share, failure.why, sizeof failure.why))
		return;
	tell_failure();
	system_poweroff();
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * All of the way there and back counts as the way back: the clock is never behind the host's, so that no file in a
 * shared folder is from the future, which make(1) minds.
 */
static void take_time(const char *payload)
{
	struct timespec now;
	uint64_t ns;

	memcpy(&ns, payload, sizeof ns);
	ns += monotonic_ns() - ready_at;
	now = (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
	clock_settime(CLOCK_REALTIME, &now);
}

/* In a container nobody else tells the caller that it begins. */
static void take_session(const struct agent_header *header, const char *payload)
{
	if (within && header->type == AGENT_OPEN && !opened) {
		opened = true;
		port_send(header->session, AGENT_READY, 0, NULL, 0);
	}
	session_frame(header, payload);
}

static void frame(const struct agent_header *header, const char *payload)
{
	if (header->type == AGENT_MOUNT)
		take_mount(header, payload);
	else if (header->type == AGENT_TIME && alone)
		take_time(payload);
	else if (header->type != AGENT_POWEROFF)
		take_session(header, payload);
	else if (alone)
		system_poweroff();
}

static void reap(int signals)
{
	struct signalfd_siginfo info;
	pid_t pid;
	int status;

	while (read(signals, &info, sizeof info) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		session_child(pid, status);
}

/* Returns when the monitor makes no sense, or the other end of the port has gone. ready: commands may come. */
static void serve(int signals, bool ready)
{
	struct pollfd fds[SESSION_FDS + 2];

	for (;;) {
		unsigned count = session_poll(fds + 2);
		int timeout = session_timeout();

		if (!ready && (timeout < 0 || timeout > LOOK_MS))
			timeout = LOOK_MS;
		fds[0] = (struct pollfd){port_fd(), port_events(), 0};
		fds[1] = (struct pollfd){signals, POLLIN, 0};
		if (poll(fds, count + 2, timeout) < 0 && errno != EINTR)
			return;
		/* What was said before a command's end comes before it. */
		session_serve(fds + 2, count);
		if (fds[1].revents)
			reap(signals);
		if ((fds[0].revents & POLLIN) && !port_read(frame))
			return;
		if (!alone && (fds[0].revents & POLLHUP))
			return;
		if (!ready && (ready = beside_ready()))
			port_send(0, AGENT_READY, 0, NULL, 0);
		if (!port_write())
			return;
		if (within && opened && !session_any() && !port_waiting())
			return;
	}
}

/* The guest's only system: what fails is told, and the guest ends. */
static _Noreturn void serve_alone(int signals)
{
	alone = true;
	if (system_early()) {
		fprintf(stderr, "dach: the guest's kernel has no virtio console port\n");
		system_poweroff();
	}
	port_send_number(0, AGENT_HELLO, 0, AGENT_VERSION);
	port_flush();
	if (system_root(failure.why, sizeof failure.why)) {
		tell_failure();
		system_poweroff();
	}
	system_set_up();
	system_network();
	ready_at = monotonic_ns();
	port_send(0, AGENT_READY, 0, NULL, 0);
	serve(signals, true);
	system_poweroff();
}

/* One conversation after another: a guest that goes on from a saved state has another monitor. */
static _Noreturn void serve_beside(int signals)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	for (;;) {
		beside_open_port();
		port_send_number(0, AGENT_HELLO, 0, AGENT_VERSION);
		serve(signals, false);
		session_leave_all();
		port_close();
		nanosleep(&pause, NULL); /* the other end may not be there yet */
	}
}

/* In a container, for one command. Its caller may go before: then it has some time to end. */
static int serve_within(int signals)
{
	struct pollfd ended = {signals, POLLIN, 0};

	fcntl(AGENT_CALLER, F_SETFL, O_NONBLOCK);
	fcntl(AGENT_CALLER, F_SETFD, FD_CLOEXEC);
	port_take(AGENT_CALLER);
	serve(signals, true);
	session_leave_all();
	while (session_any()) {
		if (poll(&ended, 1, session_timeout()) < 0 && errno != EINTR)
			break;
		reap(signals);
		session_serve(NULL, 0);
	}
	return 0;
}

/* From a file of that name, in whatever folder. */
static bool was_sent(const char *name)
{
	const size_t len = strlen(name), wanted = strlen(AGENT_SENT);

	return len >= wanted && !strcmp(name + len - wanted, AGENT_SENT);
}

int main(int argc, char **argv)
{
	const bool sent = argc && was_sent(argv[0]);
	const bool beside = sent || (argc && !strcmp(argv[0], AGENT_BESIDE));
	sigset_t set;
	int signals, fd, status;

	within = argc && !strcmp(argv[0], AGENT_WITHIN);
	if (getpid() != 1 && !within && !sent) {
		fputs("dach-agent: the kernel of a guest starts this, not a person\n", stderr);
		return 1;
	}
	if (argc > 1 && getpid() == 1 && !strcmp(argv[1], AGENT_INIT))
		init_run(argv + 1, (unsigned)argc - 1);
	if (sent && beside_join(argv, &status))
		return status;
	if (beside && !sent)
		beside_begin(argv);
	do /* what is opened later is none of the three */
		fd = open("/", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd < 3);
	close(fd);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		return 1;
	if (within)
		return serve_within(signals);
	if (beside)
		serve_beside(signals);
	serve_alone(signals);
}
