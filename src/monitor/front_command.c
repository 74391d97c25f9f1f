/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in the foreground that is there for a command: our standard streams are the command's, and of the
 * guest's console the end is kept, for when something goes wrong.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/thread.h"
#include "monitor/internal.h"

#define TAIL 4096u

struct console_tail {
	struct mutex lock;
	uint64_t total GUARDED_BY(lock); /* bytes that the guest ever said */
	uint8_t last[TAIL] GUARDED_BY(lock);
};

static size_t send_input(void *ctx, const uint8_t *data, size_t len)
{
	struct guest_monitor *monitor = ctx;

	return monitor->ops->input(monitor->guest, data, len);
}

static void input_over(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	monitor->ops->input_over(monitor->guest);
}

static void output_written(void *ctx, size_t len, bool gone)
{
	struct guest_monitor *monitor = ctx;

	monitor->ops->written(monitor->guest, STDOUT_FILENO, len, gone);
}

static void errors_written(void *ctx, size_t len, bool gone)
{
	struct guest_monitor *monitor = ctx;

	monitor->ops->written(monitor->guest, STDERR_FILENO, len, gone);
}

static int open_streams(struct guest_monitor *monitor, struct error *err)
{
	int r;

	foreground_open(monitor);
	monitor->tail = calloc(1, sizeof *monitor->tail);
	if (!monitor->tail)
		return error_nomem(err);
	mutex_init(&monitor->tail->lock);
	r = terminal_init(&monitor->terminal, monitor->terminal.guard, monitor->loop, send_input,
		foreground_leave, monitor_hang_up, monitor, -1, err);
	if (r)
		return r;
	monitor->terminal.plain = !monitor->foreground->terminal;
	monitor->terminal.over = input_over;
	output_watch(monitor->terminal.output, output_written, monitor);
	r = output_create(STDERR_FILENO, OUTPUT_PATIENCE, &monitor->errors, err);
	if (!r)
		output_watch(monitor->errors, errors_written, monitor);
	return r;
}

static int start(struct guest_monitor *monitor, struct error *err)
{
	int r = output_start(monitor->errors, err);

	if (!r)
		r = terminal_start(&monitor->terminal, err);
	if (!r)
		foreground_start(monitor);
	return r;
}

static void stream(struct guest_monitor *monitor, unsigned number, const uint8_t *data, size_t len)
{
	output_write(number == STDERR_FILENO ? monitor->errors : monitor->terminal.output, data,
		len);
}

/* What the guest says on its console. */
static void output(struct guest_monitor *monitor, const uint8_t *data, size_t len)
{
	struct console_tail *tail = monitor->tail;

	if (monitor->foreground->verbose) {
		io_write_all(STDERR_FILENO, data, len);
		return;
	}
	mutex_lock(&tail->lock);
	for (size_t i = 0; i < len; i++)
		tail->last[tail->total++ % TAIL] = data[i];
	mutex_unlock(&tail->lock);
}

/* From the start of a line; a terminal gets nothing but letters. */
static void show_console(struct guest_monitor *monitor)
{
	struct console_tail *tail = monitor->tail;
	uint8_t text[2 * TAIL];
	size_t len = 0;
	uint64_t at;

	mutex_lock(&tail->lock);
	at = tail->total > TAIL ? tail->total - TAIL : 0;
	while (tail->total > TAIL && at < tail->total && tail->last[at % TAIL] != '\n')
		at++;
	for (; at < tail->total; at++) {
		const uint8_t c = tail->last[at % TAIL];

		if (c == '\n' && monitor->terminal.raw)
			text[len++] = '\r';
		if (c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f))
			text[len++] = c;
	}
	mutex_unlock(&tail->lock);
	if (len)
		io_write_all(STDERR_FILENO, text, len);
	if (len && text[len - 1] != '\n')
		io_write_all(STDERR_FILENO, "\n", 1);
}

static void room(struct guest_monitor *monitor)
{
	terminal_room(&monitor->terminal);
}

static void stop(struct guest_monitor *monitor)
{
	foreground_stop(monitor);
	monitor->terminal.unwritten |= !output_finish(monitor->errors, foreground_patient(monitor),
		monitor->signals.watch.fd);
	monitor->errors = NULL;
}

static void expect(struct guest_monitor *monitor, const char *hint)
{
}

static void close_requests(struct guest_monitor *monitor)
{
}

static void close_streams(struct guest_monitor *monitor)
{
	if (monitor->tail)
		mutex_destroy(&monitor->tail->lock);
	free(monitor->tail);
}

const struct front command_front = {
	.open = open_streams,
	.restrict_to = foreground_restrict,
	.start = start,
	.output = output,
	.room = room,
	.stream = stream,
	.show_console = show_console,
	.expect = expect,
	.resized = foreground_tell_size,
	.stop = stop,
	.close_requests = close_requests,
	.close = close_streams,
};
