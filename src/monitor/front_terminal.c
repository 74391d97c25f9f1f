/* SPDX-License-Identifier: Apache-2.0 */
/* A guest in the foreground: its console is our standard input and output. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/internal.h"

static size_t send_input(void *ctx, const uint8_t *data, size_t len)
{
	struct guest_monitor *monitor = ctx;

	return monitor->ops->input(monitor->guest, data, len);
}

void foreground_leave(void *ctx)
{
	monitor_end(ctx);
}

static void time_is_up(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	monitor->timed_out = true;
	monitor_end(monitor);
}

void foreground_open(struct guest_monitor *monitor)
{
	loop_timer_init(&monitor->deadline, monitor->loop, time_is_up, monitor);
}

static int open_terminal(struct guest_monitor *monitor, struct error *err)
{
	const char *name = monitor->foreground->console;
	int file = -1;

	if (name)
		file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
	if (name && file < 0)
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	foreground_open(monitor);
	return terminal_init(&monitor->terminal, monitor->terminal.guard, monitor->loop, send_input,
		foreground_leave, monitor_hang_up, monitor, file, err);
}

int foreground_restrict(struct guest_monitor *monitor, bool network, bool signals,
	struct error *err)
{
	sandbox_files(&monitor->sandbox, network, signals);
	return sandbox_privileges(err);
}

void foreground_tell_size(struct guest_monitor *monitor)
{
	unsigned columns, rows;

	if (monitor->ops->resize && terminal_size(&monitor->terminal, &columns, &rows))
		monitor->ops->resize(monitor->guest, columns, rows);
}

void foreground_start(struct guest_monitor *monitor)
{
	foreground_tell_size(monitor);
	if (monitor->foreground->timeout)
		loop_timer_arm(&monitor->deadline, clock_now() + monitor->foreground->timeout);
}

static int start(struct guest_monitor *monitor, struct error *err)
{
	int r = terminal_start(&monitor->terminal, err);

	if (!r)
		foreground_start(monitor);
	return r;
}

static void output(struct guest_monitor *monitor, const uint8_t *data, size_t len)
{
	terminal_output(&monitor->terminal, data, len);
}

static void room(struct guest_monitor *monitor)
{
	terminal_room(&monitor->terminal);
}

static void expect(struct guest_monitor *monitor, const char *hint)
{
	if (!monitor->foreground->quiet)
		terminal_expect(&monitor->terminal, hint);
}

/* Who asked for the end does not wait for a reader that does not read. */
bool foreground_patient(const struct guest_monitor *monitor)
{
	return !monitor->signals.count && !monitor->timed_out && monitor->signals_started;
}

void foreground_stop(struct guest_monitor *monitor)
{
	if (monitor->deadline.loop)
		loop_timer_cancel(&monitor->deadline);
	terminal_stop(&monitor->terminal, foreground_patient(monitor), monitor->signals.watch.fd);
}

static void nothing(struct guest_monitor *monitor)
{
}

static const struct front terminal_front = {
	.open = open_terminal,
	.restrict_to = foreground_restrict,
	.start = start,
	.output = output,
	.room = room,
	.expect = expect,
	.resized = foreground_tell_size,
	.stop = foreground_stop,
	.close_requests = nothing,
	.close = nothing,
};

void monitor_foreground(const struct guest_ops *ops, void *guest, const struct foreground *config,
	struct end_report *end)
{
	const bool bare = config->console || (config->command && !config->terminal);
	int guard = bare ? -1 : terminal_guard();
	struct guest_monitor *monitor = calloc(1, sizeof *monitor);

	if (!monitor) {
		*end = (struct end_report){END_ERROR, END_STATUS_SETUP, {"out of memory"}};
		terminal_release(guard);
		return;
	}
	monitor->ops = ops;
	monitor->guest = guest;
	monitor->front = config->command ? &command_front : &terminal_front;
	monitor->terminal.guard = guard;
	monitor->signals.grace = config->grace;
	monitor->foreground = config;
	monitor_run(monitor, end);
}
