/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "cli/options.h"
#include "image/create.h"
#include "image/store.h"

enum { DIST = 1, SIZE, INCLUDE, PASSWORD, GENPASS, SSH_KEY, HOSTNAME, OUTPUT, KEEP_ROOT };

static const struct option_spec create_options[] = {
	{"dist", DIST, "NAME", "the Debian release (" IMAGE_DIST_DEFAULT ")"},
	{"size", SIZE, "SIZE", "of the disk, like 8G (4G); it takes no more than what is in it"},
	{"include", INCLUDE, "PKG,...", "further packages"},
	{"password", PASSWORD, "TEXT", "root's password"},
	{"genpass", GENPASS, NULL, "make a password up, show and keep it (the default)"},
	{"ssh-key", SSH_KEY, "FILE", "a public key that may log in as root"},
	{"hostname", HOSTNAME, "NAME", "the guest's host name (the image's name)"},
	{"output", OUTPUT, "DIR", "make the image's folder in DIR instead of the store"},
	{"keep-root", KEEP_ROOT, NULL, "keep the root as a folder beside the disk, for containers"},
	{NULL, 0, NULL, NULL},
};

static int size_text(char *text, size_t size, uint64_t bytes)
{
	if (bytes >= 10ull << 30)
		return snprintf(text, size, "%" PRIu64 " GiB", bytes >> 30);
	return snprintf(text, size, "%" PRIu64 " MiB", bytes >> 20);
}

static void show_progress(void *ctx, const char *line)
{
	fprintf(stderr, "  %s\n", line);
}

static int make(struct cli *cli, const struct image_request *request)
{
	static struct image_result result; /* paths make it too large for the stack's liking */
	struct error err = {""};
	char size[32], used[32];

	fprintf(stderr, "%s:\n", request->name);
	if (image_create(request, &result, &err)) {
		cli_fail(cli, &err);
		if (result.log[0])
			fprintf(stderr, "dach image: %s tells how far it got\n", result.log);
		return CLI_FAILURE;
	}
	size_text(size, sizeof size, result.image.size);
	size_text(used, sizeof used, result.image.used);
	printf("Image         %s\nHost name     %s\nDistribution  Debian %s\nSize          %s (%s used)\n"
	       "Root password %s\nFolder        %s\nLog           %s\n",
		result.image.name, result.image.hostname, result.image.dist, size, used,
		result.password, result.image.path, result.log);
	return 0;
}

static int take_option(struct cli *cli, int id, struct image_request *request, struct error *err)
{
	switch (id) {
	case DIST:
		request->dist = cli->value;
		break;
	case SIZE:
		return option_size("--size", cli->value, 1ull << 20, &request->size, err);
	case INCLUDE:
		request->include = cli->value;
		break;
	case PASSWORD:
		request->password = cli->value;
		break;
	case SSH_KEY:
		request->ssh_key = cli->value;
		break;
	case HOSTNAME:
		request->hostname = cli->value;
		break;
	case OUTPUT:
		request->output = cli->value;
		break;
	case KEEP_ROOT:
		request->keep_root = true;
		break;
	}
	return 0;
}

static int create(struct cli *cli)
{
	struct image_request request = {
		.dist = IMAGE_DIST_DEFAULT,
		.size = IMAGE_SIZE_DEFAULT,
		.include = "",
		.progress = show_progress,
	};
	struct error err = {""};
	bool genpass = false;
	int id;

	while ((id = cli_option(cli)) > 0) {
		genpass |= id == GENPASS;
		if (take_option(cli, id, &request, &err))
			return cli_fail(cli, &err);
	}
	if (id == CLI_END)
		return cli->status;
	if (genpass && request.password)
		return cli_say(cli, "--password and --genpass exclude each other");
	if (request.keep_root && geteuid())
		return cli_say(cli, IMAGE_KEEP_ROOT_IS_ROOTS);
	request.name = cli->words[0];
	return make(cli, &request);
}

static void show_row(void *ctx, const struct image *image)
{
	unsigned *rows = ctx;
	char size[32], used[32];

	if (!(*rows)++)
		printf("%-20s %-12s %9s %9s  %-20s  %s\n", "NAME", "DISTRIBUTION", "SIZE", "USED",
			"CREATED", "FOLDER");
	size_text(size, sizeof size, image->size);
	size_text(used, sizeof used, image->used);
	printf("%-20s %-12s %9s %9s  %-20s  %s\n", image->name, image->dist, size, used,
		image->created, image->path);
}

static void add_object(void *ctx, const struct image *image)
{
	json_array_append_new(ctx,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "name", image->name,
			"distribution", image->dist, "hostname", image->hostname, "created",
			image->created, "path", image->path, "size", (json_int_t)image->size,
			"used", (json_int_t)image->used));
}

static int list_as_json(struct cli *cli)
{
	json_t *images = json_array();
	struct error err = {""};
	int r = image_list(add_object, images, &err);

	if (!r)
		call_print(images);
	json_decref(images);
	return r ? cli_fail(cli, &err) : 0;
}

static int list(struct cli *cli)
{
	struct error err = {""};
	unsigned rows = 0;
	int r;

	if (!cli_words(cli))
		return cli->status;
	if (cli->json)
		return list_as_json(cli);
	r = image_list(show_row, &rows, &err);
	if (!r && !rows)
		fprintf(stderr, "no images; 'dach image create NAME' makes one\n");
	return r ? cli_fail(cli, &err) : 0;
}

static int delete (struct cli *cli)
{
	struct error err = {""};

	if (!cli_words(cli))
		return cli->status;
	return image_delete(cli->words[0], &err) ? cli_fail(cli, &err) : 0;
}

static int clone(struct cli *cli)
{
	struct error err = {""};

	if (!cli_words(cli))
		return cli->status;
	return image_clone(cli->words[0], cli->words[1], NULL, &err) ? cli_fail(cli, &err) : 0;
}

static const struct cli_verb own_verbs[] = {
	{"image create", "NAME", "make an image: a Debian root file system that boots", 1, 1,
		.options = create_options, .run = create, .plain = true, .usage = CLI_FAILURE},
	{"image list", "", "show the images there are", 0, 0, .run = list, .usage = CLI_FAILURE},
	{"image clone", "IMAGE NAME", "make another image with what is in one, in no time", 2, 2,
		.run = clone, .plain = true, .usage = CLI_FAILURE},
	{"image import", "FILE [NAME]",
		"make an image of a disk (qcow2, raw, VMDK, VDI, VHD, OVA), a root or a container's image",
		0, 2, .options = image_import_options, .run = image_import, .plain = true,
		.usage = CLI_FAILURE},
	{"image convert", "IMAGE|FILE FILE",
		"copy a disk to a file, in the format that its ending says", 2, 2,
		.run = image_convert, .plain = true, .usage = CLI_FAILURE},
	{"image info", "IMAGE|FILE[,format=raw|qcow2]", "show what a disk is made of", 1, 1,
		.run = image_info, .usage = CLI_FAILURE},
	{"image resize", "IMAGE|FILE[,format=raw|qcow2] SIZE", "make a disk larger", 2, 2,
		.options = image_resize_options, .run = image_resize, .plain = true,
		.usage = CLI_FAILURE},
	{"image delete", "IMAGE", "remove an image", 1, 1, .run = delete, .plain = true,
		.usage = CLI_FAILURE},
	{.name = NULL},
};

const struct cli_verb cli_image_verbs[] = {
	{"image", "VERB", "Create, clone, list and delete images to start guests from",
		.verbs = own_verbs},
	{.name = NULL},
};
