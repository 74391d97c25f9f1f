/* SPDX-License-Identifier: Apache-2.0 */
/* A command in the container: our agent, entered into its namespaces, which speaks with the caller himself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lxc/attach_options.h>

#include "container/internal.h"
#include "protocol/agent.h"

struct entering {
	int program, caller;
};

void attach_refuse(int caller, const char *why)
{
	struct {
		struct agent_header header;
		uint32_t status;
		char text[400];
	} frame = {.status = 125};
	size_t size = strlen(why);

	if (size > sizeof frame.text)
		size = sizeof frame.text;
	memcpy(frame.text, why, size);
	frame.header = (struct agent_header){.length = sizeof frame.status + size,
		.session = 1,
		.type = AGENT_FAILED};
	/* Nobody is there to be told if it fails; the connection's end tells, too. */
	if (write(caller, &frame, sizeof frame.header + frame.header.length) < 0)
		return;
}

/* In the container: the program is nothing that its root could write to, and has nothing of ours in its memory. */
static int run_agent(void *ctx)
{
	const struct entering *entry = ctx;
	char *const argv[] = {(char *)AGENT_WITHIN, NULL}, *const env[] = {NULL};

	if (dup2(entry->caller, AGENT_CALLER) < 0)
		return 1;
	fcntl(AGENT_CALLER, F_SETFD, 0);
	execveat(entry->program, "", argv, env, AT_EMPTY_PATH);
	return 1;
}

_Noreturn void attach_caller(struct lxc_container *container, int program, int caller, int log)
{
	struct entering entry = {fcntl(program, F_DUPFD_CLOEXEC, 10),
		fcntl(caller, F_DUPFD_CLOEXEC, 10)};
	lxc_attach_options_t options = LXC_ATTACH_OPTIONS_DEFAULT;
	struct error err = {""};
	int status = 0;
	pid_t pid;

	options.stdin_fd = options.stdout_fd = options.stderr_fd =
		open("/dev/null", O_RDWR | O_CLOEXEC);
	options.env_policy = LXC_ATTACH_CLEAR_ENV;
	options.initial_cwd = (char *)"/";
	if (container->attach(container, run_agent, &entry, &options, &pid)) {
		lxc_say(log, EIO, "the container cannot be entered", &err);
		attach_refuse(caller, err.text);
		_exit(1);
	}
	/* The agent has the connection; with ours it would not end for who waits for that. */
	close(caller);
	close(entry.caller);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	_exit(0);
}
