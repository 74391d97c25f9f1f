/* SPDX-License-Identifier: Apache-2.0 */
/* dach-switch: a network among the guests of one user; his daemon starts it. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/sandbox.h"
#include "protocol/switch.h"
#include "protocol/walls.h"
#include "switch/switch.h"
#include "vmm/calls.h"

static void switch_calls(void *ctx, struct calls *calls, unsigned roles)
{
	/* As a monitor's with a network in user mode and another on a tap. */
	struct vmm_needs needs = {.user = true, .tap = true};

	vmm_calls(&needs, calls, CALLS_NET);
}

static int run(struct error *err)
{
	const struct sandbox_lone lone = {.network = true};
	struct sandbox sandbox = {.doors = true, .calls = switch_calls};
	unsigned walls;
	struct sw *sw;
	int r;

	close_range(SWITCH_FD + 1, ~0u, 0);
	r = switch_create(SWITCH_FD, &sw, err);
	if (r)
		return r;
	r = sandbox_lone(&lone, &walls, err);
	sandbox.few_files = walls & (1u << WALL_LANDLOCK | 1u << WALL_NAMESPACES);
	sandbox.names = walls & 1u << WALL_NAMESPACES;
	if (!r)
		r = sandbox_calls(CALLS_ALL, &sandbox, err);
	if (!r)
		r = switch_start(sw, err);
	if (!r)
		switch_run(sw);
	switch_destroy(sw);
	return r;
}

int main(int argc, char **argv)
{
	struct error err = {""};
	int listening = 0;
	socklen_t size = sizeof listening;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("dach-switch " DACH_VERSION);
		return 0;
	}
	if (argc > 1 || getsockopt(SWITCH_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) ||
		!listening) {
		puts("usage: dach-switch\n\nA network among one user's guests. dachd starts it, with a socket on "
		     "descriptor 3.");
		return argc > 1 && !strcmp(argv[1], "--help") ? 0 : 1;
	}
	if (!run(&err))
		return 0;
	fprintf(stderr, "dach-switch: %s\n", err.text);
	return 1;
}
