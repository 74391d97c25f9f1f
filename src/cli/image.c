/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "image/create.h"
#include "image/store.h"

enum { HELP, DIST, SIZE, INCLUDE, PASSWORD, GENPASS, SSH_KEY, HOSTNAME, OUTPUT, JSON };

static const struct option_spec create_options[] = {
	{"dist", DIST, "NAME", "the Debian release (" IMAGE_DIST_DEFAULT ")"},
	{"size", SIZE, "SIZE", "of the disk, like 8G (4G); it takes no more than what is in it"},
	{"include", INCLUDE, "PKG,...", "further packages"},
	{"password", PASSWORD, "TEXT", "root's password"},
	{"genpass", GENPASS, NULL, "make a password up, show and keep it (the default)"},
	{"ssh-key", SSH_KEY, "FILE", "a public key that may log in as root"},
	{"hostname", HOSTNAME, "NAME", "the guest's host name (the image's name)"},
	{"output", OUTPUT, "DIR", "make the image's folder in DIR instead of the store"},
	{"help", HELP, NULL, "this text"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec list_options[] = {
	{"json", JSON, NULL, "for programs: an array of objects"},
	{"help", HELP, NULL, "this text"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec delete_options[] = {
	{"help", HELP, NULL, "this text"},
	{NULL, 0, NULL, NULL},
};

static int fail(const struct error *err)
{
	fprintf(stderr, "dach image: %s\n", err->text);
	return CLI_FAILURE;
}

static int usage(const char *verb, const struct option_spec *specs)
{
	printf("usage: dach image %s\n\n", verb);
	option_help(specs);
	return 0;
}

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

static int create(const struct image_request *request)
{
	static struct image_result result; /* paths make it too large for the stack's liking */
	struct error err = {""};
	char size[32], used[32];

	fprintf(stderr, "%s:\n", request->name);
	if (image_create(request, &result, &err)) {
		fail(&err);
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

static int parse_create(int argc, char **argv)
{
	struct image_request request = {
		.dist = IMAGE_DIST_DEFAULT,
		.size = IMAGE_SIZE_DEFAULT,
		.include = "",
		.progress = show_progress,
	};
	struct option_scan scan = {argc, argv, 1, NULL, NULL};
	struct error err = {""};
	bool genpass = false;
	int id, r = 0;

	while ((id = option_next(&scan, create_options, &err)) != OPTION_END) {
		switch (id) {
		case HELP:
			return usage("create NAME [OPTION]...", create_options);
		case DIST:
			request.dist = scan.value;
			break;
		case SIZE:
			r = option_size("--size", scan.value, 1ull << 20, &request.size, &err);
			break;
		case INCLUDE:
			request.include = scan.value;
			break;
		case PASSWORD:
			request.password = scan.value;
			break;
		case GENPASS:
			genpass = true;
			break;
		case SSH_KEY:
			request.ssh_key = scan.value;
			break;
		case HOSTNAME:
			request.hostname = scan.value;
			break;
		case OUTPUT:
			request.output = scan.value;
			break;
		case OPTION_WORD:
			if (request.name)
				r = error_set(&err, EINVAL, "one name, not '%s' too", scan.value);
			request.name = scan.value;
			break;
		default:
			r = id;
		}
		if (r)
			return fail(&err);
	}
	if (!request.name)
		r = error_set(&err, EINVAL, "create: what is the image to be called?");
	else if (genpass && request.password)
		r = error_set(&err, EINVAL, "--password and --genpass exclude each other");
	return r ? fail(&err) : create(&request);
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

static void json_text(const char *key, const char *value)
{
	printf("\"%s\": \"", key);
	for (const unsigned char *c = (const unsigned char *)value; *c; c++) {
		if (*c == '"' || *c == '\\' || *c < ' ')
			printf("\\u%04x", *c);
		else
			putchar(*c);
	}
	printf("\", ");
}

static void show_object(void *ctx, const struct image *image)
{
	unsigned *rows = ctx;

	printf("%s  {", (*rows)++ ? ",\n" : "");
	json_text("name", image->name);
	json_text("distribution", image->dist);
	json_text("hostname", image->hostname);
	json_text("created", image->created);
	json_text("path", image->path);
	printf("\"size\": %" PRIu64 ", \"used\": %" PRIu64 "}", image->size, image->used);
}

static int list(int argc, char **argv)
{
	struct option_scan scan = {argc, argv, 1, NULL, NULL};
	struct error err = {""};
	bool json = false;
	unsigned rows = 0;
	int id, r = 0;

	while ((id = option_next(&scan, list_options, &err)) != OPTION_END) {
		if (id == HELP)
			return usage("list [--json]", list_options);
		if (id == JSON)
			json = true;
		else
			r = error_set(&err, EINVAL, "list: '%s' is too much", scan.value);
		if (r)
			return fail(&err);
	}
	if (json)
		printf("[\n");
	r = image_list(json ? show_object : show_row, &rows, &err);
	if (json)
		printf("%s]\n", rows ? "\n" : "");
	else if (!r && !rows)
		fprintf(stderr, "no images; 'dach image create NAME' makes one\n");
	return r ? fail(&err) : 0;
}

static int delete (int argc, char **argv)
{
	struct option_scan scan = {argc, argv, 1, NULL, NULL};
	struct error err = {""};
	const char *name = NULL;
	int id, r = 0;

	while ((id = option_next(&scan, delete_options, &err)) != OPTION_END) {
		if (id == HELP)
			return usage("delete NAME", delete_options);
		if (id == OPTION_WORD && !name)
			name = scan.value;
		else
			r = error_set(&err, EINVAL, "delete: one image at a time");
		if (r)
			return fail(&err);
	}
	if (!name)
		r = error_set(&err, EINVAL, "delete: which image?");
	else
		r = image_delete(name, &err);
	return r ? fail(&err) : 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{"create", parse_create, "make an image: a Debian root file system that boots"},
	{"list", list, "show the images there are"},
	{"delete", delete, "remove an image"},
};

#define VERBS (sizeof verbs / sizeof *verbs)

int cli_image(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verb, verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	if (!strcmp(verb, "--help")) {
		printf("usage: dach image VERB [OPTION]...\n\n");
		for (size_t i = 0; i < VERBS; i++)
			printf("  %-8s %s\n", verbs[i].name, verbs[i].help);
		return 0;
	}
	if (*verb)
		fprintf(stderr, "dach image: unknown verb '%s' (see dach image --help)\n", verb);
	else
		fprintf(stderr, "dach image: create, list or delete? (see dach image --help)\n");
	return CLI_FAILURE;
}
