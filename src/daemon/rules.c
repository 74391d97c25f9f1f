/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rules.h"

#include <stdlib.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/links.h"
#include "daemon/network.h"
#include "links/tables.h"

/* Whoever flushes loads his own next: not in between. Our own changes are told of, too, and mend nothing. */
#define PAUSE_NS (200 * 1000000ull)

static void mend(void *ctx)
{
	struct daemon *daemon = ctx;
	char *list = tables_list();
	unsigned count;

	if (!list)
		return;
	count = network_mend(daemon, list) + links_mend(daemon, list);
	free(list);
	if (count)
		log_add(&daemon->log,
			"%u tables of nftables that somebody had flushed are loaded again", count);
}

static void changed(void *ctx, short revents)
{
	struct daemon *daemon = ctx;

	if (tables_changed(daemon->rules.fd))
		loop_timer_arm(&daemon->rules_timer, clock_now() + PAUSE_NS);
}

void rules_begin(struct daemon *daemon)
{
	struct error err = {""};
	int fd;

	if (!daemon->root)
		return;
	if (tables_watch(&fd, &err)) {
		log_add(&daemon->log, "a flush of guests' filters will not be seen: %s", err.text);
		return;
	}
	loop_timer_init(&daemon->rules_timer, daemon->loop, mend, daemon);
	daemon->rules =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = changed, .ctx = daemon};
	loop_fd_add(daemon->loop, &daemon->rules);
}

void rules_end(struct daemon *daemon)
{
	if (!daemon->rules.ready)
		return;
	loop_timer_cancel(&daemon->rules_timer);
	loop_fd_remove(daemon->loop, &daemon->rules);
	close(daemon->rules.fd);
	daemon->rules.ready = NULL;
}
