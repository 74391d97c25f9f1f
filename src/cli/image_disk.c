/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to the file of a disk while no guest runs from it. */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "block/checkpoint.h"
#include "chain/chain.h"
#include "cli/call.h"
#include "cli/image.h"
#include "cli/options.h"
#include "image/keep.h"
#include "image/store.h"

enum { SHRINK = 1 };

const struct option_spec image_resize_options[] = {
	{"shrink", SHRINK, NULL, "cut the disk's end off, and what is there"},
	{NULL, 0, NULL, NULL},
};

int image_disk(const char *words, bool readonly, struct disk_spec *spec, struct error *err)
{
	struct image *image = malloc(sizeof *image);
	int r;

	if (!image)
		return error_nomem(err);
	/* A folder's path is an image's; a file's, and what has options behind it, is none. */
	if (!strchr(words, ',') && !keep_is_file(words) && !image_find(words, image, NULL)) {
		r = disk_spec_of_file(image->disk, false, spec, err);
		if (!r)
			spec->file[0].format = image->format;
	} else {
		r = disk_spec_parse(words, spec, err);
	}
	free(image);
	if (r)
		return r;
	spec->readonly |= readonly;
	if (spec->file[0].format == DISK_QCOW2)
		r = chain_resolve(spec, &chain_own_rights, false, err);
	if (r)
		disk_spec_free(spec);
	return r;
}

static int open_disk(const char *words, bool readonly, struct disk_spec *spec,
	struct block_device **block, struct error *err)
{
	int r = image_disk(words, readonly, spec, err);

	if (r)
		return r;
	r = block_open(spec, block, err);
	if (r)
		disk_spec_free(spec);
	return r;
}

static int add_snapshot(void *ctx, const struct block_snapshot_info *info)
{
	return json_array_append_new(ctx,
		json_pack("{s:s, s:s, s:I, s:I, s:I}", "id", info->id, "name", info->name, "size",
			(json_int_t)info->size, "state_size", (json_int_t)info->state_size,
			"created", (json_int_t)info->seconds));
}

static int add_checkpoint(void *ctx, const struct block_checkpoint_info *info)
{
	return json_array_append_new(ctx,
		json_pack("{s:s, s:b, s:I}", "name", info->name, "lost", info->lost, "changed",
			(json_int_t)info->dirty));
}

static json_t *chain_as_json(const struct disk_spec *spec)
{
	json_t *files = json_array();

	for (unsigned i = 0; i < spec->files; i++) {
		const struct disk_file *file = &spec->file[i];
		struct stat st;
		json_int_t used = stat(file->name, &st) ? 0 : (json_int_t)st.st_blocks * 512;

		json_array_append_new(files,
			json_pack("{s:s, s:s, s:I}", "name", file->name, "format",
				disk_format_name(file->format), "used", used));
	}
	return files;
}

static void show(const json_t *disk)
{
	const json_t *file, *snapshot, *checkpoint;
	size_t i;

	printf("Size       %" JSON_INTEGER_FORMAT " bytes\n",
		json_integer_value(json_object_get(disk, "size")));
	json_array_foreach(json_object_get(disk, "files"), i, file)
	{
		printf("%-10s %s (%s, takes %" JSON_INTEGER_FORMAT " bytes)\n",
			i ? "Backing" : "File", json_string_value(json_object_get(file, "name")),
			json_string_value(json_object_get(file, "format")),
			json_integer_value(json_object_get(file, "used")));
	}
	json_array_foreach(json_object_get(disk, "snapshots"), i, snapshot)
	{
		time_t when = (time_t)json_integer_value(json_object_get(snapshot, "created"));
		struct tm utc;
		char text[32] = "";

		if (gmtime_r(&when, &utc))
			strftime(text, sizeof text, "%FT%TZ", &utc);
		printf("Snapshot   %s %s %s\n", json_string_value(json_object_get(snapshot, "id")),
			json_string_value(json_object_get(snapshot, "name")), text);
	}
	json_array_foreach(json_object_get(disk, "checkpoints"), i, checkpoint)
	{
		printf("Checkpoint %s (%s)\n", json_get_text(checkpoint, "name"),
			json_get_true(checkpoint, "lost") ? "lost"
							  : "what has been written since is known");
	}
}

