/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' devices: block-list, network-list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/watch.h"

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

enum { RATE = 1, INTO, FORMAT, SINCE, CHECKPOINT, BASE };

static const struct option_spec stream_options[] = {
	{"rate", RATE, "SIZE", "no more than that in a second (as 50m)"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec commit_options[] = {
	{"rate", RATE, "SIZE", "no more than that in a second (as 50m)"},
	{"into", INTO, "FILE",
		"what it stands on, where it stood on that before the guest was started"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec move_options[] = {
	{"rate", RATE, "SIZE", "no more than that in a second (as 50m)"},
	{"format", FORMAT, "raw|qcow2", "what the file is to be; else by its name's end"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec backup_options[] = {
	{"rate", RATE, "SIZE", "no more than that in a second (as 50m)"},
	{"format", FORMAT, "raw|qcow2", "what the file is to be; else by its name's end"},
	{"checkpoint", CHECKPOINT, "NAME",
		"what is written from this moment on can be asked for by it"},
	{"since", SINCE, "NAME", "only what has been written since that checkpoint (a qcow2 file)"},
	{"base", BASE, "FILE", "the backup of that checkpoint, on which the file is to stand"},
	{NULL, 0, NULL, NULL},
};

static int put_absolute(struct cli *cli, json_t *body, const char *key, const char *word)
{
	char *path = cli_absolute(word);
	int status = 0;

	if (!path || json_object_set_new(body, key, json_string(path)))
		status = cli_say(cli, "'%s' is not a file name", word);
	free(path);
	return status;
}

static bool is_qcow2(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && !strcmp(end, ".qcow2");
}

static int put_base(struct cli *cli, json_t *body)
{
	if (is_qcow2(cli->value))
		json_object_set_new(body, "base_format", json_string("qcow2"));
	return put_absolute(cli, body, "base", cli->value);
}

/* The words: guest, disk, and, of a backup, the file. */
static int copy_disk(struct cli *cli, const char *says, const char *suffix)
{
	json_t *body = json_object();
	struct error err = {""};
	uint64_t rate;
	int id, status = 0;

	while (!status && (id = cli_option(cli)) > 0) {
		if (id == INTO)
			status = put_absolute(cli, body, "into", cli->value);
		else if (id == FORMAT)
			json_object_set_new(body, "format", json_string(cli->value));
		else if (id == SINCE)
			json_object_set_new(body, "since", json_string(cli->value));
		else if (id == CHECKPOINT)
			json_object_set_new(body, "checkpoint", json_string(cli->value));
		else if (id == BASE)
			status = put_base(cli, body);
		else if (option_size("--rate", cli->value, 1 << 20, &rate, &err))
			status = cli_fail(cli, &err);
		else
			json_object_set_new(body, "rate", json_integer((json_int_t)rate));
	}
	if (!status && id == CLI_END)
		status = cli->status ? cli->status : CLI_END;
	if (!status && cli->words_count > 2) {
		status = put_absolute(cli, body, "path", cli->words[2]);
		if (!json_object_get(body, "format") && is_qcow2(cli->words[2]))
			json_object_set_new(body, "format", json_string("qcow2"));
	}
	if (status) {
		json_decref(body);
		return status == CLI_END ? 0 : status;
	}
	json_object_set_new(body, "disk", json_string(cli->words[1]));
	return watch_act(cli, says, cli->words[0], suffix, body);
}

static int disk_stream(struct cli *cli)
{
	return copy_disk(cli, "Streaming", "/disk-stream");
}

static int disk_commit(struct cli *cli)
{
	return copy_disk(cli, "Committing", "/disk-commit");
}

static int disk_move(struct cli *cli)
{
	return copy_disk(cli, "Moving", "/disk-move");
}

static int disk_backup(struct cli *cli)
{
	return copy_disk(cli, "Backing up", "/disk-backup");
}

enum { SOCKET = 1, LISTEN, EXPORT_FOLDER, PERSISTENT, EXPORT_SINCE, EXPORT_CHECKPOINT };

static const struct option_spec export_options[] = {
	{"socket", SOCKET, "PATH", "a Unix socket that is made for it"},
	{"listen", LISTEN, "ADDR:PORT",
		"or an address of this host; whoever reaches it may read the disk"},
	{"folder", EXPORT_FOLDER, "DIR",
		"where what the guest writes over is kept; else beside the disk"},
	{"since", EXPORT_SINCE, "NAME",
		"clients can ask what has been written since (qemu:dirty-bitmap:NAME)"},
	{"checkpoint", EXPORT_CHECKPOINT, "NAME",
		"what is written from this moment on can be asked for by it"},
	{"persistent", PERSISTENT, NULL, "until it is cancelled, not until the last client leaves"},
	{NULL, 0, NULL, NULL},
};

static int disk_export(struct cli *cli)
{
	json_t *body = json_object();
	int id, status = 0;

	while (!status && (id = cli_option(cli)) > 0) {
		if (id == SOCKET)
			status = put_absolute(cli, body, "socket", cli->value);
		else if (id == EXPORT_FOLDER)
			status = put_absolute(cli, body, "folder", cli->value);
		else if (id == LISTEN)
			json_object_set_new(body, "listen", json_string(cli->value));
		else if (id == EXPORT_SINCE)
			json_object_set_new(body, "since", json_string(cli->value));
		else if (id == EXPORT_CHECKPOINT)
			json_object_set_new(body, "checkpoint", json_string(cli->value));
		else
			json_object_set_new(body, "persistent", json_true());
	}
	if (!status && id == CLI_END) {
		json_decref(body);
		return cli->status;
	}
	if (!status && !json_object_get(body, "socket") == !json_object_get(body, "listen"))
		status = cli_say(cli, "either --socket or --listen is needed");
	if (status) {
		json_decref(body);
		return status;
	}
	json_object_set_new(body, "disk", json_string(cli->words[1]));
	return watch_act(cli, "Exporting", cli->words[0], "/disk-export", body);
}

static const struct option_spec checkpoint_options[] = {
	{"delete", 1, NULL, "it is not needed any more"},
	{NULL, 0, NULL, NULL},
};

/* Those of one disk. */
static int list_checkpoints(struct cli *cli)
{
	json_t *guest, *disk, *point;
	const json_t *found = NULL;
	size_t i;
	int status = call_guest(cli, "GET", cli->words[0], "", NULL, &guest);

	if (status)
		return status;
	json_array_foreach(json_object_get(guest, "disks"), i, disk)
	{
		if (!strcmp(json_get_text(disk, "vdev"), cli->words[1]))
			found = json_object_get(disk, "checkpoints");
	}
	if (!found)
		status = cli_say(cli, "the guest has no disk '%s'", cli->words[1]);
	else if (cli->json)
		call_print(found);
	else if (json_array_size(found))
		printf("%-32s %12s\n", "Name", "Changed(MiB)");
	json_array_foreach(cli->json ? NULL : found, i, point)
	{
		printf("%-32s %12.1f%s\n", json_get_text(point, "name"),
			(double)json_integer_value(json_object_get(point, "changed")) / (1 << 20),
			json_get_true(point, "lost") ? "  lost: a full backup is needed" : "");
	}
	json_decref(guest);
	return status;
}

static int disk_checkpoint(struct cli *cli)
{
	bool removes = false;
	int id;

	while ((id = cli_option(cli)) > 0)
		removes = true;
	if (id == CLI_END)
		return cli->status;
	if (cli->words_count == 2)
		return removes ? cli_say(cli, "--delete needs the checkpoint's name")
			       : list_checkpoints(cli);
	return call_act(cli, "POST", cli->words[0], "/disk-checkpoint",
		json_pack("{s:s, s:s, s:b}", "disk", cli->words[1], "checkpoint", cli->words[2],
			"remove", removes));
}

static int disk_resize(struct cli *cli)
{
	struct error err = {""};
	uint64_t size;

	if (!cli_words(cli))
		return cli->status;
	if (option_size("SIZE", cli->words[2], 1ull << 20, &size, &err))
		return cli_fail(cli, &err);
	return call_act(cli, "POST", cli->words[0], "/disk-resize",
		json_pack("{s:s, s:I}", "disk", cli->words[1], "size", (json_int_t)size));
}

static const struct cli_verb disk_verbs[] = {
	{"disk layer", "GUEST [DISK...]", "put new images on a guest's disks while it runs", 1,
		CLI_WORDS_MAX, .options = layer_options, .run = disk_layer},
	{"disk stream", "GUEST DISK", "copy all that a disk stands on into its top image", 2, 2,
		.options = stream_options, .run = disk_stream},
	{"disk commit", "GUEST DISK", "copy a disk's top image into the one below, and drop it", 2,
		2, .options = commit_options, .run = disk_commit},
	{"disk backup", "GUEST DISK FILE", "copy a disk as it is now into a file", 3, 3,
		.options = backup_options, .run = disk_backup},
	{"disk move", "GUEST DISK FILE", "copy a disk into a file, and go on there", 3, 3,
		.options = move_options, .run = disk_move},
	{"disk export", "GUEST DISK", "let NBD clients read a disk as it is now", 2, 2,
		.options = export_options, .run = disk_export},
	{"disk checkpoint", "GUEST DISK [NAME]",
		"name a disk's moment, for backups since then; or list", 2, 3,
		.options = checkpoint_options, .run = disk_checkpoint},
	{"disk resize", "GUEST DISK SIZE", "make a disk larger, which the guest sees", 3, 3,
		.run = disk_resize},
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
