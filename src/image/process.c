/* SPDX-License-Identifier: Apache-2.0 */
#include "image/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "image/confine.h"

#define LINE_MAX_BYTES 512

struct child_output {
	const struct process *process;
	char line[LINE_MAX_BYTES];
	size_t len;
};

static void end_line(struct child_output *out)
{
	out->line[out->len] = 0;
	if (out->len && out->process->line)
		out->process->line(out->process->ctx, out->line);
	out->len = 0;
}

/* Longer lines than the buffer are told by their beginning. */
static void take(struct child_output *out, const char *data, size_t len)
{
	if (out->process->log >= 0)
		io_write_all(out->process->log, data,
			len); /* that it is full is no reason to end */
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n' || data[i] == '\r')
			end_line(out);
		else if (out->len < sizeof out->line - 1)
			out->line[out->len++] = data[i];
	}
}

/* With errno, where it is not. */
static bool confined(const struct process *process)
{
	int r = process->confine ? confine_enter(process->confine) : 0;

	errno = -r;
	return !r;
}

/* In the child, between fork and exec. error_fd tells the parent why exec failed. */
static void become(const struct process *process, int output, int error_fd, pid_t parent)
{
	sigset_t none;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int r;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (getppid() == parent && null >= 0 && dup2(null, 0) == 0 && dup2(output, 1) == 1 &&
		dup2(output, 2) == 2 && (!process->dir || !chdir(process->dir)) &&
		confined(process))
		execvp(process->argv[0], (char *const *)process->argv);
	r = errno;
	if (write(error_fd, &r, sizeof r) < 0)
		_exit(126);
	_exit(127);
}

/* Until the program closes its output. True if a signal told us to end it. */
static bool follow(const struct process *process, int fd, pid_t pid)
{
	struct child_output out = {.process = process};
	bool ended = false;

	for (;;) {
		struct pollfd wait[2] = {{fd, POLLIN, 0},
			{ended ? -1 : process->signals, POLLIN, 0}};
		char buf[4096];
		ssize_t n;

		if (poll(wait, 2, -1) < 0)
			continue;
		if (wait[1].revents) {
			struct signalfd_siginfo info;

			ended = read(process->signals, &info, sizeof info) > 0;
			kill(-pid, SIGTERM);
		}
		if (!wait[0].revents)
			continue;
		n = read(fd, buf, sizeof buf);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		take(&out, buf, n);
	}
	end_line(&out);
	return ended;
}

static int judge(const struct process *process, int status, bool ended, int exec_errno,
	struct error *err)
{
	const char *name = process->argv[0];

	if (exec_errno == ENOENT)
		return error_set(err, ENOENT, "%s: no such program; is its package installed?",
			name);
	if (exec_errno)
		return error_set(err, exec_errno, "%s: %s", name, strerror(exec_errno));
	if (ended)
		return error_set(err, EINTR, "interrupted");
	if (WIFSIGNALED(status))
		return error_set(err, EIO, "%s: ended by signal %d", name, WTERMSIG(status));
	if (WEXITSTATUS(status))
		return error_set(err, EIO, "%s: failed with status %d", name, WEXITSTATUS(status));
	return 0;
}

int process_run(const struct process *process, struct error *err)
{
	int output[2] = {-1, -1}, told[2] = {-1, -1};
	int status = 0, exec_errno = 0, r;
	pid_t parent = getpid(), pid;
	bool ended;

	if (pipe2(output, O_CLOEXEC) || pipe2(told, O_CLOEXEC) || (pid = fork()) < 0) {
		r = error_set(err, errno, "%s: cannot start: %s", process->argv[0],
			strerror(errno));
		goto out;
	}
	if (!pid)
		become(process, output[1], told[1], parent);
	setpgid(pid, pid);
	close(output[1]);
	close(told[1]);
	output[1] = told[1] = -1;
	ended = follow(process, output[0], pid);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (read(told[0], &exec_errno, sizeof exec_errno) != sizeof exec_errno)
		exec_errno = 0;
	r = judge(process, status, ended, exec_errno, err);
out:
	for (int i = 0; i < 2; i++) {
		if (output[i] >= 0)
			close(output[i]);
		if (told[i] >= 0)
			close(told[i]);
	}
	return r;
}
