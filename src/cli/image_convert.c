/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of other programs become images, and ours become files for others. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/image.h"
#include "cli/options.h"
#include "image/create.h"
#include "image/import.h"
#include "image/import_root.h"
#include "image/keep.h"
#include "image/source.h"

/* At a terminal alone: lines of a log would say little. */
static bool show(void *ctx, unsigned permille)
{
	if (isatty(2))
		fprintf(stderr, "\r%3u.%u %%%s", permille / 10, permille % 10,
			permille < 1000 ? "" : "\n");
	return true;
}

const struct convert_watch image_progress = {.progress = show};

enum { FROM_TAR = 1, FROM_CHROOT, OCI, KERNEL, SIZE, KEEP_ROOT };

const struct option_spec image_import_options[] = {
	{"from-tar", FROM_TAR, "FILE|-", "of a root as an archive: plain, by gzip or zstd"},
	{"from-chroot", FROM_CHROOT, "DIR", "of a root as a folder"},
	{"oci", OCI, "DIR[:NAME]", "of a container's image, a folder with an OCI layout"},
	{"kernel", KERNEL, "IMAGE", "whose kernel such a root gets (the first that has one)"},
	{"size", SIZE, "SIZE", "of its disk (4G)"},
	{"keep-root", KEEP_ROOT, NULL,
		"keep such a root as a folder beside the disk, for containers"},
	{NULL, 0, NULL, NULL},
};

static void show_line(void *ctx, const char *line)
{
	fprintf(stderr, "  %s\n", line);
}

static int take_import_option(struct cli *cli, int id, struct root_request *request,
	struct error *err)
{
	if (id == KERNEL) {
		request->kernel = cli->value;
		return 0;
	}
	if (id == KEEP_ROOT) {
		request->keep_root = true;
		return geteuid() ? error_set(err, EPERM, IMAGE_KEEP_ROOT_IS_ROOTS) : 0;
	}
	if (id == SIZE)
		return option_size("--size", cli->value, 1ull << 20, &request->size, err);
	if (request->from)
		return error_set(err, EINVAL,
			"--from-tar, --from-chroot and --oci exclude each other");
	request->kind = id == FROM_TAR ? ROOT_TAR : id == FROM_CHROOT ? ROOT_FOLDER : ROOT_OCI;
	request->from = cli->value;
	return 0;
}

static int show_image(const struct image *image)
{
	printf("Image         %s\nSize          %" PRIu64 " MiB (%" PRIu64
	       " MiB used)\nFolder        %s\n",
		image->name, image->size >> 20, image->used >> 20, image->path);
	return 0;
}

/* A root without a disk, or a disk. */
int image_import(struct cli *cli)
{
	static struct image image; /* paths make it large */
	static char log[PATH_MAX];
	struct root_request request = {.size = IMAGE_SIZE_DEFAULT, .progress = show_line};
	struct error err = {""};
	int id, r = 0;

	while (!r && (id = cli_option(cli)) > 0)
		r = take_import_option(cli, id, &request, &err);
	if (!r && id == CLI_END)
		return cli->status;
	if (!r && cli->words_count > (request.from ? 1 : 2))
		r = error_set(&err, EINVAL, "too many words: %s image import --oci DIR [NAME]",
			cli->program);
	if (!r && !request.from && !cli->words_count)
		r = error_set(&err, EINVAL,
			"a disk's FILE is needed, or --from-tar, --from-chroot or --oci");
	if (!r && !request.from &&
		(request.kernel || request.keep_root || request.size != IMAGE_SIZE_DEFAULT))
		r = error_set(&err, EINVAL,
			"--kernel, --keep-root and --size are for a root without a disk");
	request.name = cli->words[0];
	if (!r && request.from)
		r = import_root(&request, &image, log, &err);
	else if (!r)
		r = import_image(cli->words[0], cli->words_count > 1 ? cli->words[1] : NULL,
			&image_progress, &image, &err);
	if (r) {
		cli_fail(cli, &err);
		if (*log)
			fprintf(stderr, "dach image: %s tells how far it got\n", log);
		return CLI_FAILURE;
	}
	return show_image(&image);
}

/* What a file's name says of its format. */
static int kind_of(const char *name, enum guess *kind, struct error *err)
{
	static const struct {
		const char *ending;
		enum guess kind;
	} kinds[] = {{".qcow2", GUESS_QCOW2}, {".raw", GUESS_RAW}, {".img", GUESS_RAW},
		{".vmdk", GUESS_VMDK}, {".vdi", GUESS_VDI}, {".vhd", GUESS_VHD},
		{".vhdx", GUESS_VHDX}};
	const char *ending = source_ending(name);

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(ending, kinds[i].ending)) {
			*kind = kinds[i].kind;
			return 0;
		}
	return error_set(err, EINVAL,
		"%s: its ending does not say in which format: .qcow2, .raw, .img, .vmdk, .vdi, .vhd, .vhdx",
		name);
}

/* A file that somebody has made, or an image. */
static int open_source(const char *word, struct image_source *source, struct error *err)
{
	if (keep_is_file(word))
		return source_open(word, source, err);
	memset(source, 0, sizeof *source);
	source->ours = true;
	return image_disk(word, true, &source->spec, err);
}

/* Of a file beside the target, where qemu-img has to write what is not ours. */
static int by_qemu(const struct image_source *source, const char *path, enum guess kind,
	struct error *err)
{
	char *between = NULL, *target = NULL;
	int r = asprintf(&between, "%s.part", path) < 0 ? error_nomem(err) : 0;

	if (!r)
		r = source_convert(source, between, DISK_RAW, NULL, err);
	if (r) {
		free(between);
		return r;
	}
	target = cli_absolute(path);
	if (!target)
		r = error_nomem(err);
	else {
		char *from = realpath(between, NULL);

		r = from ? convert_to(from, DISK_RAW, target, kind, &image_progress, err)
			 : error_set(err, errno, "%s: %s", between, strerror(errno));
		free(from);
	}
	unlink(between);
	free(between);
	free(target);
	return r;
}

static int convert(const struct image_source *source, const char *path, struct error *err)
{
	enum guess kind = GUESS_RAW;
	int r = kind_of(path, &kind, err);

	if (r)
		return r;
	if (!access(path, F_OK))
		return error_set(err, EEXIST, "%s: is there already", path);
	if (kind == GUESS_QCOW2 || kind == GUESS_RAW)
		return source_convert(source, path, kind == GUESS_QCOW2 ? DISK_QCOW2 : DISK_RAW,
			&image_progress, err);
	return by_qemu(source, path, kind, err);
}

int image_convert(struct cli *cli)
{
	struct image_source *source;
	struct error err = {""};
	int r;

	if (!cli_words(cli))
		return cli->status;
	source = malloc(sizeof *source);
	if (!source)
		return cli_say(cli, "out of memory");
	r = open_source(cli->words[0], source, &err);
	if (!r) {
		r = convert(source, cli->words[1], &err);
		source_free(source);
	}
	free(source);
	return r ? cli_fail(cli, &err) : 0;
}
