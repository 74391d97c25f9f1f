/* SPDX-License-Identifier: Apache-2.0 */
/* A guest in the foreground: its console is our standard input and output. */
#include <errno.h>
#include <stdlib.h>

#include "monitor/internal.h"

static size_t send_input(void *ctx, const uint8_t *data, size_t len)
{
	struct guest_monitor *monitor = ctx;

	return monitor->ops->input(monitor->guest, data, len);
}

static void leave(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	monitor->ops->end(monitor->guest);
}

static int open_terminal(struct guest_monitor *monitor, struct error *err)
{
	terminal_init(&monitor->terminal, monitor->terminal.guard, monitor->loop, send_input, leave,
		monitor_hang_up, monitor);
	return 0;
}

static int restrict_to(struct guest_monitor *monitor, const char *const *files, bool network,
	bool signals, struct error *err)
{
	monitor->sandbox.landlocked = sandbox_files(files, network, signals);
	return 0;
}

static void start(struct guest_monitor *monitor)
{
	terminal_start(&monitor->terminal);
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
	terminal_expect(&monitor->terminal, hint);
}

static void stop(struct guest_monitor *monitor)
{
	terminal_stop(&monitor->terminal);
}

static void nothing(struct guest_monitor *monitor)
{
}

static const struct front terminal_front = {
	.open = open_terminal,
	.restrict_to = restrict_to,
	.start = start,
	.output = output,
	.room = room,
	.expect = expect,
	.stop = stop,
	.close_requests = nothing,
	.close = nothing,
};

void monitor_foreground(const struct guest_ops *ops, void *guest, const struct foreground *config,
	struct end_report *end)
{
	int guard = terminal_guard();
	struct guest_monitor *monitor = calloc(1, sizeof *monitor);

	if (!monitor) {
		*end = (struct end_report){END_ERROR, END_STATUS_SETUP, {"out of memory"}};
		terminal_release(guard);
		return;
	}
	monitor->ops = ops;
	monitor->guest = guest;
	monitor->front = &terminal_front;
	monitor->terminal.guard = guard;
	monitor->signals.grace = config->grace;
	monitor->save = config->save;
	monitor_run(monitor, end);
}
