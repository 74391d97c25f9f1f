/* SPDX-License-Identifier: Apache-2.0 */
/* Which guests there are: list, vm-list, uptime, and from one name of a guest to another. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"

enum { LONG = 1, VERBOSE, NUMA, KIND, SHORT, IGNORED };

static const struct option_spec list_options[] = {
	{"long", LONG, NULL, "the configurations, in the shape of xl's JSON"},
	{"l", LONG, NULL, NULL},
	{"verbose", VERBOSE, NULL, "UUIDs, and why a guest that is shut down ended"},
	{"v", VERBOSE, NULL, NULL},
	{"numa", NUMA, NULL, "the nodes whose memory a guest has"},
	{"n", NUMA, NULL, NULL},
	{"kind", KIND, NULL, "whether a guest is a machine or a container"},
	{"Z", IGNORED, NULL, NULL},
	{"context", IGNORED, NULL, NULL},
	{"c", IGNORED, NULL, NULL},
	{"cpupool", IGNORED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec uptime_options[] = {
	{"s", SHORT, NULL, "in uptime(1)'s form"},
	{NULL, 0, NULL, NULL},
};

static bool is_domain0(const char *ref)
{
	return !strcmp(ref, "0") || !strcmp(ref, "Domain-0");
}

static bool is_off(const json_t *guest)
{
	return !json_is_integer(json_object_get(guest, "domid"));
}

/*
 * xl knows of no guests that are off, and its scripts take each row for one that is there: under that
 * name they are shown to programs of ours alone (--json).
 */
static bool shows_off(const struct cli *cli)
{
	return cli->json || strcmp(cli->program, "xl");
}

/* The guest that a word names; CALL_NOT_FOUND also if it is one that is not shown. */
static int find_shown(struct cli *cli, const char *ref, json_t **guest)
{
	int status = call_find(cli, ref, guest);

	if (status || shows_off(cli) || !is_off(*guest))
		return status;
	json_decref(*guest);
	*guest = NULL;
	return CALL_NOT_FOUND;
}

/*
 * The guests that the words name, or all with the host as the first. *rows is an array, the
 * caller's. missing: what to say of one that is not there.
 */
static int choose(struct cli *cli, const char *missing, json_t **rows)
{
	json_t *list, *guest;
	int status = call_guests(cli, &list);
	size_t i;

	*rows = json_array();
	if (status)
		return status;
	if (!cli->words_count) {
		json_array_append(*rows, json_object_get(list, "domain0"));
		json_array_foreach(json_object_get(list, "guests"), i, guest) if (shows_off(cli) ||
			!is_off(guest)) json_array_append(*rows, guest);
	}
	for (i = 0; i < cli->words_count; i++) {
		const char *ref = cli->words[i];

		if (is_domain0(ref)) {
			json_array_append(*rows, json_object_get(list, "domain0"));
			continue;
		}
		status = find_shown(cli, ref, &guest);
		if (status) {
			if (status == CALL_NOT_FOUND)
				fprintf(stderr, missing, ref);
			status = CLI_FAILURE;
			break;
		}
		json_array_append_new(*rows, guest);
	}
	json_decref(list);
	return status;
}

static void print_long(const json_t *rows)
{
	json_t *all = format_xl_list(rows);

	call_print_xl(all);
	json_decref(all);
}

static int list(struct cli *cli)
{
	bool details = false, verbose = false, numa = false, kind = false;
	json_t *rows, *guest;
	int id, status;
	size_t i;

	while ((id = cli_option(cli)) > 0) {
		details |= id == LONG;
		verbose |= id == VERBOSE;
		numa |= id == NUMA;
		kind |= id == KIND;
	}
	if (id == CLI_END)
		return cli->status;
	status = choose(cli, "Error: Domain '%s' does not exist.\n", &rows);
	if (!status && cli->json) {
		call_print(rows);
	} else if (!status && details) {
		print_long(rows);
	} else if (!status) {
		format_list_head(stdout, verbose, numa, kind);
		json_array_foreach(rows, i, guest)
			format_list_row(stdout, guest, verbose, numa, kind);
	}
	json_decref(rows);
	return status;
}

