/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's init where its image has none: it runs one command, passes signals on to it, and takes leave of children that
 * others have left behind. With the command's end the container's has come: what else is there the kernel ends.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/agent.h"

/* What is heard, and but for SIGCHLD passed on. Whoever stops a container finds among these what an init waits for. */
static const int heard[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

/* Those of a container's own system that no image brings along. */
static void set_up(void)
{
	mkdir("/dev/shm", 01777);
	mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	network_up("lo", 0x7f000001, 8, 0);
}

static _Noreturn void become(const struct user *user, const char *folder, char **command)
{
	sigset_t none;

	setsid();
	ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setenv("PATH", USER_PATH, 0);
	setenv("HOME", user->home, 0);
	if (*folder)
		share_make_folders(folder);
	user_become(user, *folder ? folder : "/");
	execvp(command[0], command);
	user_cannot_run(command[0]);
}

/* Of the command, when it has ended; -1: not yet. */
static int reap(pid_t command)
{
	int status, found = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == command)
			found = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return found;
}

/* Whoever asked for the end has it, however the command took that. */
static int wait_for(pid_t command, const sigset_t *set)
{
	bool asked = false;
	int status = -1;

	while (status < 0) {
		const int number = sigwaitinfo(set, NULL);

		if (number == SIGCHLD)
			status = reap(command);
		else if (number > 0)
			kill(command, number);
		asked |= number == SIGTERM;
	}
	return asked ? 0 : status;
}

/* Its own streams lead nowhere in a container whose console nobody has opened for it. */
static void open_console(void)
{
	const int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 3; i++)
		dup2(fd, i);
	if (fd > 2)
		close(fd);
}

void init_run(char **words, unsigned count)
{
	struct user user;
	sigset_t set;
	pid_t pid;
	int status;

	if (count < 4)
		_exit(AGENT_STATUS_NOT_RUN);
	prctl(PR_SET_NAME, "dach-init");
	open_console();
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof heard / sizeof *heard; i++)
		sigaddset(&set, heard[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	set_up();
	if (!user_find(words[1], &user)) {
		dprintf(STDERR_FILENO, "dach: the container has no user '%s'\n", words[1]);
		_exit(AGENT_STATUS_NOT_RUN);
	}
	pid = fork();
	if (!pid)
		become(&user, words[2], words + 3);
	if (pid < 0)
		_exit(AGENT_STATUS_NOT_RUN);
	status = wait_for(pid, &set);
	if (status)
		dprintf(STDERR_FILENO, "dach: %s ended with status %d\n", words[3], status);
	_exit(status);
}
