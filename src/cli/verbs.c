/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/spelling.h"
#include "cli/cli.h"

const struct cli_verb *const cli_verbs[] = {cli_create_verbs, cli_list_verbs, cli_console_verbs,
	cli_exec_verbs, cli_cp_verbs, cli_shutdown_verbs, cli_life_verbs, cli_save_verbs,
	cli_beancounter_verbs, cli_clone_verbs, cli_convert_verbs, cli_managed_verbs,
	cli_resource_verbs, cli_device_verbs, cli_network_verbs, cli_host_verbs, cli_info_verbs,
	cli_doctor_verbs, cli_top_verbs, cli_run_verbs, cli_image_verbs, cli_plug_verbs,
	cli_snapshot_verbs, cli_migrate_verbs, cli_peer_verbs, cli_evacuate_verbs, cli_screen_verbs,
	NULL};

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
	fprintf(stderr, "%s%s%s: unknown verb '%s'%s (see %s %s%s--help)\n", program,
		within ? " " : "", within ? within->name : "", name,
		spelling_question(&spelling, ""), program, within ? within->name : "",
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

/* A word that ends with '*' stands for all that begin so. */
static bool is_of(const char *name, const char *const *words)
{
	for (; *words; words++) {
		size_t size = strcspn(*words, "*");

		if (!strncmp(name, *words, size) && ((*words)[size] || !name[size]))
			return true;
	}
	return false;
}

const char *cli_verb_missing(const char *name)
{
	static const char *const later[] = {"vcpu-set", "config-update", "cpupool-*", "pci-*",
		"usb-list", "usbctrl-*", "usbdev-*", "vtpm-*", "vkb-*", "vdispl-*", "vsnd-*",
		"channel-list", "remus", "psr-*", NULL};
	static const char *const xens[] = {"debug-keys", "set-parameters", "getenforce",
		"setenforce", "loadpolicy", "sched-rtds", "sched-sedf", "sched-arinc653",
		"sched-null", NULL};

	if (is_of(name, later))
		return "is a verb of xl that is not there yet";
	if (is_of(name, xens))
		return "is about Xen's hypervisor, and there is none here";
	if (!strcmp(name, "claims"))
		return "has nothing to tell: no memory is claimed for guests beforehand";
	if (!strcmp(name, "button-press"))
		return "is called trigger here, as in newer versions of xl";
	if (!strcmp(name, "qemu-monitor-command"))
		return "is about QEMU, which serves no guest here";
	return NULL;
}
