/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration file to a guest: create, and new for one that is kept. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/create.h"
#include "cli/format.h"
#include "cli/wait.h"
#include "client/client.h"
#include "config/config.h"

enum { PAUSED = 1, CONSOLE, FILE_NAME, QUIET, DRY, FOREGROUND, IGNORED, VIEWER };

static const struct option_spec create_options[] = {
	{"p", PAUSED, NULL, "leave it paused"},
	{"paused", PAUSED, NULL, NULL},
	{"c", CONSOLE, NULL, "then sit down at its console"},
	{"console", CONSOLE, NULL, NULL},
	{"defconfig", FILE_NAME, "FILE", "the configuration file"},
	{"f", FILE_NAME, "FILE", NULL},
	{"quiet", QUIET, NULL, "say less"},
	{"q", QUIET, NULL, NULL},
	{"dryrun", DRY, NULL, "show what would be used, and start nothing"},
	{"n", DRY, NULL, NULL},
	{"F", FOREGROUND, NULL, "wait until the guest is gone"},
	{"e", IGNORED, NULL, "do not wait for its end in the background; that is so anyhow"},
	{"d", IGNORED, NULL, NULL},
	{"V", VIEWER, NULL, NULL},
	{"vncviewer", VIEWER, NULL, NULL},
	{"A", VIEWER, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec new_options[] = {
	{"defconfig", FILE_NAME, "FILE", "the configuration file"},
	{"f", FILE_NAME, "FILE", NULL},
	{"quiet", QUIET, NULL, "say less"},
	{"q", QUIET, NULL, NULL},
	{"dryrun", DRY, NULL, "show what would be used, and keep nothing"},
	{"n", DRY, NULL, NULL},
	{NULL, 0, NULL, NULL},
};

struct order {
	const char *file;
	const char *overrides[CLI_WORDS_MAX];
	unsigned overrides_count;
	bool paused, console, quiet, foreground, managed;
};

static bool is_override(const char *word)
{
	return word[0] != '/' && word[0] != '.' && strchr(word, '=');
}

static int sort_words(struct cli *cli, struct order *order)
{
	for (unsigned i = 0; i < cli->words_count; i++) {
		const char *word = cli->words[i];

		if (is_override(word))
			order->overrides[order->overrides_count++] = word;
		else if (order->file)
			return cli_say(cli, "one configuration file, not '%s' too", word);
		else
			order->file = word;
	}
	if (!order->file && !order->overrides_count)
		return cli_say(cli, "a configuration file is needed (see %s %s --help)",
			cli->program, cli->verb->name);
	return 0;
}

static int read_options(struct cli *cli, struct order *order)
{
	int id;

	while ((id = cli_option(cli)) > 0) {
		order->paused |= id == PAUSED;
		order->console |= id == CONSOLE;
		order->quiet |= id == QUIET;
		order->foreground |= id == FOREGROUND;
		cli->dry |= id == DRY;
		if (id == FILE_NAME)
			order->file = cli->value;
		if (id == VIEWER)
			return cli_say(cli,
				"guests have no screen yet, so that nothing can view it");
	}
	return id == CLI_END ? -1 : sort_words(cli, order);
}

/* xm looked for names without a folder among Xen's. */
static char *find_file(const struct cli *cli, const char *file)
{
	char *path;

	if (!strcmp(cli->program, "xm") && !strchr(file, '/') && access(file, F_OK) &&
		asprintf(&path, "/etc/xen/%s", file) >= 0)
		return path;
	return strdup(file);
}

static void warn(void *ctx, const char *sentence)
{
	const struct order *order = ctx;

	if (!order->quiet)
		fprintf(stderr, "WARNING: %s\n", sentence);
}

/* The configuration as the API takes it; NULL: it has been said why not. */
static json_t *load(struct cli *cli, struct order *order)
{
	const struct config_reader reader = {.warn = warn, .ctx = order};
	struct domain_config config;
	struct error err = {""};
	char *path = order->file ? find_file(cli, order->file) : NULL;
	json_t *json = NULL;
	int r;

	if (path && !order->quiet)
		fprintf(stderr, "Parsing config from %s\n", path);
	r = config_load(path, order->overrides, order->overrides_count, &reader, &config, &err);
	if (!r) {
		r = domain_config_to_json(&config, &json, &err);
		domain_config_free(&config);
	}
	if (r)
		cli_fail(cli, &err);
	free(path);
	return r ? NULL : json;
}

json_t *create_load(struct cli *cli, const char *file)
{
	struct order order = {.file = file};

	return load(cli, &order);
}

/* Of the rest the reader of the file has told, with its place. */
static const char *const shares[] = {"cap", "cpu_weight", "io_weight", NULL};

/* What is done about a guest that is there: in the order in which a user would want it. */
static int follow(struct cli *cli, const struct order *order, const json_t *guest,
	struct client_events *events)
{
	json_t *targets;
	int status = 0;

	if (!order->quiet)
		call_warn(guest, shares);
	if (cli->json)
		call_print(guest);
	if (order->console)
		status = console_attach(cli, guest, !order->paused, NULL);
	if (!status && events) {
		targets = json_pack("[O]", guest);
		status = wait_ends(cli, events, targets, WAIT_UNASKED);
		json_decref(targets);
	}
	return status;
}

static int send_order(struct cli *cli, const struct order *order, json_t *config)
{
	struct client_events *events = NULL;
	struct error err = {""};
	json_t *guest = NULL, *body;
	int status;

	body = json_pack("{s:o, s:b, s:b}", "config", config, "paused",
		order->paused || order->console, "managed", order->managed);
	if (order->managed)
		json_object_del(body, "paused");
	status = call_connect(cli);
	if (!status && order->foreground && client_events_open(cli->client, &events, &err))
		status = cli_fail(cli, &err);
	if (status)
		json_decref(body);
	else
		status = call_api(cli, "POST", "/v1/guests", body, &guest);
	if (!status)
		status = follow(cli, order, guest, events);
	client_events_close(events);
	json_decref(guest);
	return status;
}

/* What would keep it from starting; the daemon says the same of one that is created. */
static int look(struct cli *cli, const char *path, int mode)
{
	if (!*path || !access(path, mode))
		return 0;
	return cli_say(cli, "%s: %s", path, strerror(errno));
}

static int look_at_files(struct cli *cli, const json_t *config)
{
	int status = look(cli, json_get_text(config, "kernel"), R_OK);
	json_t *disk;
	size_t i;

	if (!status)
		status = look(cli, json_get_text(config, "ramdisk"), R_OK);
	json_array_foreach(json_object_get(config, "disks"), i, disk) if (!status &&
		!*json_get_text(disk, "script")) status = look(cli, json_get_text(disk, "target"),
		json_get_true(disk, "writable") ? R_OK | W_OK : R_OK);
	return status;
}

/* As xl shows it; --json: as the daemon is asked for it. */
static void show(const struct cli *cli, const json_t *config)
{
	json_t *shown;

	if (cli->json) {
		call_print(config);
		return;
	}
	shown = format_xl_config(config, NULL);
	call_print_xl(shown);
	json_decref(shown);
}

static int make(struct cli *cli, struct order *order)
{
	json_t *config;
	int status = read_options(cli, order);

	if (status)
		return status < 0 ? cli->status : status;
	config = load(cli, order);
	if (!config)
		return CLI_FAILURE;
	if (!cli->dry)
		return send_order(cli, order, config);
	status = look_at_files(cli, config);
	if (!status)
		show(cli, config);
	json_decref(config);
	return status;
}

static int create(struct cli *cli)
{
	struct order order = {.managed = false};

	return make(cli, &order);
}

static int new (struct cli *cli)
{
	struct order order = {.managed = true};

	return make(cli, &order);
}

const struct cli_verb cli_create_verbs[] = {
	{"create", "[FILE] [KEY=VALUE]...", "Start a guest that a configuration file describes", 0,
		CLI_WORDS_MAX, .options = create_options, .run = create},
	{"new", "[FILE] [KEY=VALUE]...",
		"Keep a guest from a configuration file, to start it later", 0, CLI_WORDS_MAX,
		.options = new_options, .run = new},
	{.name = NULL},
};
