/* SPDX-License-Identifier: Apache-2.0 */
/* Also a part of the agent itself, so without what our libraries have. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack/pack.h"

#define ENTRY_MAX (sizeof(struct pack_entry) + 2 * (PACK_PATH_MAX + 1))
#define NAME_LEN 255

struct unpacker {
	int fd;
	char *why;
	bool owners;
	int base;                /* all goes beneath this folder ... */
	char name[NAME_LEN + 1]; /* ... as this */
	int stream;              /* or the one file's bytes here */
	bool any, over;          /* something has come; all has */
	uint64_t at;             /* stream: written so far */
	/* The file that data are for, with a name for the time being; -1: there is none. */
	int file, folder;
	char temp[NAME_LEN + 1], last[NAME_LEN + 1];
	struct pack_entry entry;
	uint8_t payload[ENTRY_MAX > 8 + PACK_DATA_MAX ? ENTRY_MAX : 8 + PACK_DATA_MAX];
};

__attribute__((format(printf, 2, 3))) static int fail(struct unpacker *u, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(u->why, PACK_WHY, fmt, args);
	va_end(args);
	for (char *c = u->why; *c; c++) /* names are the other side's */
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	return -1;
}

/* 1: all of it; 0: the end, before anything; -1. */
static int take(struct unpacker *u, void *to, size_t size)
{
	char *at = to;
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(u->fd, at + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(u, "what comes cannot be read: %s", strerror(errno));
		if (!n)
			return done ? fail(u, "what comes has been cut off") : 0;
		done += (size_t)n;
	}
	return 1;
}

/* A name in a folder. */
static bool is_name(const char *text, size_t len)
{
	return len && len <= NAME_LEN && !memchr(text, '/', len) &&
		!(text[0] == '.' && (len == 1 || (len == 2 && text[1] == '.')));
}

/* The folder that is to hold the path's last name, step by step and through no link. -1. */
static int open_folder(struct unpacker *u, const char *path, char last[NAME_LEN + 1])
{
	int folder = fcntl(u->base, F_DUPFD_CLOEXEC, 3);
	const char *name = u->name, *rest = path;
	size_t len = strlen(name);

	while (folder >= 0) {
		int next;

		memcpy(last, name, len);
		last[len] = 0;
		if (!*rest)
			return folder;
		next = openat(folder, last, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0) {
			fail(u, "%s: not a folder that has come before: %s", path, strerror(errno));
			close(folder);
			return -1;
		}
		close(folder);
		folder = next;
		name = rest;
		len = strcspn(rest, "/");
		rest += len + (rest[len] == '/');
		if (!is_name(name, len) || (!*rest && name[len] == '/')) {
			close(folder);
			return fail(u, "'%s' is no path that can come", path);
		}
	}
	return fail(u, "%s: %s", path, strerror(errno));
}

static mode_t mode_of(const struct unpacker *u, const struct pack_entry *entry)
{
	return entry->mode & (u->owners ? 07777 : 0777);
}

static void times_of(const struct pack_entry *entry, struct timespec times[2])
{
	times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
	times[1] = (struct timespec){entry->mtime,
		entry->nsec < 1000000000u ? entry->nsec : UTIME_NOW};
}

static int dress(struct unpacker *u, int fd, const struct pack_entry *entry, const char *name)
{
	struct timespec times[2];

	times_of(entry, times);
	/* Who gets a file loses its set-user-ID bit: so the mode comes behind. */
	if ((u->owners && fchown(fd, entry->uid, entry->gid)) || fchmod(fd, mode_of(u, entry)) ||
		futimens(fd, times))
		return fail(u, "%s: %s", name, strerror(errno));
	return 0;
}

static void drop_file(struct unpacker *u)
{
	if (u->file >= 0) {
		close(u->file);
		unlinkat(u->folder, u->temp, 0);
	}
	if (u->folder >= 0)
		close(u->folder);
	u->file = u->folder = -1;
}

/* A file or a link is replaced; a device is none to be lost so. */
static int check_place(struct unpacker *u)
{
	struct stat st;

	if (fstatat(u->folder, u->last, &st, AT_SYMLINK_NOFOLLOW) || S_ISREG(st.st_mode) ||
		S_ISLNK(st.st_mode))
		return 0;
	return fail(u, "%s: is there, and no file", u->last);
}

/* All of the file has come. */
static int end_file(struct unpacker *u)
{
	int r = 0;

	if (u->file < 0)
		return 0;
	r = check_place(u);
	if (!r)
		r = dress(u, u->file, &u->entry, u->last);
	if (!r && renameat(u->folder, u->temp, u->folder, u->last))
		r = fail(u, "%s: %s", u->last, strerror(errno));
	if (r) {
		drop_file(u);
		return r;
	}
	close(u->file);
	close(u->folder);
	u->file = u->folder = -1;
	return 0;
}

