/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/io.h"

#define LEAVE 0x1d /* Ctrl+] */

static void watch(struct terminal *terminal, bool on)
{
	if (!terminal->watching)
		return;
	terminal->input.events = on ? POLLIN : 0;
}

/* Gives the guest what it takes; the rest waits for terminal_room(). */
static void feed(struct terminal *terminal)
{
	terminal->start += terminal->send(terminal->ctx, terminal->buf + terminal->start,
		terminal->end - terminal->start);
	watch(terminal, terminal->start == terminal->end);
}

static void end_input(struct terminal *terminal)
{
	if (terminal->watching)
		loop_fd_remove(terminal->loop, &terminal->input);
	terminal->watching = false;
}

static void ready(void *ctx, short revents)
{
	struct terminal *terminal = ctx;
	uint8_t *leave;
	ssize_t n = read(STDIN_FILENO, terminal->buf, sizeof terminal->buf);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		end_input(terminal);
		if (terminal->raw) /* in raw mode nothing that is typed reads as an end */
			terminal->gone(terminal->ctx);
		else if (terminal->over)
			terminal->over(terminal->ctx);
		return;
	}
	leave = terminal->raw ? memchr(terminal->buf, LEAVE, n) : NULL;
	terminal->start = 0;
	terminal->end = leave ? leave - terminal->buf : n;
	feed(terminal);
	if (leave) {
		terminal->left = true;
		terminal->leave(terminal->ctx);
	}
}

/* The terminal is in raw mode: it wants its carriage returns. */
static void tell_silence(void *ctx)
{
	struct terminal *terminal = ctx;

	if (!__atomic_load_n(&terminal->spoken, __ATOMIC_RELAXED))
		dprintf(STDERR_FILENO,
			"dach run: the guest has said nothing for %u seconds. %s%s\n",
			TERMINAL_SILENCE, terminal->hint, terminal->raw ? "\r" : "");
}

static void room(void *ctx)
{
	feed(ctx);
}

/* The guard's whole life. Silence followed by the end of the pipe is a monitor that died. */
static _Noreturn void stand_guard(int fd, const struct termios *saved)
{
	char byte;

	signal(SIGTTOU, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	if (read(fd, &byte, 1) == 0)
		tcsetattr(STDIN_FILENO, TCSADRAIN, saved);
	_exit(0);
}

int terminal_guard(void)
{
	struct termios saved;
	int fd[2];
	pid_t pid;

	if (tcgetattr(STDIN_FILENO, &saved) || pipe2(fd, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		close(fd[1]);
		stand_guard(fd[0], &saved);
	}
	close(fd[0]);
	if (pid < 0) {
		close(fd[1]);
		return -1;
	}
	return fd[1];
}

void terminal_release(int guard)
{
	if (guard < 0)
		return;
	io_write_all(guard, "", 1);
	close(guard);
}

int terminal_init(struct terminal *terminal, int guard, struct loop *loop,
	size_t (*send)(void *ctx, const uint8_t *data, size_t len), void (*leave)(void *ctx),
	void (*gone)(void *ctx), void *ctx, int file, struct error *err)
{
	*terminal = (struct terminal){
		.loop = loop,
		.input = {.fd = STDIN_FILENO, .events = POLLIN, .ready = ready, .ctx = terminal},
		.more = {.run = room, .ctx = terminal},
		.guard = guard,
		.file = file,
		.tty = isatty(file < 0 ? STDOUT_FILENO : file),
		.send = send,
		.leave = leave,
		.gone = gone,
		.ctx = ctx,
	};
	loop_timer_init(&terminal->silence, loop, tell_silence, terminal);
	return output_create(file < 0 ? STDOUT_FILENO : file, OUTPUT_PATIENCE, &terminal->output,
		err);
}

int terminal_start(struct terminal *terminal, struct error *err)
{
	struct termios raw;
	int r = output_start(terminal->output, err);

	if (r || terminal->file >= 0)
		return r;
	if (!terminal->plain && !tcgetattr(STDIN_FILENO, &terminal->saved)) {
		raw = terminal->saved;
		cfmakeraw(&raw);
		terminal->raw = !tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	loop_fd_add(terminal->loop, &terminal->input);
	terminal->watching = true;
	return 0;
}

bool terminal_size(const struct terminal *terminal, unsigned *columns, unsigned *rows)
{
	struct winsize size;

	if (!terminal->raw || ioctl(STDIN_FILENO, TIOCGWINSZ, &size) || !size.ws_col ||
		!size.ws_row)
		return false;
	*columns = size.ws_col;
	*rows = size.ws_row;
	return true;
}

void terminal_expect(struct terminal *terminal, const char *hint)
{
	terminal->hint = hint;
	loop_timer_arm(&terminal->silence, clock_now() + TERMINAL_SILENCE * 1000000000ull);
}

void terminal_stop(struct terminal *terminal, bool patient, int cancel)
{
	end_input(terminal);
	terminal->unwritten |= !output_finish(terminal->output,
		patient && !terminal->left && !terminal->tty, cancel);
	terminal->output = NULL;
	if (terminal->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->saved);
	terminal->raw = false;
	if (terminal->loop)
		loop_timer_cancel(&terminal->silence);
	terminal_release(terminal->guard);
	terminal->guard = -1;
}

void terminal_output(struct terminal *terminal, const uint8_t *data, size_t len)
{
	if (!__atomic_load_n(&terminal->spoken, __ATOMIC_RELAXED))
		__atomic_store_n(&terminal->spoken, true, __ATOMIC_RELAXED);
	output_write(terminal->output, data, len);
}

void terminal_room(struct terminal *terminal)
{
	loop_post(terminal->loop, &terminal->more);
}
