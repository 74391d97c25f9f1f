/* SPDX-License-Identifier: Apache-2.0 */
#include "chain/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "protocol/limits.h"

struct resolving {
	struct disk_spec *spec;
	const struct chain_opener *opener;
	struct error *err;
	struct qcow2_header *header;
	int fd[LIMIT_CHAIN];
	bool ours[LIMIT_CHAIN]; /* opened here */
};

static int open_own(void *ctx, const char *path, bool writable, unsigned n, int above, int *fd,
	struct error *err)
{
	*fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return *fd < 0 ? error_set(err, errno, "%s: cannot be opened: %s", path, strerror(errno))
		       : 0;
}

const struct chain_opener chain_own_rights = {.open = open_own};

int chain_read_header(int fd, const char *name, struct qcow2_header *header, struct error *err)
{
	uint8_t *bytes = malloc(QCOW2_HEADER_READ);
	ssize_t n = bytes ? io_pread_all(fd, bytes, QCOW2_HEADER_READ, 0) : -ENOMEM;
	int r = n < 0 ? error_set(err, (int)-n, "%s: cannot be read: %s", name, strerror((int)-n))
		      : qcow2_header_parse(bytes, (size_t)n, name, header, err);

	free(bytes);
	return r;
}

/* What stands before a colon, if that is before any slash. */
static bool is_no_file(const char *name, int *length)
{
	*length = (int)strcspn(name, ":/");
	return name[*length] == ':';
}

static int check_backing(const struct resolving *r, unsigned n)
{
	const char *above = r->spec->file[n].name, *name = r->header->backing;
	const char *format = r->header->backing_format;
	int length;

	if (is_no_file(name, &length))
		return error_set(r->err, ENOTSUP,
			"%s: its backing file is given as '%.*s:', which dach does not follow",
			above, length, name);
	if (!*format)
		return error_set(r->err, EINVAL,
			"%s: does not say which format its backing file %s has; 'qemu-img rebase -u -b "
			"FILE -F FORMAT' adds that",
			above, name);
	if (strcmp(format, "raw") && strcmp(format, "qcow2"))
		return error_set(r->err, ENOTSUP,
			"%s: the format of its backing file, %s, is neither raw nor qcow2", above,
			format);
	if (n + 1 == LIMIT_CHAIN)
		return error_set(r->err, EINVAL, "%s: a chain of more than %d files",
			r->spec->file[0].name, LIMIT_CHAIN);
	return 0;
}

/* The backing file's name as we would write it; NULL: out of memory. */
static char *path_of(const char *above, const char *name)
{
	const char *slash = strrchr(above, '/');
	char *path;

	if (*name == '/' || !slash)
		return strdup(name);
	return asprintf(&path, "%.*s%s", (int)(slash + 1 - above), above, name) < 0 ? NULL : path;
}

static int append(struct resolving *r, unsigned n)
{
	struct disk_spec *spec = r->spec;
	struct disk_file *larger = realloc(spec->file, (n + 2) * sizeof *larger);
	bool raw = !strcmp(r->header->backing_format, "raw");
	char *path;

	if (!larger)
		return error_nomem(r->err);
	spec->file = larger;
	path = path_of(spec->file[n].name, r->header->backing);
	if (!path)
		return error_nomem(r->err);
	spec->file[n + 1] =
		(struct disk_file){.format = raw ? DISK_RAW : DISK_QCOW2, .fd = -1, .name = path};
	spec->files = n + 2;
	return 0;
}

/* Not one that is in the chain already. */
static int check_loop(const struct resolving *r, unsigned n)
{
	struct stat st, other;

	if (fstat(r->fd[n], &st))
		return error_set(r->err, errno, "%s: %s", r->spec->file[n].name, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(r->err, EINVAL, "%s: neither a file nor a block device",
			r->spec->file[n].name);
	for (unsigned i = 0; i < n; i++)
		if (!fstat(r->fd[i], &other) && st.st_dev == other.st_dev &&
			st.st_ino == other.st_ino && st.st_rdev == other.st_rdev)
			return error_set(r->err, EINVAL,
				"%s: its backing files lead in a circle, back to %s",
				r->spec->file[0].name, r->spec->file[i].name);
	return 0;
}

static int open_file(struct resolving *r, unsigned n)
{
	const struct disk_file *file = &r->spec->file[n];
	bool writable = !n && !r->spec->readonly;
	int code = 0;

	r->fd[n] = file->fd;
	if (file->fd < 0) {
		code = r->opener->open(r->opener->ctx, file->name, writable, n,
			n ? r->fd[n - 1] : -1, &r->fd[n], r->err);
		r->ours[n] = !code;
	}
	return code ? code : check_loop(r, n);
}

/* What comes from an NBD server is raw, and nothing is to be opened here. */
static int resolve_remote(struct resolving *r)
{
	const struct disk_file *file = &r->spec->file[0];

	r->fd[0] = -1;
	return file->format == DISK_RAW
		? 0
		: error_set(r->err, ENOTSUP,
			  "%s: a disk on an NBD server is raw here; let the server read the format (qemu-nbd -f %s)",
			  file->name, disk_format_name(file->format));
}

static int resolve(struct resolving *r, unsigned *n)
{
	if (disk_is_remote(r->spec->file[0].name) && r->spec->file[0].fd < 0)
		return resolve_remote(r);
	for (*n = 0;; ++*n) {
		const struct disk_file *file = &r->spec->file[*n];
		int code = open_file(r, *n);

		if (code || file->format != DISK_QCOW2)
			return code;
		code = chain_read_header(r->fd[*n], file->name, r->header, r->err);
		if (code || !r->header->backing[0])
			return code;
		code = check_backing(r, *n);
		if (!code)
			code = append(r, *n);
		if (code)
			return code;
	}
}

int chain_resolve(struct disk_spec *spec, const struct chain_opener *opener, bool keep,
	struct error *err)
{
	struct resolving r = {.spec = spec, .opener = opener, .err = err};
	unsigned n = 0;
	int code;

	r.header = malloc(sizeof *r.header);
	code = r.header ? resolve(&r, &n) : error_nomem(err);
	free(r.header);
	for (unsigned i = 0; i <= n; i++) {
		if (!code && keep)
			spec->file[i].fd = r.fd[i];
		else if (r.ours[i])
			close(r.fd[i]);
	}
	return code;
}
