/* SPDX-License-Identifier: Apache-2.0 */
/* What comes to a guest and goes, with xl's words: block-attach, cd-insert, network-attach and their counterparts. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "config/config.h"

enum { FORCE = 1, REMOVE };

static const struct option_spec force_options[] = {
	{"force", FORCE, NULL, "also if the guest does not let go of it"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec remove_options[] = {
	{"remove", REMOVE, NULL, "no longer"},
	{NULL, 0, NULL, NULL},
};

static void warn(void *ctx, const char *sentence)
{
	fprintf(stderr, "WARNING: %s\n", sentence);
}

/* NULL: it has been said why not. */
static json_t *read_disk(struct cli *cli, const char *const *words, unsigned count)
{
	const struct config_reader reader = {.warn = warn};
	struct error err = {""};
	json_t *disk;

	if (!config_disk(words, count, &reader, &disk, &err))
		return disk;
	cli_fail(cli, &err);
	return NULL;
}

static int block_attach(struct cli *cli)
{
	json_t *disk;

	if (!cli_words(cli))
		return cli->status;
	disk = read_disk(cli, cli->words + 1, cli->words_count - 1);
	if (!disk)
		return CLI_FAILURE;
	return call_act(cli, "POST", cli->words[0], "/disk-attach",
		json_pack("{s:o}", "disk", disk));
}

/* With --force, if it was there. NULL: as cli_option() has it. */
static json_t *take_options(struct cli *cli)
{
	json_t *body = json_object();
	int id;

	while ((id = cli_option(cli)) > 0)
		json_object_set_new(body, "force", json_true());
	if (id == CLI_WORDS)
		return body;
	json_decref(body);
	return NULL;
}

static bool is_number(const char *word)
{
	return *word && !word[strspn(word, "0123456789")];
}

/* The disk's name of the number that block-list shows. NULL: it has been said why not. */
static json_t *name_of(struct cli *cli, const char *ref, const char *number, int *status)
{
	const long long wanted = strtoll(number, NULL, 10);
	json_t *guest, *disk, *name = NULL;
	size_t i;

	*status = call_guest(cli, "GET", ref, "", NULL, &guest);
	if (*status)
		return NULL;
	json_array_foreach(json_object_get(guest, "disks"), i, disk)
	{
		if (json_get_number(disk, "number") == wanted)
			name = json_incref(json_object_get(disk, "vdev"));
	}
	json_decref(guest);
	if (name)
		return name;
	fprintf(stderr, "Error: Device %s not connected.\n", number);
	*status = CLI_FAILURE;
	return NULL;
}

static json_t *disk_name(struct cli *cli, int *status)
{
	const char *word = cli->words[1];

	*status = 0;
	if (is_number(word))
		return name_of(cli, cli->words[0], word, status);
	return json_string(strncmp(word, "/dev/", 5) ? word : word + 5);
}

static int block_detach(struct cli *cli)
{
	json_t *body = take_options(cli), *name;
	int status;

	if (!body)
		return cli->status;
	name = disk_name(cli, &status);
	if (!name) {
		json_decref(body);
		return status ? status : CLI_FAILURE;
	}
	json_object_set_new(body, "disk", name);
	return call_act(cli, "POST", cli->words[0], "/disk-detach", body);
}

/* xl reads the target as a disk's, too. */
static int cd_insert(struct cli *cli)
{
	json_t *body = take_options(cli), *disk;
	char *words = NULL;

	if (!body)
		return cli->status;
	if (asprintf(&words, "vdev=%s,access=r,devtype=cdrom,target=%s", cli->words[1],
		    cli->words[2]) < 0)
		words = NULL;
	disk = words ? read_disk(cli, &(const char *){words}, 1) : NULL;
	free(words);
	if (!disk) {
		json_decref(body);
		return CLI_FAILURE;
	}
	json_object_set(body, "disk", json_object_get(disk, "vdev"));
	if (json_object_get(disk, "target"))
		json_object_set(body, "path", json_object_get(disk, "target"));
	json_decref(disk);
	return call_act(cli, "POST", cli->words[0], "/disk-medium", body);
}

