/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of guests, told as virsh tells of them. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/call.h"
#include "cli/cli.h"

#define SUFFIX_MAX 128

enum { DISK_ONLY = 1, COMMENT, CHILDREN, PAUSED, START, TREE };

/* What goes into a path is a name that a snapshot can have. */
static int suffix_of(struct cli *cli, const char *name, const char *verb, char suffix[SUFFIX_MAX])
{
	for (const char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
			return cli_say(cli, "'%s' is no snapshot's name", name);
	if (!*name || snprintf(suffix, SUFFIX_MAX, "/snapshots/%s%s", name, verb) >= SUFFIX_MAX)
		return cli_say(cli, "'%s' is no snapshot's name", name);
	return 0;
}

/* create */

static const struct option_spec create_options[] = {
	{"disk-only", DISK_ONLY, NULL,
		"only of its disks: going back is then as after a power failure"},
	{"comment", COMMENT, "TEXT", "what is to be remembered with it"},
	{NULL, 0, NULL, NULL},
};

static int create(struct cli *cli)
{
	json_t *body = json_object(), *answer = NULL;
	int id, status;

	while ((id = cli_option(cli)) > 0)
		if (id == DISK_ONLY)
			json_object_set_new(body, "disk_only", json_true());
		else
			json_object_set_new(body, "comment", json_string(cli->value));
	if (id == CLI_END) {
		json_decref(body);
		return cli->status;
	}
	json_object_set_new(body, "name", json_string(cli->words[1]));
	status = call_guest(cli, "POST", cli->words[0], "/snapshots", body, &answer);
	if (status || !answer)
		return status;
	if (cli->json)
		call_print(answer);
	else if (json_get_number(answer, "pause"))
		printf("snapshot %s is made; the guest stood still for %.1f ms\n",
			json_get_text(answer, "name"),
			(double)json_get_number(answer, "pause") / 1e6);
	else
		printf("snapshot %s is made\n", json_get_text(answer, "name"));
	json_decref(answer);
	return 0;
}

/* list */

static const struct option_spec list_options[] = {
	{"tree", TREE, NULL, "show which was made on which"},
	{NULL, 0, NULL, NULL},
};

static void when_made(const json_t *snapshot, char text[40])
{
	time_t seconds = (time_t)json_get_number(snapshot, "created");
	struct tm local;

	localtime_r(&seconds, &local);
	strftime(text, 40, "%Y-%m-%d %H:%M:%S %z", &local);
}

static const char *state_of(const json_t *snapshot)
{
	const char *state = json_get_text(snapshot, "state");

	if (!strcmp(state, "off"))
		return "shutoff";
	return json_get_true(snapshot, "memory") ? state : "disk-snapshot";
}

static void print_table(const json_t *list)
{
	const json_t *snapshot;
	int width = 4, parent = 6;
	char made[40];
	size_t i;

	json_array_foreach(list, i, snapshot)
	{
		int len = (int)strlen(json_get_text(snapshot, "name"));

		width = len > width ? len : width;
		len = (int)strlen(json_get_text(snapshot, "parent"));
		parent = len > parent ? len : parent;
	}
	printf("  %-*s   %-25s   %-13s   %s\n", width, "Name", "Creation Time", "State", "Parent");
	for (int n = width + parent + 51; n--;)
		putchar('-');
	putchar('\n');
	json_array_foreach(list, i, snapshot)
	{
		when_made(snapshot, made);
		printf("%c %-*s   %-25s   %-13s   %s\n",
			json_get_true(snapshot, "current") ? '*' : ' ', width,
			json_get_text(snapshot, "name"), made, state_of(snapshot),
			json_get_text(snapshot, "parent"));
	}
}

/* Deep trees have deep recursion: a guest has 256 snapshots at most. */
static void print_tree(const json_t *list, const char *parent, unsigned depth)
{
	const json_t *snapshot;
	size_t i;

	json_array_foreach(list, i, snapshot)
	{
		if (strcmp(json_get_text(snapshot, "parent"), parent) || depth > 256)
			continue;
		printf("%*s%s%s%s\n", (int)(depth ? depth * 4 - 4 : 0), "", depth ? "+-- " : "",
			json_get_text(snapshot, "name"),
			json_get_true(snapshot, "current") ? " *" : "");
		print_tree(list, json_get_text(snapshot, "name"), depth + 1);
	}
}

static int list(struct cli *cli)
{
	json_t *answer;
	bool tree = false;
	int id, status;

	while ((id = cli_option(cli)) > 0)
		tree = true;
	if (id == CLI_END)
		return cli->status;
	status = call_guest(cli, "GET", cli->words[0], "/snapshots", NULL, &answer);
	if (status)
		return status;
	if (cli->json)
		call_print(answer);
	else if (tree)
		print_tree(json_object_get(answer, "snapshots"), "", 0);
	else
		print_table(json_object_get(answer, "snapshots"));
	json_decref(answer);
	return 0;
}

/* show */

static int show(struct cli *cli)
{
	json_t *answer, *disk;
	char suffix[SUFFIX_MAX], made[40];
	const char *parent;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = suffix_of(cli, cli->words[1], "", suffix);
	if (!status)
		status = call_guest(cli, "GET", cli->words[0], suffix, NULL, &answer);
	if (status)
		return status;
	if (cli->json) {
		call_print(answer);
		json_decref(answer);
		return 0;
	}
	when_made(answer, made);
	parent = json_get_text(answer, "parent");
	printf("%-15s%s\n%-15s%s\n%-15s%s\n%-15s%s\n%-15s%s\n%-15s%s\n%-15s%lld\n",
		"Name:", json_get_text(answer, "name"), "Domain:", cli->words[0],
		"Current:", json_get_true(answer, "current") ? "yes" : "no", "Creation Time:", made,
		"State:", state_of(answer), "Parent:", *parent ? parent : "-",
		"Children:", json_get_number(answer, "children"));
	json_array_foreach(json_object_get(answer, "disks"), i, disk) printf("%-15s%s %s\n",
		"Disk:", json_get_text(disk, "vdev"), json_get_text(disk, "path"));
	if (*json_get_text(answer, "comment"))
		printf("%-15s%s\n", "Description:", json_get_text(answer, "comment"));
	json_decref(answer);
	return 0;
}

/* revert */

static const struct option_spec revert_options[] = {
	{"p", PAUSED, NULL, "leave it paused"},
	{"paused", PAUSED, NULL, NULL},
	{"start", START, NULL, "start it afterwards, where the snapshot has no memory"},
	{NULL, 0, NULL, NULL},
};

static int revert(struct cli *cli)
{
	json_t *body = json_object();
	char suffix[SUFFIX_MAX];
	int id, status;

	while ((id = cli_option(cli)) > 0)
		json_object_set_new(body, id == PAUSED ? "paused" : "start", json_true());
	status = id == CLI_END ? cli->status : suffix_of(cli, cli->words[1], "/revert", suffix);
	if (id == CLI_END || status) {
		json_decref(body);
		return status;
	}
	return call_act(cli, "POST", cli->words[0], suffix, body);
}

/* delete */

static const struct option_spec delete_options[] = {
	{"children", CHILDREN, NULL, "and all that were made on it"},
	{NULL, 0, NULL, NULL},
};

static int delete (struct cli *cli)
{
	char suffix[SUFFIX_MAX];
	bool with_children = false;
	int id, status = 0;

	while ((id = cli_option(cli)) > 0)
		with_children = true;
	if (id == CLI_END)
		return cli->status;
	for (unsigned i = 1; i < cli->words_count; i++)
		if (suffix_of(cli, cli->words[i], "", suffix) ||
			call_act(cli, "DELETE", cli->words[0], suffix,
				with_children ? json_pack("{s:b}", "children", true) : NULL))
			status = CLI_FAILURE;
	return status;
}

static const struct cli_verb own[] = {
	{"snapshot create", "GUEST SNAPSHOT", "keep what a guest is now, while it runs", 2, 2,
		.options = create_options, .run = create},
	{"snapshot list", "GUEST", "show a guest's snapshots", 1, 1, .options = list_options,
		.run = list},
	{"snapshot show", "GUEST SNAPSHOT", "show what is known of one", 2, 2, .run = show},
	{"snapshot revert", "GUEST SNAPSHOT", "let a guest be what it was then", 2, 2,
		.options = revert_options, .run = revert},
	{"snapshot delete", "GUEST SNAPSHOT...", "forget snapshots", 2, CLI_WORDS_MAX,
		.options = delete_options, .run = delete},
	{.name = NULL},
};

const struct cli_verb cli_snapshot_verbs[] = {
	{"snapshot", .words = "VERB", .help = "Keep what a guest is, and go back to it",
		.verbs = own},
	{.name = NULL},
};
