/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a guest in one request. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/wait.h"
#include "protocol/fields.h"
#include "protocol/request.h"

enum { ALL = 1, WAIT, FORCE, LIVE };

const struct option_spec cli_destroy_options[] = {
	{"all", ALL, NULL, "all guests"},
	{"a", ALL, NULL, NULL},
	{"wait", WAIT, NULL, "wait until it has ended; that is so anyhow"},
	{"w", WAIT, NULL, NULL},
	{"f", FORCE, NULL, NULL},
	{"F", FORCE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

const struct option_spec cli_dump_core_options[] = {
	{"live", LIVE, NULL, "do not hold the guest meanwhile"},
	{"L", LIVE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static int each(struct cli *cli, const char *suffix)
{
	int status = 0;

	if (!cli_words(cli))
		return cli->status;
	for (unsigned i = 0; i < cli->words_count; i++)
		if (call_act(cli, "POST", cli->words[i], suffix, NULL))
			status = CLI_FAILURE;
	return status;
}

int cli_pause(struct cli *cli)
{
	return each(cli, "/pause");
}

int cli_unpause(struct cli *cli)
{
	return each(cli, "/unpause");
}

int cli_destroy(struct cli *cli)
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
	json_array_foreach(targets, i, guest) if (call_act(cli, "POST", json_text(guest, "uuid"),
							  "/destroy", NULL)) status = CLI_FAILURE;
	json_decref(targets);
	return status;
}

int cli_rename(struct cli *cli)
{
	if (!cli_words(cli))
		return cli->status;
	return call_act(cli, "POST", cli->words[0], "/rename",
		json_pack("{s:s}", "name", cli->words[1]));
}

int cli_trigger(struct cli *cli)
{
	struct error err = {""};
	uint64_t vcpu = 0;
	json_t *body;

	if (!cli_words(cli))
		return cli->status;
	if (field_find_name(request_triggers, cli->words[1]) < 0) {
		fprintf(stderr, "Invalid trigger \"%s\"\n", cli->words[1]);
		return CLI_FAILURE;
	}
	body = json_pack("{s:s}", "trigger", cli->words[1]);
	if (cli->words_count > 2) {
		if (option_number("VCPU", cli->words[2], 0, INT_MAX, &vcpu, &err)) {
			json_decref(body);
			return cli_fail(cli, &err);
		}
		json_object_set_new(body, "vcpu", json_integer(vcpu));
	}
	return call_act(cli, "POST", cli->words[0], "/trigger", body);
}

int cli_sysrq(struct cli *cli)
{
	if (!cli_words(cli))
		return cli->status;
	if (strlen(cli->words[1]) != 1) {
		fprintf(stderr, "Invalid sysrq.\n\n");
		cli_verb_usage(cli, cli->verb);
		return CLI_FAILURE;
	}
	return call_act(cli, "POST", cli->words[0], "/sysrq",
		json_pack("{s:s}", "key", cli->words[1]));
}

int cli_dump_core(struct cli *cli)
{
	bool live = false;
	char *path, *here = NULL;
	json_t *body = NULL;
	int id;

	while ((id = cli_option(cli)) > 0)
		live = true;
	if (id == CLI_END)
		return cli->status;
	if (cli->words[1][0] != '/')
		here = getcwd(NULL, 0);
	if (asprintf(&path, "%s%s%s", here ? here : "", here ? "/" : "", cli->words[1]) >= 0) {
		body = json_pack("{s:s, s:b}", "path", path, "live", live);
		free(path);
	}
	free(here);
	if (!body)
		return cli_say(cli, "'%s' is no name for a file", cli->words[1]);
	return call_act(cli, "POST", cli->words[0], "/dump-core", body);
}
