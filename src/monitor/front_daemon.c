/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon's guest: control and console are sockets, and everything else is open already too. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "monitor/internal.h"

static size_t send_input(void *ctx, const uint8_t *data, size_t len)
{
	struct guest_monitor *monitor = ctx;

	return monitor->ops->input(monitor->guest, data, len);
}

static void dont_block(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int open_sockets(struct guest_monitor *monitor, struct error *err)
{
	const struct launch_spec *spec = monitor->spec;
	const struct control_handler handler = {monitor, request_handle, request_gone};
	int r;

	if (spec->console >= 0)
		dont_block(spec->console);
	r = console_create(monitor->loop, spec->console, send_input, monitor, &monitor->console,
		err);
	if (r || spec->control < 0)
		return r;
	dont_block(spec->control);
	return control_create(monitor->loop, spec->control, &handler, &monitor->control, err);
}

static int restrict_to(struct guest_monitor *monitor, bool network, bool signals, struct error *err)
{
	const struct launch_spec *spec = monitor->spec;

	const struct sandbox_lone lone = {
		.uid = spec->uid,
		.gid = spec->gid,
		.domid = spec->domid,
		.network = network,
		.signals = signals,
		.needed = spec->walls,
	};
	int r = sandbox_lone(&lone, &monitor->walls, err);

	/* In an empty root, too, there is nothing to be opened. */
	monitor->sandbox.few_files = monitor->walls & (1u << WALL_LANDLOCK | 1u << WALL_NAMESPACES);
	monitor->sandbox.names = monitor->walls & 1u << WALL_NAMESPACES;
	return r;
}

static void output(struct guest_monitor *monitor, const uint8_t *data, size_t len)
{
	console_output(monitor->console, data, len);
}

static void room(struct guest_monitor *monitor)
{
	console_room(monitor->console);
}

static int start(struct guest_monitor *monitor, struct error *err)
{
	return 0;
}

static void nothing(struct guest_monitor *monitor)
{
}

/* Nobody is there to be told. */
static void expect(struct guest_monitor *monitor, const char *hint)
{
}

static void close_requests(struct guest_monitor *monitor)
{
	control_destroy(monitor->control);
	monitor->control = NULL;
}

static void close_console(struct guest_monitor *monitor)
{
	console_destroy(monitor->console);
}

static const struct front daemon_front = {
	.walls = true,
	.open = open_sockets,
	.restrict_to = restrict_to,
	.start = start,
	.output = output,
	.room = room,
	.expect = expect,
	.stop = nothing,
	.close_requests = close_requests,
	.close = close_console,
};

void monitor_launched(const struct guest_ops *ops, void *guest, const struct launch_spec *spec,
	struct end_report *end)
{
	struct guest_monitor *monitor = calloc(1, sizeof *monitor);

	if (!monitor) {
		*end = (struct end_report){END_ERROR, END_STATUS_SETUP, {"out of memory"}};
		return;
	}
	monitor->ops = ops;
	monitor->guest = guest;
	monitor->spec = spec;
	monitor->front = &daemon_front;
	monitor->sandbox.doors = true;
	monitor_run(monitor, end);
}
