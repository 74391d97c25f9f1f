/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/terminal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

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
		return;
	}
	leave = terminal->raw ? memchr(terminal->buf, LEAVE, n) : NULL;
	terminal->start = 0;
	terminal->end = leave ? leave - terminal->buf : n;
	feed(terminal);
	if (leave)
		terminal->leave(terminal->ctx);
}

static void room(void *ctx)
{
	feed(ctx);
}

void terminal_init(struct terminal *terminal, struct loop *loop,
	size_t (*send)(void *ctx, const uint8_t *data, size_t len), void (*leave)(void *ctx),
	void *ctx)
{
	*terminal = (struct terminal){
		.loop = loop,
		.input = {.fd = STDIN_FILENO, .events = POLLIN, .ready = ready, .ctx = terminal},
		.more = {.run = room, .ctx = terminal},
		.send = send,
		.leave = leave,
		.ctx = ctx,
	};
}

void terminal_start(struct terminal *terminal)
{
	struct termios raw;

	if (!tcgetattr(STDIN_FILENO, &terminal->saved)) {
		raw = terminal->saved;
		cfmakeraw(&raw);
		terminal->raw = !tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
	}
	loop_fd_add(terminal->loop, &terminal->input);
	terminal->watching = true;
}

void terminal_stop(struct terminal *terminal)
{
	end_input(terminal);
	if (terminal->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->saved);
	terminal->raw = false;
}

void terminal_output(struct terminal *terminal, const uint8_t *data, size_t len)
{
	while (len && !__atomic_load_n(&terminal->output_gone, __ATOMIC_RELAXED)) {
		ssize_t n = write(STDOUT_FILENO, data, len);

		if (n >= 0) {
			data += n;
			len -= n;
		} else if (errno == EAGAIN) {
			/* A terminal that somebody else made non-blocking. */
			struct pollfd wait = {STDOUT_FILENO, POLLOUT, 0};

			poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			__atomic_store_n(&terminal->output_gone, true, __ATOMIC_RELAXED);
		}
	}
}

void terminal_room(struct terminal *terminal)
{
	loop_post(terminal->loop, &terminal->more);
}
