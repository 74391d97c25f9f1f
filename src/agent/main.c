/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"

static void frame(const struct agent_header *header, const char *payload)
{
	if (header->type == AGENT_POWEROFF)
		system_poweroff();
	session_frame(header, payload);
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

/* Never ends but by a request. false: the monitor makes no sense. */
static void serve(int signals)
{
	struct pollfd fds[SESSION_FDS + 2];

	for (;;) {
		unsigned count = session_poll(fds + 2);

		fds[0] = (struct pollfd){port_fd(), port_events(), 0};
		fds[1] = (struct pollfd){signals, POLLIN, 0};
		if (poll(fds, count + 2, -1) < 0 && errno != EINTR)
			return;
		/* What was said before a command's end comes before it. */
		session_serve(fds + 2, count);
		if (fds[1].revents)
			reap(signals);
		if ((fds[0].revents & POLLIN) && !port_read(frame))
			return;
		if (!port_write())
			return;
	}
}

/* The guest's only system: what fails is told, and the guest ends. */
static void alone(void)
{
	struct {
		uint32_t status;
		char why[256];
	} failure = {125, ""};

	if (system_early()) {
		fprintf(stderr, "dach: the guest's kernel has no virtio console port\n");
		system_poweroff();
	}
	port_send_number(0, AGENT_HELLO, 0, AGENT_VERSION);
	port_flush();
	if (system_root(failure.why, sizeof failure.why)) {
		port_send(0, AGENT_FAILED, 0, &failure,
			sizeof failure.status + strlen(failure.why));
		port_flush();
		system_poweroff();
	}
	system_network();
	port_send(0, AGENT_READY, 0, NULL, 0);
}

int main(int argc, char **argv)
{
	sigset_t set;
	int signals, fd;

	do /* what is opened later is none of the three */
		fd = open("/", O_RDONLY);
	while (fd >= 0 && fd < 3);
	close(fd);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (getpid() != 1 || signals < 0) {
		fputs("dach-agent: the kernel of a guest starts this, not a person\n", stderr);
		return 1;
	}
	alone();
	serve(signals);
	system_poweroff();
}
