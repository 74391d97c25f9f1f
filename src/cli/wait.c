/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/wait.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "cli/call.h"
#include "cli/format.h"
#include "client/client.h"
#include "protocol/end.h"

/* The words as guests, each once, or what is wrong with one of them. */
static int named(struct cli *cli, json_t *targets)
{
	for (unsigned i = 0; i < cli->words_count; i++) {
		json_t *guest;
		int status = call_guest(cli, "GET", cli->words[i], "", NULL, &guest);

		if (status)
			return status;
		json_array_append_new(targets, guest);
	}
	return 0;
}

static int running(struct cli *cli, json_t *targets)
{
	json_t *list, *guest;
	int status = call_guests(cli, &list);
	size_t i;

	if (status)
		return status;
	json_array_foreach(json_object_get(list, "guests"), i,
		guest) if (json_is_integer(json_object_get(guest, "domid")))
		json_array_append(targets, guest);
	json_decref(list);
	return 0;
}

int wait_targets(struct cli *cli, bool all, json_t **targets)
{
	int status;

	*targets = NULL;
	if (!all && !cli->words_count) {
		fprintf(stderr, "You must specify -a or a domain id.\n\n");
		return CLI_FAILURE;
	}
	if (all && cli->words_count)
		return cli_say(cli, "-a and '%s' exclude each other", cli->words[0]);
	*targets = json_array();
	status = all ? running(cli, *targets) : named(cli, *targets);
	if (status) {
		json_decref(*targets);
		*targets = NULL;
	}
	return status;
}

/* The member of waiting that the event is about, or its size. */
static size_t about(const json_t *waiting, const json_t *event)
{
	const char *uuid = json_get_text(event, "uuid");
	json_t *guest;
	size_t i;

	json_array_foreach(waiting, i,
		guest) if (!strcmp(json_get_text(guest, "uuid"), uuid)) return i;
	return json_array_size(waiting);
}

static void tell(const json_t *guest, const json_t *event)
{
	enum end_reason reason = end_find(json_get_text(event, "reason"));
	int code = reason == END_NONE ? -1 : end_info(reason)->code;
	long long domid = json_get_number(guest, "domid");

	if (!strcmp(json_get_text(event, "event"), "ended") && code >= 0)
		fprintf(stderr, "Domain %lld has been shut down, reason code %d\n", domid, code);
	else
		fprintf(stderr, "Domain %lld has been destroyed\n", domid);
}

/*
 * The end is told first, that it is gone a moment later, where it goes: who waited finds it gone
 * from the list. The member is taken out when nothing more is to come.
 */
static void take(json_t *waiting, json_t *told, const json_t *event)
{
	const char *what = json_get_text(event, "event");
	size_t i = about(waiting, event);
	json_t *guest = json_array_get(waiting, i);
	bool ended = !strcmp(what, "ended"), removed = !strcmp(what, "removed");
	const char *uuid = json_get_text(event, "uuid");

	if (!guest || (!ended && !removed && strcmp(what, "started")))
		return;
	if (!json_object_get(told, uuid) && (ended || removed)) {
		tell(guest, event);
		json_object_set_new(told, uuid, json_true());
	}
	if (ended && !json_get_true(guest, "managed") &&
		!strcmp(json_get_text(event, "action"), "destroy"))
		return;
	if (json_object_get(told, uuid))
		json_array_remove(waiting, i);
}

#define PATIENCE 10 /* seconds */

/* Of those that are still there. */
static void tell_help(struct cli *cli, const json_t *waiting)
{
	json_t *guest;
	size_t i;

	json_array_foreach(waiting, i, guest)
	{
		const char *name = format_name(guest);

		if (!strcmp(json_get_text(guest, "state"), "paused"))
			fprintf(stderr, "%s is paused and cannot end: '%s unpause %s'\n", name,
				cli->program, name);
		else
			fprintf(stderr,
				"%s has not reacted yet; its power button is pressed again every five "
				"seconds. '%s destroy %s' ends it at once.\n",
				name, cli->program, name);
	}
}

static int give_up(struct cli *cli, const json_t *waiting, int timeout)
{
	json_t *guest;
	size_t i;

	json_array_foreach(waiting, i, guest)
		cli_say(cli, "%s is still there after %d seconds", format_name(guest), timeout);
	return CLI_FAILURE;
}

/* Milliseconds until the next thing to say, `passed` after the start; -1: there is none. */
static int ms_left(int64_t passed, bool helped, int timeout)
{
	int64_t next = helped || (timeout && timeout < PATIENCE) ? timeout : PATIENCE;

	if (timeout == WAIT_UNASKED || !next)
		return -1;
	return passed >= next * 1000 ? 0 : (int)(next * 1000 - passed);
}

int wait_ends(struct cli *cli, struct client_events *events, const json_t *targets, int timeout)
{
	json_t *waiting = json_copy((json_t *)targets), *told = json_object(), *event;
	const uint64_t start = clock_now();
	struct error err = {""};
	bool helped = false;
	int r = 0, status = 0;

	fprintf(stderr, "Waiting for %zu domains\n", json_array_size(waiting));
	while (!r && !status && json_array_size(waiting)) {
		int64_t passed = (clock_now() - start) / 1000000;

		r = client_events_next(events, ms_left(passed, helped, timeout), &event, &err);
		if (!r) {
			take(waiting, told, event);
			json_decref(event);
		} else if (r == -ETIMEDOUT) {
			r = 0;
			passed = (clock_now() - start) / 1000000;
			if (timeout && passed >= timeout * 1000)
				status = give_up(cli, waiting, timeout);
			else if (!helped)
				tell_help(cli, waiting);
			helped = true;
		}
	}
	json_decref(waiting);
	json_decref(told);
	return r ? cli_fail(cli, &err) : status;
}
