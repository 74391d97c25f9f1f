/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a guest in one request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/wait.h"

enum { ALL = 1, WAIT, FORCE, LIVE };

static const struct option_spec destroy_options[] = {
	{"all", ALL, NULL, "all guests"},
	{"a", ALL, NULL, NULL},
	{"wait", WAIT, NULL, "wait until it has ended; that is so anyhow"},
	{"w", WAIT, NULL, NULL},
	{"f", FORCE, NULL, NULL},
	{"F", FORCE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec dump_core_options[] = {
	{"live", LIVE, NULL, "do not hold the guest meanwhile"},
	{"L", LIVE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static int destroy(struct cli *cli)
{
	bool all = false;
	json_t *targets, *guest;
	int id, status;
	size_t i;

	while ((id = cli_option(cli)) > 0)
		all |= id == ALL;
	if (id == CLI_END)
		return cli->status;
	status = wait_targets(cli, all, &targets);
	if (status)
		return status;
	if (all)
		status = call_post_all(cli, targets, "/destroy", NULL);
	json_array_foreach(targets, i, guest) if (!all &&
		call_act(cli, "POST", json_get_text(guest, "uuid"), "/destroy", NULL)) status =
		CLI_FAILURE;
	json_decref(targets);
	return status;
}

static int dump_core(struct cli *cli)
{
	bool live = false;
	char *path;
	json_t *body = NULL;
	int id;

	while ((id = cli_option(cli)) > 0)
		live = true;
	if (id == CLI_END)
		return cli->status;
	path = cli_absolute(cli->words[1]);
	if (path)
		body = json_pack("{s:s, s:b}", "path", path, "live", live);
	free(path);
	if (!body)
		return cli_say(cli, "'%s' is not a file name", cli->words[1]);
	return call_act(cli, "POST", cli->words[0], "/dump-core", body);
}

static const struct cli_argument rename_arguments[] = {{.key = "name"}, {.key = NULL}};

const struct cli_verb cli_life_verbs[] = {
	{"destroy", "-a | GUEST...", "End a guest at once", 0, CLI_WORDS_MAX,
		.options = destroy_options, .run = destroy},
	{"pause", "GUEST...", "Hold a guest's processors", 1, CLI_WORDS_MAX, .asks = "pause"},
	{"unpause", "GUEST...", "Let a paused guest go on", 1, CLI_WORDS_MAX, .asks = "unpause"},
	{"rename", "GUEST NAME", "Give a guest another name", 2, 2, .method = "POST",
		.path = "/rename", .arguments = rename_arguments},
	{"trigger", "GUEST nmi|reset|power [VCPU]", "Press a button of a guest's machine", 2, 3,
		.asks = "trigger", .wrong = "Invalid trigger \"%s\"\n"},
	{"sysrq", "GUEST LETTER", "Press a magic SysRq key in a guest", 2, 2, .asks = "sysrq",
		.wrong = "Invalid sysrq \"%s\"\n"},
	{"dump-core", "GUEST FILE", "Write a guest's memory as a core file", 2, 2,
		.options = dump_core_options, .run = dump_core},
	{.name = NULL},
};