static int cd_eject(struct cli *cli)
{
	json_t *body = take_options(cli);

	if (!body)
		return cli->status;
	json_object_set_new(body, "disk", json_string(cli->words[1]));
	return call_act(cli, "POST", cli->words[0], "/disk-medium", body);
}

static int network_attach(struct cli *cli)
{
	const struct config_reader reader = {.warn = warn};
	struct error err = {""};
	json_t *vif;

	if (!cli_words(cli))
		return cli->status;
	if (config_vif(cli->words + 1, cli->words_count - 1, &reader, &vif, &err))
		return cli_fail(cli, &err);
	return call_act(cli, "POST", cli->words[0], "/network-attach",
		json_pack("{s:o}", "network", vif));
}

/* By its MAC address, or by number, as xl takes either. Negative: it has been said why not. */
static int network_number(struct cli *cli, const char *word, int *status)
{
	json_t *guest, *network;
	int number = -1;
	size_t i;

	*status = 0;
	if (is_number(word))
		return strlen(word) > 4 ? INT16_MAX : atoi(word);
	*status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);
	if (*status)
		return -1;
	json_array_foreach(json_object_get(guest, "networks"), i, network)
	{
		if (!strcasecmp(json_get_text(network, "mac"), word))
			number = (int)json_get_number(network, "index");
	}
	json_decref(guest);
	if (number < 0) {
		fprintf(stderr, "Error: Device %s not connected.\n", word);
		*status = CLI_FAILURE;
	}
	return number;
}

static int network_detach(struct cli *cli)
{
	json_t *body = take_options(cli);
	int status, number;

	if (!body)
		return cli->status;
	number = network_number(cli, cli->words[1], &status);
	if (number < 0) {
		json_decref(body);
		return status;
	}
	json_object_set_new(body, "network", json_integer(number));
	return call_act(cli, "POST", cli->words[0], "/network-detach", body);
}

static int network_forward(struct cli *cli)
{
	bool remove = false;
	json_t *body;
	int id, status, number;

	while ((id = cli_option(cli)) > 0)
		remove = true;
	if (id != CLI_WORDS)
		return cli->status;
	number = network_number(cli, cli->words[1], &status);
	if (number < 0)
		return status;
	body = json_pack("{s:i, s:s, s:b}", "network", number, "forward", cli->words[2], "remove",
		remove);
	return call_act(cli, "POST", cli->words[0], "/network-forward", body);
}

static int share_attach(struct cli *cli)
{
	struct error err = {""};
	json_t *share;

	if (!cli_words(cli))
		return cli->status;
	if (config_share(cli->words[1], &share, &err))
		return cli_fail(cli, &err);
	return call_act(cli, "POST", cli->words[0], "/share-attach",
		json_pack("{s:o}", "share", share));
}

static int share_detach(struct cli *cli)
{
	if (!cli_words(cli))
		return cli->status;
	return call_act(cli, "POST", cli->words[0], "/share-detach",
		json_pack("{s:s}", "path", cli->words[1]));
}

const struct cli_verb cli_plug_verbs[] = {
	{"block-attach", "GUEST SPEC...", "Give a guest a disk while it runs", 2, CLI_WORDS_MAX,
		.run = block_attach},
	{"block-detach", "GUEST DISK", "Take a disk from a guest", 2, 2, .options = force_options,
		.run = block_detach},
	{"network-attach", "GUEST [KEY=VALUE...]", "Give a guest a network while it runs", 1,
		CLI_WORDS_MAX, .run = network_attach},
	{"network-detach", "GUEST NETWORK", "Take a network from a guest", 2, 2,
		.options = force_options, .run = network_detach},
	{"network-forward", "GUEST NETWORK FORWARD", "Forward a port to a guest, or no longer", 3,
		3, .options = remove_options, .run = network_forward},
	{"share-attach", "GUEST DIR:PATH", "Give a container a folder of this host's", 2, 2,
		.run = share_attach},
	{"share-detach", "GUEST PATH", "Take a folder from a container", 2, 2, .run = share_detach},
	{"cd-insert", "GUEST DRIVE FILE", "Put a CD into a guest's drive", 3, 3,
		.options = force_options, .run = cd_insert},
	{"cd-eject", "GUEST DRIVE", "Take the CD out of a guest's drive", 2, 2,
		.options = force_options, .run = cd_eject},
	{.name = NULL},
};
