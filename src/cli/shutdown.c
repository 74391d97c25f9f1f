/* SPDX-License-Identifier: Apache-2.0 */
/* Asking guests to end: shutdown and reboot, maybe with waiting for it. */
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/wait.h"
#include "client/client.h"

enum { ALL = 1, WAIT, FALLBACK, TIMEOUT, HALT, REBOOT };

static const struct option_spec shutdown_options[] = {
	{"all", ALL, NULL, "all guests"},
	{"a", ALL, NULL, NULL},
	{"wait", WAIT, NULL, "wait until it has ended"},
	{"w", WAIT, NULL, NULL},
	{"timeout", TIMEOUT, "SECONDS", "wait no longer; status 1 if it is still there"},
	{"F", FALLBACK, NULL, "by ACPI if need be; that is so anyhow"},
	{"halt", HALT, NULL, "and not start again, as xm says it; that is so anyhow"},
	{"H", HALT, NULL, NULL},
	{"reboot", REBOOT, NULL, "ask it to start again instead, as xm says it"},
	{"R", REBOOT, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec reboot_options[] = {
	{"all", ALL, NULL, "all guests"},
	{"a", ALL, NULL, NULL},
	{"wait", WAIT, NULL, "wait until it has ended; it starts again by itself"},
	{"w", WAIT, NULL, NULL},
	{"timeout", TIMEOUT, "SECONDS", "wait no longer; status 1 if it is still there"},
	{"F", FALLBACK, NULL, "reset the machine instead of asking the guest"},
	{NULL, 0, NULL, NULL},
};

struct way {
	const char *says;
	const char *suffix;
	json_t *body; /* borrowed; NULL: none */
};

/* xl's sentence about each, and the request. all: those that have ended meanwhile do not matter. */
static int ask_each(struct cli *cli, const struct way *way, bool all, json_t *targets)
{
	int status = 0;
	json_t *guest;
	size_t i;

	json_array_foreach(targets, i, guest)
	{
		if (json_is_integer(json_object_get(guest, "domid")))
			fprintf(stderr, "%s domain %lld\n", way->says,
				json_get_number(guest, "domid"));
		if (!all &&
			call_act(cli, "POST", json_get_text(guest, "uuid"), way->suffix,
				json_incref(way->body)))
			status = CLI_FAILURE;
	}
	return all ? call_post_all(cli, targets, way->suffix, way->body) : status;
}

/* What both verbs take. */
struct wish {
	bool all, wait;
	unsigned timeout; /* seconds; 0: none */
};

/* False: the value is wrong, which has been said. */
static bool take_wish(struct cli *cli, int id, struct wish *wish)
{
	struct error err = {""};
	uint64_t seconds;

	wish->all |= id == ALL;
	wish->wait |= id == WAIT || id == TIMEOUT;
	if (id != TIMEOUT)
		return true;
	if (option_number("--timeout", cli->value, 1, 86400, &seconds, &err)) {
		cli_fail(cli, &err);
		return false;
	}
	wish->timeout = (unsigned)seconds;
	return true;
}

static int end(struct cli *cli, const struct way *way, const struct wish *wish)
{
	struct client_events *events = NULL;
	struct error err = {""};
	json_t *targets;
	int status = wait_targets(cli, wish->all, &targets);

	if (status)
		return status;
	if (wish->wait && !cli->dry && client_events_open(cli->client, &events, &err))
		status = cli_fail(cli, &err);
	if (!status)
		status = ask_each(cli, way, wish->all, targets);
	if (!status && events)
		status = wait_ends(cli, events, targets, (int)wish->timeout);
	client_events_close(events);
	json_decref(targets);
	return status;
}

static int shutdown(struct cli *cli)
{
	static const struct way again = {"Rebooting", "/reboot", NULL};
	struct way way = {"Shutting down", "/shutdown", NULL};
	struct wish wish = {0};
	int id;

	while ((id = cli_option(cli)) > 0) {
		if (!take_wish(cli, id, &wish))
			return CLI_FAILURE;
		if (id == REBOOT)
			way = again;
	}
	return id == CLI_END ? cli->status : end(cli, &way, &wish);
}

static int reboot(struct cli *cli)
{
	struct way way = {"Rebooting", "/reboot", NULL};
	struct wish wish = {0};
	int id, status;

	while ((id = cli_option(cli)) > 0) {
		if (!take_wish(cli, id, &wish))
			return CLI_FAILURE;
		if (id == FALLBACK)
			way.suffix = "/trigger";
	}
	if (id == CLI_END)
		return cli->status;
	if (!strcmp(way.suffix, "/trigger"))
		way.body = json_pack("{s:s}", "trigger", "reset");
	status = end(cli, &way, &wish);
	json_decref(way.body);
	return status;
}

const struct cli_verb cli_shutdown_verbs[] = {
	{"shutdown", "-a | GUEST...", "Ask a guest to switch itself off", 0, CLI_WORDS_MAX,
		.options = shutdown_options, .run = shutdown},
	{"reboot", "-a | GUEST...", "Ask a guest to start again", 0, CLI_WORDS_MAX,
		.options = reboot_options, .run = reboot},
	{.name = NULL},
};
