/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/create.h"
#include "chain/chain.h"
#include "nbd/client.h"
#include "protocol/limits.h"

/* Of the guest's disk in an open file. */
static int disk_size(int fd, const char *name, enum disk_format format, uint64_t *size,
	struct error *err)
{
	struct qcow2_header *header;
	off_t end;
	int r;

	if (format == DISK_RAW) {
		end = lseek(fd, 0, SEEK_END);
		*size = end < 0 ? 0 : (uint64_t)end;
		return end < 0 ? error_set(err, errno, "%s: %s", name, strerror(errno)) : 0;
	}
	header = malloc(sizeof *header);
	if (!header)
		return error_nomem(err);
	r = chain_read_header(fd, name, header, err);
	*size = header->size;
	free(header);
	return r;
}

int layer_size(const char *path, enum disk_format format, uint64_t *size, struct error *err)
{
	int fd, r;

	if (disk_is_remote(path))
		return nbd_ask_size(path, size, err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = disk_size(fd, path, format, size, err);
	close(fd);
	return r;
}

/* What was asked for in the place of what is below; data would be cut off where that is larger. */
static int take_size(const char *name, uint64_t wanted, uint64_t *size, struct error *err)
{
	if (wanted && wanted < *size)
		return error_set(err, EINVAL, "%s: is larger than that", name);
	*size = wanted ? wanted : *size;
	return 0;
}

int layer_create(const char *path, const char *backing, enum disk_format format, uint64_t size,
	struct error *err)
{
	struct qcow2_make make = {.backing = backing, .backing_format = disk_format_name(format)};
	const char *slash = strrchr(path, '/');
	char *below;
	int fd, r;

	if (asprintf(&below, "%.*s%s", *backing == '/' || !slash ? 0 : (int)(slash + 1 - path),
		    path, backing) < 0)
		return error_nomem(err);
	r = layer_size(below, format, &make.size, err);
	if (!r)
		r = take_size(below, size, &make.size, err);
	free(below);
	if (r)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	r = qcow2_create(fd, path, &make, err);
	if (!r && fsync(fd))
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	close(fd);
	if (r)
		unlink(path);
	return r;
}

/* A file without a name; -1 and errno. */
static int open_nameless(const char *folder)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s/dach-ephemeral.XXXXXX", folder) < 0)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

/* A host whose folders are all read-only has memory. */
static int open_temporary(int *fd, struct error *err)
{
	const char *folder = getenv("TMPDIR");

	if (folder && *folder == '/') {
		*fd = open_nameless(folder);
	} else {
		folder = "memory";
		*fd = open_nameless("/var/tmp");
		if (*fd < 0)
			*fd = open_nameless("/tmp");
		if (*fd < 0)
			*fd = memfd_create("dach-ephemeral", MFD_CLOEXEC);
	}
	return *fd < 0 ? error_set(err, errno, "%s: no room for what is thrown away: %s", folder,
				 strerror(errno))
		       : 0;
}

int layer_ephemeral(struct disk_spec *spec, uint64_t size, struct error *err)
{
	struct disk_file *file = &spec->file[0];
	struct qcow2_make make = {.backing = file->name,
		.backing_format = disk_format_name(file->format)};
	char *name = NULL;
	int fd = -1, r;

	if (spec->files == LIMIT_CHAIN)
		return error_set(err, EINVAL, "%s: with what is thrown away, more than %d files",
			file->name, LIMIT_CHAIN);
	r = layer_size(file->name, file->format, &make.size, err);
	if (!r)
		r = take_size(file->name, size, &make.size, err);
	if (!r)
		r = open_temporary(&fd, err);
	if (!r)
		r = qcow2_create(fd, file->name, &make, err);
	if (!r && asprintf(&name, "%s (ephemeral)", file->name) < 0)
		r = error_nomem(err);
	file = r ? NULL : realloc(spec->file, (spec->files + 1) * sizeof *file);
	if (!file) {
		free(r ? NULL : name);
		if (fd >= 0)
			close(fd);
		return r ? r : error_nomem(err);
	}
	memmove(file + 1, file, spec->files * sizeof *file);
	file[0] = (struct disk_file){.format = DISK_QCOW2, .fd = fd, .name = name};
	spec->file = file;
	spec->files++;
	return 0;
}
