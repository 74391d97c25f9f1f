/* SPDX-License-Identifier: Apache-2.0 */
/* What containers have of what they are limited in, in the shape of OpenVZ's /proc/user_beancounters. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"

#define PAGE 4096u
#define NO_LIMIT INT64_MAX /* as the kernel shows it there */

static const struct {
	const char *name, *key;
	unsigned unit;
} resources[] = {{"physpages", "memory", PAGE}, {"numproc", "processes", 1}};

static void print_row(const json_t *guest, unsigned n)
{
	const json_t *count = json_object_get(json_object_get(guest, "counters"), resources[n].key);
	const json_t *limited = json_object_get(count, "limit");
	const int64_t unit = resources[n].unit;
	/* Version 1 of control groups has the largest whole page for none. */
	const int64_t limit =
		json_is_integer(limited) && json_integer_value(limited) < INT64_MAX - PAGE
		? json_integer_value(limited) / unit
		: NO_LIMIT;

	printf("%10s  %-12s %20" PRId64 " %20" PRId64 " %20" PRId64 " %20" PRId64 " %20" PRId64
	       "\n",
		n ? "" : format_name(guest), resources[n].name,
		(int64_t)json_get_number(count, "held") / unit,
		(int64_t)json_get_number(count, "peak") / unit, limit, limit,
		(int64_t)json_get_number(count, "failures"));
}

static void print_guest(const json_t *guest)
{
	if (!json_object_get(guest, "counters"))
		return;
	for (unsigned n = 0; n < sizeof resources / sizeof *resources; n++)
		print_row(guest, n);
}

static int beancounters(struct cli *cli)
{
	json_t *list = NULL, *guest;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = cli->words_count ? call_guest(cli, "GET", cli->words[0], "", NULL, &list)
				  : call_guests(cli, &list);
	if (status)
		return status;
	if (cli->words_count && !json_object_get(list, "counters")) {
		status =
			cli_say(cli, "%s: only a container that runs is counted so", cli->words[0]);
	} else if (cli->json) {
		call_print(cli->words_count ? json_object_get(list, "counters") : list);
	} else {
		printf("Version: 2.5\n%10s  %-12s %20s %20s %20s %20s %20s\n", "uid", "resource",
			"held", "maxheld", "barrier", "limit", "failcnt");
		if (cli->words_count)
			print_guest(list);
		json_array_foreach(json_object_get(list, "guests"), i, guest) print_guest(guest);
	}
	json_decref(list);
	return status;
}

const struct cli_verb cli_beancounter_verbs[] = {
	{"beancounters", "[GUEST]", "Show what containers have of their limits, as OpenVZ does", 0,
		1, .run = beancounters},
	{.name = NULL},
};
