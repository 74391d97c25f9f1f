/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/links.h"
#include "daemon/network.h"
#include "links/named.h"
#include "links/tables.h"

/* Whoever flushes loads his own next: not in between. Our own changes are told of, too, and mend nothing. */
#define PAUSE_NS (200 * 1000000ull)

/* Once it was too slow it is left alone for so long. */
#define LATE_SECONDS 60

void rules_later(struct daemon *daemon)
{
	log_add(&daemon->log,
		"nft is too slow: the rules of guests and networks are loaded again in %u seconds",
		LATE_SECONDS);
	daemon->rules_late = true;
	loop_timer_arm(&daemon->rules_timer, clock_now() + LATE_SECONDS * 1000000000ull);
}

/* How many tables there were. */
static int load(struct daemon *daemon, const char *list)
{
	const int networks = list ? network_mend(daemon, list) : network_restore(daemon, false);
	const int links = networks == -ETIMEDOUT ? networks : links_mend(daemon, list);

	return links == -ETIMEDOUT ? links : networks + links;
}

static void mend(void *ctx)
{
	struct daemon *daemon = ctx;
	/* Of one that was late it is not known what is in the tables that there are. */
	char *list = daemon->rules_late ? NULL : tables_list();
	int count;

	if (!list && !daemon->rules_late)
		return;
	count = load(daemon, list);
	free(list);
	if (count == -ETIMEDOUT) {
		rules_later(daemon);
		return;
	}
	if (daemon->rules_late)
		log_add(&daemon->log, "the rules of guests and networks are loaded");
	else if (count)
		log_add(&daemon->log,
			"%d tables of nftables that somebody had flushed are loaded again", count);
	daemon->rules_late = false;
}

/* Turns are the clock's: a daemon that is started anew more often than they come takes none for the first. */
#define TURN_NS (NAMED_SECONDS * 1000000000ull)

static void await_turn(struct daemon *daemon)
{
	loop_timer_arm(&daemon->names_timer, (clock_now() / TURN_NS + 1) * TURN_NS);
}

static void forget_names(void *ctx)
{
	struct daemon *daemon = ctx;

	network_forget_names(daemon, clock_now() / TURN_NS & 1);
	await_turn(daemon);
}

static void changed(void *ctx, short revents)
{
	struct daemon *daemon = ctx;

	if (tables_changed(daemon->rules.fd) && !daemon->rules_late)
		loop_timer_arm(&daemon->rules_timer, clock_now() + PAUSE_NS);
}

void rules_begin(struct daemon *daemon, bool late)
{
	struct error err = {""};
	int fd;

	if (!daemon->root)
		return;
	loop_timer_init(&daemon->rules_timer, daemon->loop, mend, daemon);
	loop_timer_init(&daemon->names_timer, daemon->loop, forget_names, daemon);
	await_turn(daemon);
	if (late)
		rules_later(daemon);
	if (tables_watch(&fd, &err)) {
		log_add(&daemon->log, "a flush of guests' filters will not be seen: %s", err.text);
		return;
	}
	daemon->rules =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = changed, .ctx = daemon};
	loop_fd_add(daemon->loop, &daemon->rules);
}

void rules_end(struct daemon *daemon)
{
	if (daemon->rules_timer.fire)
		loop_timer_cancel(&daemon->rules_timer);
	if (daemon->names_timer.fire)
		loop_timer_cancel(&daemon->names_timer);
	if (!daemon->rules.ready)
		return;
	loop_fd_remove(daemon->loop, &daemon->rules);
	close(daemon->rules.fd);
	daemon->rules.ready = NULL;
}
