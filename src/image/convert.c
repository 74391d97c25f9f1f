/* SPDX-License-Identifier: Apache-2.0 */
/* By qemu-img, which is fed files that nobody trusts. */
#include "image/convert.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "image/confine.h"
#include "image/process.h"

#define EXTENTS_MAX 64u /* of a VMDK in pieces */
#define DESCRIPTOR_MAX (64u << 10)
#define MEMORY_MAX (2ull << 30) /* of the converter's */

struct converter {
	const struct convert_watch *watch;
	char last[256]; /* what it said that is no progress */
};

/* "    (12.34/100%)" */
static void take_line(void *ctx, const char *line)
{
	struct converter *converter = ctx;
	unsigned whole, part;

	if (sscanf(line, " (%u.%2u/100%%)", &whole, &part) == 2) {
		if (converter->watch)
			converter->watch->progress(converter->watch->ctx, whole * 10 + part / 10);
	} else if (*line && !strstr(line, "/100%)")) {
		snprintf(converter->last, sizeof converter->last, "%s", line);
	}
}

/* Into an option of qemu-img's, where a comma is written twice. */
static int append_path(char *to, size_t size, const char *path)
{
	size_t n = strlen(to);

	for (; *path && n + 2 < size; path++) {
		to[n++] = *path;
		if (*path == ',')
			to[n++] = ',';
	}
	to[n] = 0;
	return *path ? -ENAMETOOLONG : 0;
}

static int run(const char *from, const char *path, const char *driver,
	const struct confine *confine, const struct convert_watch *watch, struct error *err)
{
	const char *const argv[] = {"qemu-img", "convert", "-p", "--image-opts", "-O", driver, from,
		path, NULL};
	struct converter converter = {.watch = watch};
	const struct process process = {.argv = argv,
		.log = -1,
		.signals = -1,
		.line = take_line,
		.ctx = &converter,
		.confine = confine};
	struct error why = {""};
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	close(fd);
	r = process_run(&process, &why);
	if (!r)
		return 0;
	unlink(path);
	if (r == -EOPNOTSUPP)
		return error_set(err, -r,
			"this host's kernel has no Landlock, without which qemu-img is not let at a file from elsewhere; run 'qemu-img convert' yourself");
	if (r == -ENOENT)
		return error_set(err, ENOENT,
			"qemu-img, which converts it, is not there: install the package qemu-utils");
	return error_set(err, -r, "%s", *converter.last ? converter.last : why.text);
}

/*
 * A VMDK that is a text names the files with the data: only those beside it, by a bare name. *count becomes how many
 * there are, with their paths in `extent`, allocated.
 */
static int list_extents(const char *path, char *extent[EXTENTS_MAX + 1], struct error *err)
{
	const size_t folder = (size_t)(strrchr(path, '/') + 1 - path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL, *line, *rest;
	unsigned count = 0;
	size_t size;
	int r = fd < 0 ? -errno : io_read_file(fd, DESCRIPTOR_MAX, &text, &size);

	if (fd >= 0)
		close(fd);
	if (r)
		return r == -EFBIG ? 0 : error_set(err, -r, "%s: %s", path, strerror(-r));
	rest = text;
	while (!r && (line = strsep(&rest, "\r\n"))) {
		char *name = strchr(line, '"'), *end = name ? strchr(name + 1, '"') : NULL;

		if (!end || (strncmp(line, "RW ", 3) && strncmp(line, "RDONLY ", 7)))
			continue;
		*end = 0;
		if (strchr(name + 1, '/') || !name[1])
			r = error_set(err, EPERM,
				"%s: names '%.100s', and only files in its own folder are read",
				path, name + 1);
		else if (count == EXTENTS_MAX)
			r = error_set(err, E2BIG, "%s: in more than %u pieces", path, EXTENTS_MAX);
		else if (asprintf(&extent[count], "%.*s%s", (int)folder, path, name + 1) < 0)
			r = error_nomem(err);
		else
			count++;
		extent[count] = NULL;
	}
	free(text);
	return r;
}

int convert_from(const struct convert_foreign *from, const char *path, enum disk_format format,
	const struct convert_watch *watch, struct error *err)
{
	char options[2 * PATH_MAX], *extent[EXTENTS_MAX + 1] = {NULL};
	const char *read[EXTENTS_MAX + 2] = {from->path}, *write[] = {path, NULL};
	const struct confine confine = {.read = read, .write = write, .memory = MEMORY_MAX};
	unsigned count = 0;
	int r = 0;

	snprintf(options, sizeof options, "driver=%s,", guess_driver(from->kind));
	if (from->size)
		snprintf(options + strlen(options), sizeof options - strlen(options),
			"file.driver=raw,file.offset=%" PRIu64 ",file.size=%" PRIu64
			",file.file.driver=file,file.file.filename=",
			from->offset, from->size);
	else
		strcat(options, "file.driver=file,file.filename=");
	if (append_path(options, sizeof options, from->path))
		return error_set(err, ENAMETOOLONG, "%s: name too long", from->path);
	if (from->kind == GUESS_VMDK && !from->size)
		r = list_extents(from->path, extent, err);
	for (; extent[count]; count++)
		read[count + 1] = extent[count];
	if (!r)
		r = run(options, path, disk_format_name(format), &confine, watch, err);
	while (count)
		free(extent[--count]);
	return r;
}

int convert_to(const char *from, enum disk_format format, const char *path, enum guess kind,
	const struct convert_watch *watch, struct error *err)
{
	const char *const read[] = {from, NULL}, *const write[] = {path, NULL};
	const struct confine confine = {.read = read, .write = write, .memory = MEMORY_MAX};
	char options[2 * PATH_MAX];

	snprintf(options, sizeof options,
		"driver=%s,file.driver=file,file.filename=", disk_format_name(format));
	if (append_path(options, sizeof options, from))
		return error_set(err, ENAMETOOLONG, "%s: name too long", from);
	return run(options, path, guess_driver(kind), &confine, watch, err);
}
