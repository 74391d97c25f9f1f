/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' devices: block-list, network-list. */
#include <stdio.h>

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
			json_object_set(all, json_get_text(guest, "name"),
				json_object_get(guest, key));
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

const struct cli_verb cli_device_verbs[] = {
	{"block-list", "GUEST...", "Show guests' disks", 0, CLI_WORDS_MAX, .run = block_list},
	{"network-list", "GUEST...", "Show guests' network interfaces", 0, CLI_WORDS_MAX,
		.run = network_list},
	{.name = NULL},
};