static int vm_list(struct cli *cli)
{
	json_t *rows, *guest;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = choose(cli, "", &rows);
	if (!status && cli->json) {
		call_print(rows);
	} else if (!status) {
		format_vm_list_head(stdout);
		json_array_foreach(rows, i, guest) if (!is_off(guest))
			format_vm_list_row(stdout, guest);
	}
	json_decref(rows);
	return status;
}

static int uptime(struct cli *cli)
{
	const time_t now = time(NULL);
	bool brief = false;
	json_t *rows, *guest;
	struct tm clock;
	int id, status;
	size_t i;

	while ((id = cli_option(cli)) > 0)
		brief |= id == SHORT;
	if (id == CLI_END)
		return cli->status;
	localtime_r(&now, &clock);
	status = choose(cli, "%s is an invalid domain identifier (rc=-6)\n", &rows);
	if (!status && cli->json) {
		call_print(rows);
	} else if (!status) {
		if (!brief)
			format_uptime_head(stdout);
		json_array_foreach(rows, i, guest)
		{
			if (is_off(guest))
				continue;
			if (brief)
				format_uptime_short(stdout, guest, &clock);
			else
				format_uptime_row(stdout, guest);
		}
	}
	json_decref(rows);
	return status;
}

/* The one row that the only word names; NULL if there is none, or *status says why not. */
static json_t *find(struct cli *cli, int *status)
{
	const char *ref = cli->words[0];
	json_t *list, *guest = NULL;

	if (is_domain0(ref)) {
		*status = call_guests(cli, &list);
		if (!*status)
			guest = json_incref(json_object_get(list, "domain0"));
		json_decref(list);
		return guest;
	}
	*status = call_find(cli, ref, &guest);
	if (*status == CALL_NOT_FOUND)
		*status = 0;
	return guest;
}

static int domid(struct cli *cli)
{
	json_t *guest;
	int status = 0;

	if (!cli_words(cli))
		return cli->status;
	guest = find(cli, &status);
	if (!status && (!guest || is_off(guest))) {
		fprintf(stderr,
			"Can't get domid of domain name '%s', maybe this domain does not exist.\n",
			cli->words[0]);
		status = CLI_FAILURE;
	} else if (!status) {
		printf("%lld\n", json_get_number(guest, "domid"));
	}
	json_decref(guest);
	return status;
}

static int domname(struct cli *cli)
{
	json_t *guest;
	int status = 0;

	if (!cli_words(cli))
		return cli->status;
	if (cli->words[0][strspn(cli->words[0], "0123456789")] || !*cli->words[0]) {
		fprintf(stderr, "Invalid domain id.\n\n");
		return CLI_FAILURE;
	}
	guest = find(cli, &status);
	if (!status && !guest) {
		fprintf(stderr,
			"Can't get domain name of domain id '%s', maybe this domain does not "
			"exist.\n",
			cli->words[0]);
		status = CLI_FAILURE;
	} else if (!status) {
		printf("%s\n", format_name(guest));
	}
	json_decref(guest);
	return status;
}

/* xm's words. */
static int domstate(struct cli *cli)
{
	json_t *guest;
	const char *flags, *text;
	int status;

	if (!cli_words(cli))
		return cli->status;
	status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);
	if (status)
		return status;
	flags = json_get_text(guest, "flags");
	text = json_get_text(guest, "state");
	if (!strcmp(text, "off"))
		text = "shutoff";
	else if (!strcmp(text, "running") && strlen(flags) == 6 && flags[1] == 'b')
		text = "idle";
	printf("%s\n", text);
	json_decref(guest);
	return 0;
}

const struct cli_verb cli_list_verbs[] = {
	{"list", "[GUEST]...", "Show the guests", 0, CLI_WORDS_MAX, .options = list_options,
		.run = list},
	{"vm-list", "", "Show guests with their UUIDs", 0, 0, .run = vm_list},
	{"domid", "NAME", "Show the ID of a guest's name", 1, 1, .run = domid},
	{"domname", "ID", "Show the name of a guest's ID", 1, 1, .run = domname},
	{"domstate", "GUEST", "Show a guest's state in a word", 1, 1, .run = domstate},
	{"uptime", "[GUEST]...", "Show for how long guests have been up", 0, CLI_WORDS_MAX,
		.options = uptime_options, .run = uptime},
	{.name = NULL},
};
