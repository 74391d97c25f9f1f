/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/spelling.h"
#include "cli/cli.h"

const struct cli_verb *const cli_verbs[] = {cli_create_verbs, cli_list_verbs, cli_console_verbs,
	cli_shutdown_verbs, cli_life_verbs, cli_save_verbs, cli_managed_verbs, cli_resource_verbs,
	cli_device_verbs, cli_host_verbs, cli_info_verbs, cli_top_verbs, cli_run_verbs,
	cli_image_verbs, NULL};

static const struct cli_verb *find(const struct cli_verb *verbs, const char *name)
{
	for (const struct cli_verb *verb = verbs; verb->name; verb++) {
		const struct cli_verb *within = verb->verbs ? find(verb->verbs, name) : NULL;

		if (within)
			return within;
		if (!strcmp(verb->name, name))
			return verb;
	}
	return NULL;
}

const struct cli_verb *cli_verb_find(const char *name)
{
	const struct cli_verb *verb = NULL;

	for (const struct cli_verb *const *table = cli_verbs; !verb && *table; table++)
		verb = find(*table, name);
	return verb;
}

int cli_unknown_verb(const char *program, const char *name, const struct cli_verb *within)
{
	size_t skip = within ? strlen(within->name) + 1 : 0;
	struct spelling spelling;

	spelling_begin(&spelling, name, strlen(name));
	for (const struct cli_verb *own = within ? within->verbs : NULL; own && own->name; own++)
		spelling_offer(&spelling, own->name + skip);
	for (const struct cli_verb *const *table = cli_verbs; !within && *table; table++)
		for (const struct cli_verb *verb = *table; verb->name; verb++)
			spelling_offer(&spelling, verb->name);
	fprintf(stderr, "%s%s%s: unknown verb '%s'%s%s%s (see %s %s%s--help)\n", program,
		within ? " " : "", within ? within->name : "", name,
		spelling.found ? "; is it '" : "", spelling.found ? spelling.found : "",
		spelling.found ? "' that is meant?" : "", program, within ? within->name : "",
		within ? " " : "");
	return CLI_FAILURE;
}

/* A verb that has verbs of its own: the one that its first word names. */
static int run_own(struct cli *cli, int argc, char **argv)
{
	const struct cli_verb *verb = cli->verb, *own;
	size_t len = strlen(verb->name) + 1;

	for (own = verb->verbs; own->name && argc > 1; own++)
		if (!strcmp(argv[1], own->name + len))
			return cli_verb_run(cli, own, argc - 1, argv + 1);
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		cli_verb_usage(cli, verb);
		return 0;
	}
	if (argc > 1)
		return cli_unknown_verb(cli->program, argv[1], verb);
	return cli_say(cli, "a verb is needed (see %s %s --help)", cli->program, verb->name);
}

int cli_verb_run(struct cli *cli, const struct cli_verb *verb, int argc, char **argv)
{
	cli->verb = verb;
	if (verb->verbs)
		return run_own(cli, argc, argv);
	cli->scan = (struct option_scan){.argc = argc, .argv = argv, .next = 1};
	return verb->run ? verb->run(cli) : cli_send(cli);
}

const char *cli_verb_missing(const char *name)
{
	static const char *const names[] = {"migrate", "migrate-receive", "vcpu-set",
		"block-attach", "block-detach", "network-attach", "network-detach", "cd-insert",
		"cd-eject", "vncviewer", "config-update", "cpupool-list", "cpupool-create",
		"pci-attach", "pci-detach", "pci-list"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i]))
			return "is a verb of xl that is not there yet";
	return NULL;
}
