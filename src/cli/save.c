/* SPDX-License-Identifier: Apache-2.0 */
/* Saving guests and letting them go on; what takes long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/create.h"
#include "cli/watch.h"

enum { RUN = 1, PAUSED, CONSOLE, LAZY, IGNORED };

static const struct option_spec save_options[] = {
	{"c", RUN, NULL, "leave the guest running afterwards"},
	{"checkpoint", RUN, NULL, NULL},
	{"p", PAUSED, NULL, "leave the guest paused afterwards"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec restore_options[] = {
	{"p", PAUSED, NULL, "leave it paused"},
	{"paused", PAUSED, NULL, NULL},
	{"c", CONSOLE, NULL, "then sit down at its console"},
	{"lazy", LAZY, NULL, "let it run at once; its memory comes as it is touched"},
	{"e", IGNORED, NULL, NULL},
	{"d", IGNORED, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static int save(struct cli *cli)
{
	const char *then = "end";
	char *path;
	json_t *body;
	int id;

	while ((id = cli_option(cli)) > 0)
		then = id == RUN ? "run" : "pause";
	if (id == CLI_END)
		return cli->status;
	path = cli_absolute(cli->words[1]);
	body = path ? json_pack("{s:s, s:s}", "path", path, "then", then) : NULL;
	free(path);
	if (!body)
		return cli_say(cli, "'%s' is not a file name", cli->words[1]);
	return watch_act(cli, "Saving", cli->words[0], "/save", body);
}

static int suspend(struct cli *cli)
{
	int status = 0;

	if (!cli_words(cli))
		return cli->status;
	for (unsigned i = 0; i < cli->words_count; i++)
		if (watch_act(cli, "Suspending", cli->words[i], "/suspend", NULL))
			status = CLI_FAILURE;
	return status;
}

static int live_update(struct cli *cli)
{
	int status = 0;

	if (!cli_words(cli))
		return cli->status;
	for (unsigned i = 0; i < cli->words_count; i++)
		if (watch_act(cli, "Updating", cli->words[i], "/live-update", NULL))
			status = CLI_FAILURE;
	return status;
}

static const char live_update_more[] =
	"The process in which the guest runs gives it to a new one, of the dach that is installed now: after an\n"
	"upgrade nobody has to start guests anew. It stands still for some milliseconds; its memory, disks, taps\n"
	"and connections stay. Connections through a network in user mode do not.\n";

/* xl's order of words: a configuration file, if there is one, and then the saved guest. */
static json_t *restore_body(struct cli *cli, bool paused, bool lazy)
{
	const char *word = cli->words[cli->words_count - 1];
	json_t *config = NULL, *body;
	char *path;

	if (cli->words_count > 1) {
		config = create_load(cli, cli->words[0]);
		if (!config)
			return NULL;
	}
	path = cli_absolute(word);
	body = path ? json_pack("{s:s, s:b, s:b, s:o*}", "path", path, "paused", paused, "lazy",
			      lazy, "config", config)
		    : NULL;
	free(path);
	if (!body)
		cli_say(cli, "'%s' is not a file name", word);
	return body;
}

static int restore(struct cli *cli)
{
	bool paused = false, console = false, lazy = false;
	json_t *body, *guest = NULL;
	int id, status;

	while ((id = cli_option(cli)) > 0) {
		paused |= id == PAUSED;
		console |= id == CONSOLE;
		lazy |= id == LAZY;
	}
	if (id == CLI_END)
		return cli->status;
	body = restore_body(cli, paused || console, lazy);
	if (!body)
		return CLI_FAILURE;
	status = call_api(cli, "POST", "/v1/restore", body, &guest);
	if (!status && cli->json && guest)
		call_print(guest);
	if (!status && console && guest)
		status = console_attach(cli, guest, !paused, NULL);
	json_decref(guest);
	return status;
}

static int jobs(struct cli *cli)
{
	json_t *answer, *job;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = call_guest(cli, "GET", cli->words[0], "/jobs", NULL, &answer);
	if (status)
		return status;
	if (cli->json)
		call_print(answer);
	else
		printf("%4s  %-12s %-11s %10s %10s\n", "ID", "Job", "State", "Done(MiB)",
			"Of(MiB)");
	json_array_foreach(json_object_get(answer, "jobs"), i, job) if (!cli->json)
		printf("%4lld  %-12s %-11s %10lld %10lld\n", json_get_number(job, "id"),
			json_get_text(job, "job"), json_get_text(job, "state"),
			json_get_number(job, "done") >> 20, json_get_number(job, "total") >> 20);
	json_decref(answer);
	return 0;
}

const struct cli_verb cli_save_verbs[] = {
	{"save", "GUEST FILE", "Save a guest to a file, from which it can go on", 2, 2,
		.options = save_options, .run = save},
	{"restore", "[CONFIG] FILE", "Let a guest go on that was saved to a file", 1, 2,
		.options = restore_options, .run = restore},
	{"suspend", "GUEST...", "Save a kept guest; the next start goes on from there", 1,
		CLI_WORDS_MAX, .run = suspend},
	{"live-update", "GUEST...", "Let a running guest go on in a new monitor, after an upgrade",
		1, CLI_WORDS_MAX, .run = live_update, .more = live_update_more},
	{"jobs", "GUEST", "What is done to a guest that takes long", 1, 1, .run = jobs},
	{"cancel", "GUEST JOB", "End what takes long before it is done", 2, 2, .asks = "cancel",
		.wrong = "Invalid job \"%s\"\n"},
	{.name = NULL},
};
