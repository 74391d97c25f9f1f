/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are kept while they are off: start, delete, autostart. (new is create's sister.) */
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/console.h"

enum { PAUSED = 1, CONSOLE };

const struct option_spec cli_start_options[] = {
	{"p", PAUSED, NULL, "leave it paused"},
	{"paused", PAUSED, NULL, NULL},
	{"c", CONSOLE, NULL, "then sit down at its console"},
	{"console", CONSOLE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

int cli_start(struct cli *cli)
{
	bool paused = false, console = false;
	int id, status = 0;

	while ((id = cli_option(cli)) > 0) {
		paused |= id == PAUSED;
		console |= id == CONSOLE;
	}
	if (id == CLI_END)
		return cli->status;
	if (console && cli->words_count > 1)
		return cli_say(cli, "-c is for one guest alone");
	for (unsigned i = 0; i < cli->words_count; i++)
		if (call_act(cli, "POST", cli->words[i], "/start",
			    json_pack("{s:b}", "paused", paused || console)))
			status = CLI_FAILURE;
	if (!status && console && !cli->dry)
		status = console_attach(cli, cli->words[0], !paused);
	return status;
}

int cli_delete(struct cli *cli)
{
	int status = 0;

	if (!cli_words(cli))
		return cli->status;
	for (unsigned i = 0; i < cli->words_count; i++)
		if (call_act(cli, "DELETE", cli->words[i], "", NULL))
			status = CLI_FAILURE;
	return status;
}

int cli_autostart(struct cli *cli)
{
	json_t *guest;
	bool on;
	int status;

	if (!cli_words(cli))
		return cli->status;
	if (cli->words_count < 2) {
		status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);
		if (status)
			return status;
		puts(json_true_at(guest, "autostart") ? "on" : "off");
		json_decref(guest);
		return 0;
	}
	on = !strcmp(cli->words[1], "on");
	if (!on && strcmp(cli->words[1], "off"))
		return cli_say(cli, "'%s' is neither on nor off", cli->words[1]);
	return call_act(cli, "PUT", cli->words[0], "/autostart",
		json_pack("{s:b}", "autostart", on));
}