int image_info(struct cli *cli)
{
	struct block_device *block;
	struct error err = {""};
	struct disk_spec spec;
	json_t *disk, *snapshots, *checkpoints;
	int r;

	if (!cli_words(cli))
		return cli->status;
	if (open_disk(cli->words[0], true, &spec, &block, &err))
		return cli_fail(cli, &err);
	snapshots = json_array();
	checkpoints = json_array();
	r = block_snapshots(block, add_snapshot, snapshots, &err);
	if (!r && block_checkpoints(block, add_checkpoint, checkpoints))
		r = error_nomem(&err);
	disk = json_pack("{s:I, s:o, s:o, s:o}", "size", (json_int_t)block_size(block), "files",
		chain_as_json(&spec), "snapshots", snapshots, "checkpoints", checkpoints);
	if (!r && disk && cli->json)
		call_print(disk);
	else if (!r && disk)
		show(disk);
	json_decref(disk);
	block_close(block);
	disk_spec_free(&spec);
	return r ? cli_fail(cli, &err) : disk ? 0 : cli_say(cli, "out of memory");
}

/* A raw file's length is the disk's. */
static int resize_raw(const struct disk_spec *spec, uint64_t size, struct error *err)
{
	const char *name = spec->file[0].name;
	struct stat st;

	if (stat(name, &st) || !S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "%s: not a file; its own tools give it another size",
			name);
	if (size % BLOCK_SECTOR)
		return error_set(err, EINVAL, "%s: a disk's size is a multiple of %u bytes", name,
			BLOCK_SECTOR);
	return truncate(name, (off_t)size) ? error_set(err, errno, "%s: %s", name, strerror(errno))
					   : 0;
}

struct look {
	struct block_request request;
	sem_t done;
	int result;
};

static void looked(struct block_request *request, int result)
{
	struct look *look = (struct look *)request;

	look->result = result;
	sem_post(&look->done);
}

#define LOOK_SIZE 4096u

/* What has to be done in the guest, by what its disk begins with. */
static const char *what_next(struct block_device *block)
{
	uint8_t *bytes = aligned_alloc(LOOK_SIZE, LOOK_SIZE);
	struct iovec iov = {bytes, LOOK_SIZE};
	struct look look = {.request = {.op = BLOCK_READ,
				    .length = LOOK_SIZE,
				    .iov = &iov,
				    .iov_count = 1,
				    .done = looked}};
	const char *says = "its file system or partitions are to be made larger in the guest";

	if (!bytes || block_size(block) < LOOK_SIZE) {
		free(bytes);
		return says;
	}
	sem_init(&look.done, 0, 0);
	block_submit(block, &look.request);
	while (sem_wait(&look.done))
		;
	sem_destroy(&look.done);
	if (!look.result && !memcmp(bytes, "XFSB", 4))
		says = "in the guest, 'xfs_growfs' with the folder where it is mounted";
	else if (!look.result && bytes[1080] == 0x53 && bytes[1081] == 0xef)
		says = "in the guest, 'resize2fs' with its device (the first disk's is /dev/vda)";
	else if (!look.result && bytes[510] == 0x55 && bytes[511] == 0xaa)
		says = "it has partitions: cloud-init makes the root's larger at the next start, or, in the guest,\n"
		       "'growpart /dev/vda N' for the last of them, then 'resize2fs /dev/vdaN' or, of XFS, 'xfs_growfs /'";
	free(bytes);
	return says;
}

static int resize(const char *words, const char *size_word, bool shrink, struct error *err)
{
	struct block_device *block;
	struct disk_spec spec;
	uint64_t size, before;
	int r = option_size("SIZE", size_word, 1ull << 20, &size, err);

	if (!r)
		r = open_disk(words, false, &spec, &block, err);
	if (r)
		return r;
	before = block_size(block);
	if (!shrink && size < before)
		r = error_set(err, EINVAL, "%s: that would cut off the disk's end (--shrink does)",
			spec.file[0].name);
	else if (spec.file[0].format == DISK_RAW)
		r = resize_raw(&spec, size, err);
	else
		r = block_resize(block, size, shrink, err);
	if (!r && size > before)
		fprintf(stderr, "dach image: the disk is larger, what is on it is not yet: %s\n",
			what_next(block));
	block_close(block);
	disk_spec_free(&spec);
	return r;
}

int image_resize(struct cli *cli)
{
	struct error err = {""};
	bool shrink = false;
	int id;

	while ((id = cli_option(cli)) > 0)
		shrink |= id == SHRINK;
	if (id == CLI_END)
		return cli->status;
	return resize(cli->words[0], cli->words[1], shrink, &err) ? cli_fail(cli, &err) : 0;
}
