/* SPDX-License-Identifier: Apache-2.0 */
#include "links/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/loop.h"

struct program {
	const char *const *argv, *const *environment;
	unsigned seconds;
};

/* What is told of it: why it could not be started, or how it ended (waitpid(2)). */
struct told {
	int exec_errno, status;
};

static void tell(int fd, int exec_errno, int status)
{
	const struct told told = {exec_errno, status};

	if (write(fd, &told, sizeof told) < 0)
		_exit(126);
}

/* In the child, between fork and exec. */
static void become(const struct program *program, int input, int output, int told)
{
	const char *const *argv = program->argv;
	char *const *words = (char *const *)(uintptr_t)argv;
	char path[64];
	sigset_t none;

	/* An administrator's PATH may lack where such programs are (su without -). */
	snprintf(path, sizeof path, "/usr/sbin/%s", argv[0]);
	setenv("LC_ALL", "C", 1);
	for (const char *const *more = program->environment; more && *more; more++)
		putenv((char *)(uintptr_t)*more);
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(input, 0) == 0 && dup2(output, 1) == 1 && dup2(output, 2) == 2) {
		execvp(argv[0], words);
		if (errno == ENOENT)
			execv(path, words);
	}
	tell(told, errno, 0);
	_exit(127);
}

/* Who ignores SIGCHLD, as a daemon may, is not told how a child ended: a process between waits for it. */
static void attend(const struct program *program, int input, int output, int told)
{
	int status = 0;
	pid_t pid;

	setpgid(0, 0);
	signal(SIGCHLD, SIG_DFL);
	pid = fork();
	if (!pid)
		become(program, input, output, told);
	close(output);
	if (pid < 0) {
		tell(told, errno, 0);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	tell(told, 0, status);
	_exit(0);
}

struct output {
	char *text;
	size_t len, room;
};

static int more_output(struct output *out, int fd)
{
	ssize_t n;

	if (out->len + 4096 >= out->room) {
		const size_t room = 2 * out->room + 16384;
		char *text = room > PROGRAM_OUTPUT_MAX ? NULL : realloc(out->text, room);

		if (!text)
			return -ENOMEM;
		out->text = text;
		out->room = room;
	}
	n = read(fd, out->text + out->len, out->room - out->len - 1);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	out->len += n;
	out->text[out->len] = 0;
	return n > 0;
}

static int wait_for(int fd, uint64_t end)
{
	struct pollfd wait = {fd, POLLIN, 0};

	for (;;) {
		const uint64_t now = clock_now();

		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&wait, 1, (int)((end - now) / 1000000 + 1)) > 0)
			return 0;
	}
}

/* Until it closes its output, and then until it ends: it may do the one long before the other. */
static int follow(struct output *out, int fd, int told, uint64_t end)
{
	int r;

	do {
		r = wait_for(fd, end);
		if (!r)
			r = more_output(out, fd);
	} while (r > 0);
	return r ? r : wait_for(told, end);
}

static int judge(const struct program *program, int r, const struct told *told, struct output *out,
	struct error *err)
{
	const int exec_errno = told->exec_errno, status = told->status;
	const char *name = program->argv[0];
	const char *said;

	if (exec_errno == ENOENT)
		return error_set(err, ENOENT, "%s: no such program; is its package installed?",
			name);
	if (exec_errno)
		return error_set(err, exec_errno, "%s: %s", name, strerror(exec_errno));
	if (r == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT, "%s: has not ended within %u seconds", name,
			program->seconds);
	if (r)
		return error_set(err, -r, "%s: %s", name, strerror(-r));
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	/* Its first line; dnsmasq begins with an empty one. */
	said = out->text ? out->text + strspn(out->text, "\n") : "";
	return error_set(err, EIO, "%s: failed: %.*s", name, *said ? (int)strcspn(said, "\n") : 300,
		*said ? said : "it does not say why");
}

static int run(const struct program *program, int input, const int pipes[4], struct output *out,
	struct error *err)
{
	const uint64_t end = clock_now() + program->seconds * 1000000000ull;
	struct told told = {0, -1};
	const pid_t pid = fork();
	int r;

	if (!pid)
		attend(program, input, pipes[1], pipes[3]);
	close(pipes[1]);
	close(pipes[3]);
	if (pid < 0)
		return error_set(err, errno, "%s: cannot start: %s", program->argv[0],
			strerror(errno));
	/* It does so itself, too: neither of the two may be late. */
	setpgid(pid, pid);
	r = follow(out, pipes[0], pipes[2], end);
	if (r)
		kill(-pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	/* The first word counts. */
	io_read_all(pipes[2], &told, sizeof told);
	return judge(program, r, &told, out, err);
}

static int make_input(const char *text, struct error *err)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : io_pwrite_all(fd, text, strlen(text), 0);

	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_set(err, -r, "memfd: %s", strerror(-r));
}

int program_run(const char *const *argv, const char *input, char **output, struct error *err)
{
	return program_run_in(argv, NULL, PROGRAM_SECONDS, input, output, err);
}

int program_run_in(const char *const *argv, const char *const *environment, unsigned seconds,
	const char *input, char **output, struct error *err)
{
	const struct program program = {argv, environment, seconds};
	struct output out = {NULL, 0, 0};
	int pipes[4], r, fd = make_input(input ? input : "", err);

	if (output)
		*output = NULL;
	if (fd < 0)
		return fd;
	if (pipe2(pipes, O_CLOEXEC)) {
		r = error_set(err, errno, "pipe: %s", strerror(errno));
	} else if (pipe2(pipes + 2, O_CLOEXEC)) {
		r = error_set(err, errno, "pipe: %s", strerror(errno));
		close(pipes[0]);
		close(pipes[1]);
	} else {
		r = run(&program, fd, pipes, &out, err);
		close(pipes[0]);
		close(pipes[2]);
	}
	close(fd);
	if (!r && output)
		*output = out.text;
	else
		free(out.text);
	return r;
}
