/* SPDX-License-Identifier: Apache-2.0 */
/* About the host and the daemon: info, dmesg, events. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "client/client.h"

enum { NUMA = 1, CLEAR, FIELDS };

static const struct option_spec info_options[] = {
	{"numa", NUMA, NULL, "the nodes of processors and memory too"},
	{"n", NUMA, NULL, NULL},
	{"f", FIELDS, NULL, NULL}, /* of older scripts, which meant all fields */
	{NULL, 0, NULL, NULL},
};

static const struct option_spec dmesg_options[] = {
	{"clear", CLEAR, NULL, "forget it afterwards"},
	{"c", CLEAR, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static int info(struct cli *cli)
{
	bool numa = false;
	json_t *host;
	int id, status;

	while ((id = cli_option(cli)) > 0)
		numa |= id == NUMA;
	if (id == CLI_END)
		return cli->status;
	status = call_api(cli, "GET", "/v1/host", NULL, &host);
	if (status)
		return status;
	if (cli->json)
		call_print(host);
	else
		format_info(stdout, host, numa ? NULL : cli->words[0]);
	if (numa && !cli->json)
		format_info_numa(stdout, host);
	json_decref(host);
	return 0;
}

static void print_line(const json_t *line)
{
	const time_t when = json_get_number(line, "time");
	char text[32];
	struct tm tm;

	localtime_r(&when, &tm);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s %s\n", text, json_get_text(line, "text"));
}

static int dmesg(struct cli *cli)
{
	bool clear = false;
	json_t *log, *line;
	int id, status;
	size_t i;

	while ((id = cli_option(cli)) > 0)
		clear = true;
	if (id == CLI_END)
		return cli->status;
	status = call_api(cli, clear ? "DELETE" : "GET", "/v1/host/log", NULL, &log);
	if (!log)
		return status; /* it failed, or -N said only what would be asked */
	if (cli->json)
		call_print(log);
	else
		json_array_foreach(json_object_get(log, "lines"), i, line) print_line(line);
	json_decref(log);
	return 0;
}

static int events(struct cli *cli)
{
	struct client_events *events;
	struct error err = {""};
	json_t *event;
	int status, r;

	if (!cli_words(cli))
		return cli->status;
	status = call_connect(cli);
	if (status)
		return status;
	r = client_events_open(cli->client, &events, &err);
	if (r)
		return cli_fail(cli, &err);
	while (!(r = client_events_next(events, -1, &event, &err))) {
		json_dumpf(event, stdout, JSON_PRESERVE_ORDER);
		putchar('\n');
		fflush(stdout);
		json_decref(event);
	}
	client_events_close(events);
	return cli_fail(cli, &err);
}

const struct cli_verb cli_info_verbs[] = {
	{"info", "[FIELD]", "Tell about this host", 0, 1, .options = info_options, .run = info},
	{"dmesg", "", "Show what the daemon did lately", 0, 0, .options = dmesg_options,
		.run = dmesg},
	{"log", "", "The same, as xm called it", 0, 0, .options = dmesg_options, .run = dmesg},
	{"events", "", "Show what happens, as it happens", 0, 0, .run = events},
	{.name = NULL},
};
