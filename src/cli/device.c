/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' devices: block-list, network-list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"

/* Like xl: the head comes even if no guest is named, and a wrong name ends it there. */
static int list(struct cli *cli, const char *key, void (*head)(FILE *),
	void (*rows)(FILE *, const json_t *))
{
	json_t *all = json_object(), *guest;
	int status = 0;

	if (!cli_words(cli)) {
		json_decref(all);
		return cli->status;
	}
	if (!cli->json)
		head(stdout);
	for (unsigned i = 0; !status && i < cli->words_count; i++) {
		fflush(stdout);
		status = call_guest(cli, "GET", cli->words[i], "", NULL, &guest);
		if (status)
			break;
		if (cli->json)
			json_object_set(all, format_name(guest), json_object_get(guest, key));
		else
			rows(stdout, guest);
		json_decref(guest);
	}
	if (!status && cli->json)
		call_print(all);
	json_decref(all);
	return status;
}

static int block_list(struct cli *cli)
{
	return list(cli, "disks", format_block_list_head, format_block_list_rows);
}

static int network_list(struct cli *cli)
{
	return list(cli, "networks", format_network_list_head, format_network_list_rows);
}

enum { FOLDER = 1 };

static const struct option_spec layer_options[] = {
	{"folder", FOLDER, "DIR", "where the new images are to be; else beside the disks"},
	{NULL, 0, NULL, NULL},
};

/* Which files they are now. */
static void tell_disks(const json_t *guest, const json_t *chosen)
{
	json_t *disk, *name;
	size_t i, k;

	json_array_foreach(json_object_get(guest, "disks"), i, disk)
	{
		bool told = !chosen && !strcmp(json_get_text(disk, "access"), "w");

		json_array_foreach(chosen, k, name) told |=
			!strcmp(json_string_value(name), json_get_text(disk, "vdev"));
		if (told)
			printf("%s %s\n", json_get_text(disk, "vdev"), json_get_text(disk, "path"));
	}
}

static int disk_layer(struct cli *cli)
{
	json_t *body = json_object(), *disks = NULL, *guest;
	char *folder;
	int id, status;

	while ((id = cli_option(cli)) > 0) {
		folder = cli_absolute(cli->value);
		json_object_set_new(body, "folder", json_string(folder));
		free(folder);
	}
	if (id == CLI_END) {
		json_decref(body);
		return cli->status;
	}
	for (unsigned i = 1; i < cli->words_count; i++) {
		if (!disks)
			json_object_set_new(body, "disks", disks = json_array());
		json_array_append_new(disks, json_string(cli->words[i]));
	}
	json_incref(disks);
	status = call_guest(cli, "POST", cli->words[0], "/disk-layer", body, &guest);
	if (!status && guest && cli->json)
		call_print(guest);
	else if (!status && guest)
		tell_disks(guest, disks);
	json_decref(disks);
	json_decref(guest);
	return status;
}

static const struct cli_verb disk_verbs[] = {
	{"disk layer", "GUEST [DISK...]", "put new images on a guest's disks while it runs", 1,
		CLI_WORDS_MAX, .options = layer_options, .run = disk_layer},
	{.name = NULL},
};

const struct cli_verb cli_device_verbs[] = {
	{"block-list", "GUEST...", "Show guests' disks", 0, CLI_WORDS_MAX, .run = block_list},
	{"disk", .words = "VERB", .help = "Change a guest's disks while it runs",
		.verbs = disk_verbs},
	{"network-list", "GUEST...", "Show guests' network interfaces", 0, CLI_WORDS_MAX,
		.run = network_list},
	{.name = NULL},
};