/* A name that nobody has; number tells tries apart. */
static void name_temp(struct unpacker *u, unsigned number)
{
	snprintf(u->temp, sizeof u->temp, ".%.200s.%d-%u", u->last, (int)getpid(), number);
}

static int begin_file(struct unpacker *u, const struct pack_entry *entry, const char *path)
{
	u->entry = *entry;
	u->folder = open_folder(u, path, u->last);
	if (u->folder < 0)
		return -1;
	for (unsigned number = 0; u->file < 0 && number < 100; number++) {
		name_temp(u, number);
		u->file = openat(u->folder, u->temp,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (u->file < 0 && errno != EEXIST)
			break;
	}
	if (u->file < 0)
		return fail(u, "%s: %s", u->last, strerror(errno));
	if (entry->size != PACK_UNKNOWN &&
		(entry->size > INT64_MAX || ftruncate(u->file, (off_t)entry->size)))
		return fail(u, "%s: %s", u->last,
			entry->size > INT64_MAX ? "no file is so large" : strerror(errno));
	return 0;
}

static int make_folder(struct unpacker *u, const char *path)
{
	int folder = open_folder(u, path, u->last), fd, r = 0;

	if (folder < 0)
		return -1;
	if (mkdirat(folder, u->last, 0700) && errno != EEXIST) {
		r = fail(u, "%s: %s", u->last, strerror(errno));
	} else {
		fd = openat(folder, u->last, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			r = fail(u, "%s: is there, and no folder", u->last);
		else
			close(fd);
	}
	close(folder);
	return r;
}

static int leave_folder(struct unpacker *u, const struct pack_entry *entry, const char *path)
{
	int folder = open_folder(u, path, u->last), fd, r;

	if (folder < 0)
		return -1;
	fd = openat(folder, u->last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	close(folder);
	if (fd < 0)
		return fail(u, "%s: %s", u->last, strerror(errno));
	r = dress(u, fd, entry, u->last);
	close(fd);
	return r;
}

static int make_link(struct unpacker *u, const struct pack_entry *entry, const char *path,
	const char *target)
{
	int folder = open_folder(u, path, u->last), r = -1;
	struct timespec times[2];

	if (folder < 0)
		return -1;
	for (unsigned number = 0; r && number < 100; number++) {
		name_temp(u, number);
		r = symlinkat(target, folder, u->temp);
		if (r && errno != EEXIST)
			break;
	}
	times_of(entry, times);
	if (r) {
		fail(u, "%s: %s", u->last, strerror(errno));
	} else if ((u->owners &&
			   fchownat(folder, u->temp, entry->uid, entry->gid,
				   AT_SYMLINK_NOFOLLOW)) ||
		utimensat(folder, u->temp, times, AT_SYMLINK_NOFOLLOW) ||
		renameat(folder, u->temp, folder, u->last)) {
		r = fail(u, "%s: %s", u->last, strerror(errno));
		unlinkat(folder, u->temp, 0);
	}
	close(folder);
	return r;
}

/* The first is the whole, all others are beneath it. */
static int take_entry(struct unpacker *u, enum pack_kind kind, size_t length)
{
	const char *path = (const char *)u->payload + sizeof u->entry, *target;
	const char *end = (const char *)u->payload + length;
	struct pack_entry entry;
	size_t len;

	if (length <= sizeof entry)
		return fail(u, "what comes makes no sense");
	memcpy(&entry, u->payload, sizeof entry);
	len = strnlen(path, (size_t)(end - path));
	target = path + len + 1;
	if (path + len == end || len > PACK_PATH_MAX || (kind == PACK_LINK) != (target != end) ||
		(kind == PACK_LINK && (end[-1] || strlen(target) + 1 != (size_t)(end - target))))
		return fail(u, "what comes makes no sense");
	if (!u->any != (!*path && kind != PACK_LEAVE))
		return fail(u, "'%s' does not come in its place", path);
	u->any = true;
	if (u->stream >= 0 && kind != PACK_FILE)
		return fail(u, "a folder or a link is no stream of bytes");
	if (u->stream >= 0)
		return 0;
	switch (kind) {
	case PACK_FILE:
		return begin_file(u, &entry, path);
	case PACK_FOLDER:
		return make_folder(u, path);
	case PACK_LEAVE:
		return leave_folder(u, &entry, path);
	default:
		return make_link(u, &entry, path, target);
	}
}

static int write_all(struct unpacker *u, int fd, bool seeks, uint64_t offset, const uint8_t *at,
	size_t size)
{
	while (size) {
		ssize_t n = seeks ? pwrite(fd, at, size, (off_t)offset) : write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(u, "%s: %s", u->last, strerror(errno));
		at += n;
		offset += (size_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* Holes are bytes there. */
static int write_stream(struct unpacker *u, uint64_t offset, const uint8_t *bytes, size_t size)
{
	static const uint8_t zeroes[4096];

	if (offset < u->at)
		return fail(u, "its bytes do not come in their order");
	while (u->at < offset) {
		const size_t n =
			offset - u->at < sizeof zeroes ? (size_t)(offset - u->at) : sizeof zeroes;

		if (write_all(u, u->stream, false, 0, zeroes, n))
			return -1;
		u->at += n;
	}
	u->at += size;
	return write_all(u, u->stream, false, 0, bytes, size);
}

static int take_data(struct unpacker *u, size_t length)
{
	const size_t size = length - sizeof(uint64_t);
	uint64_t offset;

	if (length <= sizeof offset || !u->any || (u->stream < 0 && u->file < 0))
		return fail(u, "what comes makes no sense");
	memcpy(&offset, u->payload, sizeof offset);
	if (offset > INT64_MAX - size ||
		(u->stream < 0 && u->entry.size != PACK_UNKNOWN && offset + size > u->entry.size))
		return fail(u, "%s: more comes than it was to have", u->last);
	if (u->stream >= 0)
		return write_stream(u, offset, u->payload + sizeof offset, size);
	return write_all(u, u->file, true, offset, u->payload + sizeof offset, size);
}

static int take_record(struct unpacker *u)
{
	struct pack_header header;
	int r = take(u, &header, sizeof header);
	size_t most;

	if (!r && !u->any) {
		*u->why = 0; /* nothing came: who was to send it has told why */
		return -1;
	}
	if (r <= 0)
		return r ? r : fail(u, "what comes has been cut off");
	most = header.kind == PACK_DATA   ? sizeof(uint64_t) + PACK_DATA_MAX
		: header.kind == PACK_END ? 0
					  : ENTRY_MAX;
	if (header.kind < PACK_FILE || header.kind > PACK_END || header.length > most)
		return fail(u, "what comes makes no sense");
	if (header.length && take(u, u->payload, header.length) <= 0)
		return fail(u, "what comes has been cut off");
	if (header.kind == PACK_DATA)
		return take_data(u, header.length);
	if (end_file(u))
		return -1;
	if (header.kind != PACK_END)
		return take_entry(u, header.kind, header.length);
	u->over = true;
	return u->any ? 0 : fail(u, "there is nothing to copy");
}

static int unpack(struct unpacker *u)
{
	int r = 0;

	while (!r && !u->over)
		r = take_record(u);
	if (r)
		drop_file(u);
	return r;
}

/* The folder, and the name in it: to is one, or what is to be made. */
static int find_place(struct unpacker *u, const char *to, const char *name)
{
	const char *slash;
	char folder[PACK_PATH_MAX + 1];
	size_t len = strlen(to);

	u->base = open(to, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (u->base < 0 && errno != ENOENT && errno != ENOTDIR)
		return fail(u, "%s: %s", to, strerror(errno));
	if (u->base < 0) {
		if (!len || to[len - 1] == '/' || len > PACK_PATH_MAX)
			return fail(u, "%s: there is no such folder", to);
		slash = strrchr(to, '/');
		snprintf(folder, sizeof folder, "%.*s",
			slash ? (int)(slash - to) + (slash == to) : 1, slash ? to : ".");
		name = slash ? slash + 1 : to;
		u->base = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (u->base < 0)
			return fail(u, "%s: %s", folder, strerror(errno));
	}
	if (!is_name(name, strlen(name)))
		return fail(u, "'%s' is no name for it", name);
	strcpy(u->name, name);
	return 0;
}

static struct unpacker *begin(int fd, char why[PACK_WHY])
{
	struct unpacker *u = calloc(1, sizeof *u);

	if (!u) {
		snprintf(why, PACK_WHY, "out of memory");
		return NULL;
	}
	u->fd = fd;
	u->why = why;
	u->base = u->stream = u->file = u->folder = -1;
	return u;
}

int pack_read(int fd, const char *to, const char *name, bool owners, char why[PACK_WHY])
{
	struct unpacker *u = begin(fd, why);
	int r;

	if (!u)
		return -1;
	u->owners = owners;
	r = find_place(u, to, name);
	if (!r)
		r = unpack(u);
	if (u->base >= 0)
		close(u->base);
	free(u);
	return r;
}

int pack_read_stream(int fd, int to, char why[PACK_WHY])
{
	struct unpacker *u = begin(fd, why);
	int r;

	if (!u)
		return -1;
	u->stream = to;
	strcpy(u->last, "standard output");
	r = unpack(u);
	free(u);
	return r;
}
