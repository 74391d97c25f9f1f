/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a running guest. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/call.h"
#include "cli/cli.h"

enum { COUNT = 1, NAME, FOLDER, PAUSED, FROM };

static const struct option_spec options[] = {
	{"count", COUNT, "N", "make so many (1)"},
	{"n", COUNT, "N", NULL},
	{"name", NAME, "PATTERN", "what they are called; % becomes each one's number (GUEST-%)"},
	{"folder", FOLDER, "DIR",
		"where the new files of disks are to be (beside what they stand on)"},
	{"from", FROM, "SNAPSHOT", "of what the guest was then, whatever it is now"},
	{"p", PAUSED, NULL, "leave them paused"},
	{"paused", PAUSED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static bool add_folder(json_t *body, const char *word)
{
	char *path = cli_absolute(word);
	bool added = path && !json_object_set_new(body, "folder", json_string(path));

	free(path);
	return added;
}

static int clone_guest(struct cli *cli)
{
	json_t *body = json_object(), *answer = NULL, *guest;
	uint64_t count = 1;
	struct error err;
	int id, status;
	size_t i;

	while ((id = cli_option(cli)) > 0) {
		if (id == PAUSED)
			json_object_set_new(body, "paused", json_true());
		if (id == FROM)
			json_object_set_new(body, "from", json_string(cli->value));
		if (id == NAME)
			json_object_set_new(body, "name", json_string(cli->value));
		if (id == FOLDER && !add_folder(body, cli->value)) {
			json_decref(body);
			return cli_say(cli, "'%s' is not a folder's name", cli->value);
		}
		if (id == COUNT && option_number("--count", cli->value, 1, 1000, &count, &err)) {
			json_decref(body);
			return cli_fail(cli, &err);
		}
	}
	if (id == CLI_END) {
		json_decref(body);
		return cli->status;
	}
	json_object_set_new(body, "count", json_integer((json_int_t)count));
	status = call_guest(cli, "POST", cli->words[0], "/clone", body, &answer);
	if (status || !answer)
		return status;
	if (cli->json)
		call_print(answer);
	json_array_foreach(json_object_get(answer, "clones"), i, guest) if (!cli->json)
		puts(json_get_text(guest, "name"));
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_clone_verbs[] = {
	{"clone", "GUEST", "Make copies of a running guest, which go on from where it is", 1, 1,
		.options = options, .run = clone_guest},
	{.name = NULL},
};
