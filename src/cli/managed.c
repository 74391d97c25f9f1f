/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that are kept while they are off: start, delete, autostart. (new is create's sister.) */
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/console.h"

enum { PAUSED = 1, CONSOLE, LAZY };

static const struct option_spec start_options[] = {
	{"p", PAUSED, NULL, "leave it paused"},
	{"paused", PAUSED, NULL, NULL},
	{"c", CONSOLE, NULL, "then sit down at its console"},
	{"console", CONSOLE, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec resume_options[] = {
	{"p", PAUSED, NULL, "leave it paused"},
	{"paused", PAUSED, NULL, NULL},
	{"c", CONSOLE, NULL, "then sit down at its console"},
	{"console", CONSOLE, NULL, NULL},
	{"lazy", LAZY, NULL, "let it run at once; its memory comes as it is touched"},
	{NULL, 0, NULL, NULL},
};

static int start_by(struct cli *cli, const char *suffix)
{
	bool paused = false, console = false, lazy = false;
	int id, status = 0;
	json_t *guest;

	while ((id = cli_option(cli)) > 0) {
		paused |= id == PAUSED;
		console |= id == CONSOLE;
		lazy |= id == LAZY;
	}
	if (id == CLI_END)
		return cli->status;
	if (console && cli->words_count > 1)
		return cli_say(cli, "-c is for one guest alone");
	for (unsigned i = 0; i < cli->words_count; i++)
		if (call_act_warn(cli, "POST", cli->words[i], suffix,
			    json_pack(lazy ? "{s:b, s:b}" : "{s:b}", "paused", paused || console,
				    "lazy", true),
			    NULL))
			status = CLI_FAILURE;
	if (status || !console || cli->dry)
		return status;
	status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);
	if (!status)
		status = console_attach(cli, guest, !paused, NULL);
	json_decref(guest);
	return status;
}

static int start(struct cli *cli)
{
	return start_by(cli, "/start");
}

static int resume(struct cli *cli)
{
	return start_by(cli, "/resume");
}

static int autostart(struct cli *cli)
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
		puts(json_get_true(guest, "autostart") ? "on" : "off");
		json_decref(guest);
		return 0;
	}
	on = !strcmp(cli->words[1], "on");
	if (!on && strcmp(cli->words[1], "off"))
		return cli_say(cli, "'%s' is neither on nor off", cli->words[1]);
	return call_act(cli, "PUT", cli->words[0], "/autostart",
		json_pack("{s:b}", "autostart", on));
}

const struct cli_verb cli_managed_verbs[] = {
	{"start", "GUEST...", "Start a kept guest that is off", 1, CLI_WORDS_MAX,
		.options = start_options, .run = start},
	{"resume", "GUEST...", "Let a guest go on that was suspended", 1, CLI_WORDS_MAX,
		.options = resume_options, .run = resume},
	{"delete", "GUEST...", "Forget a kept guest that is off", 1, CLI_WORDS_MAX,
		.method = "DELETE", .path = ""},
	{"autostart", "GUEST [on|off]", "Start a kept guest together with the daemon, or no longer",
		1, 2, .run = autostart},
	{.name = NULL},
};
