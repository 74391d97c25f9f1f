/* SPDX-License-Identifier: Apache-2.0 */
/* Also a part of the agent itself, so without what our libraries have. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack.h"

struct packer {
	int fd, tell;
	char *why;
	char path[PACK_PATH_MAX + 2]; /* of where we are, beneath the whole */
	const char *whole;            /* for sentences */
};

static int fail(struct packer *packer, const char *what)
{
	const int error = errno;

	snprintf(packer->why, PACK_WHY, "%s%s%s: %s", packer->whole, *packer->path ? "/" : "",
		packer->path, what ? what : strerror(error));
	return -1;
}

static int put(struct packer *packer, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size) {
		ssize_t n = write(packer->fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE) {
			*packer->why = 0; /* who took it has told why it does not any more */
			return -1;
		}
		if (n <= 0)
			return fail(packer, NULL);
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int put_entry(struct packer *packer, enum pack_kind kind, const struct stat *st,
	uint64_t size, const char *target)
{
	const size_t path = strlen(packer->path) + 1, more = target ? strlen(target) + 1 : 0;
	const struct pack_header header = {kind, sizeof(struct pack_entry) + path + more};
	const struct pack_entry entry = {.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.nsec = (uint32_t)st->st_mtim.tv_nsec,
		.mtime = st->st_mtim.tv_sec,
		.size = size};

	return put(packer, &header, sizeof header) || put(packer, &entry, sizeof entry) ||
			put(packer, packer->path, path) || put(packer, target, more)
		? -1
		: 0;
}

/* From offset to end, or as far as there is something. */
static int put_data(struct packer *packer, int file, bool seeks, uint64_t offset, uint64_t end)
{
	static char bytes[PACK_DATA_MAX];

	while (offset < end) {
		const size_t most =
			end - offset < sizeof bytes ? (size_t)(end - offset) : sizeof bytes;
		ssize_t n =
			seeks ? pread(file, bytes, most, (off_t)offset) : read(file, bytes, most);
		struct pack_header header = {PACK_DATA, sizeof offset};

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(packer, NULL);
		if (!n)
			break;
		header.length += n;
		if (put(packer, &header, sizeof header) || put(packer, &offset, sizeof offset) ||
			put(packer, bytes, (size_t)n))
			return -1;
		offset += (size_t)n;
	}
	return 0;
}

/* Its data, and not its holes. */
static int put_file(struct packer *packer, int file, const struct stat *st)
{
	/* Files of the kernel's have no size, and something in them. */
	const uint64_t size = st->st_size ? (uint64_t)st->st_size : PACK_UNKNOWN;
	off_t at = 0, hole;

	if (put_entry(packer, PACK_FILE, st, size, NULL))
		return -1;
	while ((uint64_t)at < size) {
		off_t data = size == PACK_UNKNOWN ? -1 : lseek(file, at, SEEK_DATA);

		if (data < 0 && size != PACK_UNKNOWN && errno == ENXIO)
			return 0; /* a hole to the end */
		hole = data < 0 ? -1 : lseek(file, data, SEEK_HOLE);
		if (data < 0 || hole <= data) /* one that does not tell */
			return put_data(packer, file, size != PACK_UNKNOWN, 0, size);
		if ((uint64_t)hole > size)
			hole = (off_t)size;
		if (put_data(packer, file, true, (uint64_t)data, (uint64_t)hole))
			return -1;
		at = hole;
	}
	return 0;
}

static int put_any(struct packer *packer, int folder, const char *name);

static int put_folder(struct packer *packer, int fd, const struct stat *st)
{
	DIR *dir = fdopendir(fd);
	const size_t len = strlen(packer->path);
	struct dirent *entry;
	int r;

	if (!dir) {
		close(fd);
		return fail(packer, NULL);
	}
	r = put_entry(packer, PACK_FOLDER, st, 0, NULL);
	while (!r && (errno = 0, entry = readdir(dir))) {
		const size_t more = strlen(entry->d_name);

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (len + 1 + more > PACK_PATH_MAX) {
			r = fail(packer, "a path beneath it is too long");
			break;
		}
		snprintf(packer->path + len, sizeof packer->path - len, "%s%s", len ? "/" : "",
			entry->d_name);
		r = put_any(packer, dirfd(dir), entry->d_name);
		packer->path[len] = 0;
	}
	if (!r && errno)
		r = fail(packer, NULL);
	if (!r)
		r = put_entry(packer, PACK_LEAVE, st, 0, NULL);
	closedir(dir);
	return r;
}

static int put_link(struct packer *packer, int folder, const char *name, const struct stat *st)
{
	char target[PACK_PATH_MAX + 1];
	ssize_t n = readlinkat(folder, name, target, sizeof target);

	if (n < 0)
		return fail(packer, NULL);
	if (n == sizeof target)
		return fail(packer, "a link that is too long");
	target[n] = 0;
	return put_entry(packer, PACK_LINK, st, 0, target);
}

static int put_any(struct packer *packer, int folder, const char *name)
{
	struct stat st;
	int fd, r;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
		return fail(packer, NULL);
	if (S_ISLNK(st.st_mode))
		return put_link(packer, folder, name, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		if (packer->tell >= 0)
			dprintf(packer->tell,
				"dach: %s%s%s: left out: neither a file, a folder nor a link\n",
				packer->whole, *packer->path ? "/" : "", packer->path);
		return 0;
	}
	fd = openat(folder, name,
		O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
			(S_ISDIR(st.st_mode) ? O_DIRECTORY : 0));
	if (fd < 0 || fstat(fd, &st)) {
		r = fail(packer, NULL);
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (S_ISDIR(st.st_mode))
		return put_folder(packer, fd, &st);
	r = S_ISREG(st.st_mode) ? put_file(packer, fd, &st) : 0;
	close(fd);
	return r;
}

static int put_end(struct packer *packer)
{
	const struct pack_header header = {PACK_END, 0};

	return put(packer, &header, sizeof header);
}

int pack_write(const char *path, int fd, int tell, char why[PACK_WHY])
{
	struct packer *packer = calloc(1, sizeof *packer);
	int r;

	if (!packer) {
		snprintf(why, PACK_WHY, "out of memory");
		return -1;
	}
	packer->fd = fd;
	packer->tell = tell;
	packer->why = why;
	packer->whole = path;
	r = put_any(packer, AT_FDCWD, path);
	if (!r)
		r = put_end(packer);
	free(packer);
	return r;
}

int pack_write_stream(int from, int fd, char why[PACK_WHY])
{
	struct packer *packer = calloc(1, sizeof *packer);
	const struct stat st = {.st_mode = 0644, .st_mtim = {.tv_nsec = UTIME_NOW}};
	int r;

	if (!packer) {
		snprintf(why, PACK_WHY, "out of memory");
		return -1;
	}
	packer->fd = fd;
	packer->tell = -1;
	packer->why = why;
	packer->whole = "standard input";
	r = put_entry(packer, PACK_FILE, &st, PACK_UNKNOWN, NULL);
	if (!r)
		r = put_data(packer, from, false, 0, PACK_UNKNOWN);
	if (!r)
		r = put_end(packer);
	free(packer);
	return r;
}
