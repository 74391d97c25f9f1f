/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/io.h"

#define BLOCK 512u
/* As GNU tar, bsdtar and what makes containers' images write it. Those of another user namespace (24 bytes) are not kept. */
#define CAPABILITY "SCHILY.xattr.security.capability"
#define PAX_MAX (1u << 20) /* bytes of an entry's further words */

/* A header block (ustar). */
struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[8], uname[32], gname[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct tar_header) == BLOCK, "a header is a block");

struct tar_input {
	const char *name;
	int fd;
	gzFile gzip; /* also what is not packed at all */
	ZSTD_DStream *zstd;
	uint8_t packed[64 << 10];
	ZSTD_inBuffer in;
	uint64_t left, skip; /* of the last entry: data not read, and the padding behind */
};

static int bad(const struct tar_input *tar, const char *what, struct error *err)
{
	return error_set(err, EINVAL, "%s: no tar archive that can be read: %s", tar->name, what);
}

/* Unpacking */

int tar_open(int fd, const char *name, struct tar_input **out, struct error *err)
{
	static const struct {
		const char *magic, *name;
		size_t size;
	} others[] = {{"\xfd"
		       "7zXZ",
			      "xz", 5},
		{"BZh", "bzip2", 3}};
	struct tar_input *tar = calloc(1, sizeof *tar);
	uint8_t magic[6] = {0};
	int r = 0;

	*out = NULL;
	if (!tar) {
		close(fd);
		return error_nomem(err);
	}
	tar->name = name;
	tar->fd = fd;
	if (pread(fd, magic, sizeof magic, 0) < 0)
		r = error_set(err, errno, "%s: %s", name, strerror(errno));
	for (size_t i = 0; !r && i < sizeof others / sizeof *others; i++)
		if (!memcmp(magic, others[i].magic, others[i].size))
			r = error_set(err, ENOTSUP,
				"%s: packed by %s; plain archives are read, and by gzip and zstd",
				name, others[i].name);
	if (!r && !memcmp(magic, "\x28\xb5\x2f\xfd", 4)) {
		tar->zstd = ZSTD_createDStream();
		tar->in.src = tar->packed;
		if (!tar->zstd)
			r = error_nomem(err);
	} else if (!r) {
		tar->gzip = gzdopen(fd, "rb");
		if (!tar->gzip)
			r = error_nomem(err);
	}
	if (r)
		tar_close(tar);
	else
		*out = tar;
	return r;
}

void tar_close(struct tar_input *tar)
{
	if (!tar)
		return;
	ZSTD_freeDStream(tar->zstd);
	if (tar->gzip)
		gzclose(tar->gzip);
	else
		close(tar->fd);
	free(tar);
}

/* How many bytes; 0 at the end. */
static ssize_t unzstd(struct tar_input *tar, void *to, size_t size, struct error *err)
{
	ZSTD_outBuffer out = {to, size, 0};

	while (!out.pos) {
		size_t r;

		if (tar->in.pos == tar->in.size) {
			ssize_t n = read(tar->fd, tar->packed, sizeof tar->packed);

			if (n < 0)
				return error_set(err, errno, "%s: %s", tar->name, strerror(errno));
			if (!n)
				return 0;
			tar->in.size = (size_t)n;
			tar->in.pos = 0;
		}
		r = ZSTD_decompressStream(tar->zstd, &out, &tar->in);
		if (ZSTD_isError(r))
			return bad(tar, ZSTD_getErrorName(r), err);
	}
	return (ssize_t)out.pos;
}

static ssize_t take_some(struct tar_input *tar, void *to, size_t size, struct error *err)
{
	int n, code;

	if (tar->zstd)
		return unzstd(tar, to, size, err);
	n = gzread(tar->gzip, to, (unsigned)size);
	return n < 0 ? bad(tar, gzerror(tar->gzip, &code), err) : n;
}

/* 1: all of it; 0: the end before anything. */
static int take(struct tar_input *tar, void *to, size_t size, struct error *err)
{
	char *at = to;
	size_t done = 0;

	while (done < size) {
		ssize_t n = take_some(tar, at + done, size - done, err);

		if (n < 0)
			return (int)n;
		if (!n)
			return done ? bad(tar, "it has been cut off", err) : 0;
		done += (size_t)n;
	}
	return 1;
}

ssize_t tar_read(struct tar_input *tar, void *to, size_t size, struct error *err)
{
	const size_t most = tar->left < size ? (size_t)tar->left : size;
	int r;

	if (!most)
		return 0;
	r = take(tar, to, most, err);
	if (r <= 0)
		return r ? r : bad(tar, "it has been cut off", err);
	tar->left -= most;
	return (ssize_t)most;
}

static int skip_rest(struct tar_input *tar, struct error *err)
{
	char bytes[4096];
	ssize_t n;

	while (tar->left) {
		n = tar_read(tar, bytes, sizeof bytes, err);
		if (n < 0)
			return (int)n;
	}
	/* Some archives (umoci's) end with the last file's last byte. */
	while (tar->skip) {
		n = take_some(tar, bytes, tar->skip, err);
		if (n < 0)
			return (int)n;
		tar->skip = n ? tar->skip - (uint64_t)n : 0;
	}
	return 0;
}

/* Headers */

/* Octal digits, or, by GNU, the number itself behind a byte of 0x80. false: it is none, or too large. */
static bool read_number(const char *field, size_t size, uint64_t *number)
{
	size_t i = 0;

	*number = 0;
	if ((unsigned char)field[0] == 0x80) {
		for (i = 1; i < size; i++) {
			if (*number >> 56)
				return false;
			*number = *number << 8 | (unsigned char)field[i];
		}
		return *number <= INT64_MAX;
	}
	while (i < size && field[i] == ' ')
		i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
		*number = *number << 3 | (unsigned)(field[i] - '0');
	return i == size || field[i] == ' ' || !field[i];
}

static bool sum_is_right(const struct tar_header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	uint64_t wanted, sum = 0;

	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= offsetof(struct tar_header, sum) &&
				i < offsetof(struct tar_header, type)
			? ' '
			: bytes[i];
	return read_number(header->sum, sizeof header->sum, &wanted) && wanted == sum;
}

static bool is_empty(const struct tar_header *header)
{
	static const char zeroes[BLOCK];

	return !memcmp(header, zeroes, BLOCK);
}

/* Words that an entry has before its header: a longer name, numbers. */
struct further {
	bool path, link, size, uid, gid, mtime;
	struct tar_entry entry;
};

static int set_path(const struct tar_input *tar, char *to, const char *from, size_t len,
	struct error *err)
{
	if (len > TAR_PATH_MAX || memchr(from, 0, len))
		return bad(tar, "a name that is too long, or none", err);
	memcpy(to, from, len);
	to[len] = 0;
	return 0;
}

static bool read_decimal(const char *text, size_t len, uint64_t *number)
{
	char copy[32], *end;

	if (!len || len >= sizeof copy || text[0] == '-')
		return false;
	memcpy(copy, text, len);
	copy[len] = 0;
	errno = 0;
	*number = strtoull(copy, &end, 10);
	return !errno && (!*end || *end == '.') && *number <= INT64_MAX;
}

static int take_word(const struct tar_input *tar, struct further *further, const char *key,
	size_t key_len, const char *value, size_t len, struct error *err)
{
	struct tar_entry *entry = &further->entry;
	uint64_t mtime;
#define IS(word) (key_len == sizeof word - 1 && !memcmp(key, word, key_len))

	if (IS("path")) {
		further->path = true;
		return set_path(tar, entry->path, value, len, err);
	}
	if (IS("linkpath")) {
		further->link = true;
		return set_path(tar, entry->link, value, len, err);
	}
	if (key_len > 11 && !memcmp(key, "GNU.sparse.", 11))
		return bad(tar, "a sparse file, of which there are too many kinds", err);
	if (IS("size"))
		return further->size = read_decimal(value, len, &entry->size), 0;
	if (IS("uid"))
		return further->uid = read_decimal(value, len, &entry->uid), 0;
	if (IS("gid"))
		return further->gid = read_decimal(value, len, &entry->gid), 0;
	if (IS("mtime") && read_decimal(value, len, &mtime)) {
		further->mtime = true;
		entry->mtime = (int64_t)mtime;
	}
	if (IS(CAPABILITY) && len == sizeof entry->capability) {
		entry->capable = true;
		memcpy(entry->capability, value, len);
	}
#undef IS
	return 0;
}

/* "12 key=value\n", again and again. */
static int take_words(const struct tar_input *tar, struct further *further, const char *at,
	size_t size, struct error *err)
{
	const char *end = at + size;

	while (at < end && *at) {
		size_t len = 0;
		const char *word = at, *sign;

		while (word < end && *word >= '0' && *word <= '9' && len < PAX_MAX)
			len = len * 10 + (size_t)(*word++ - '0');
		if (word == end || *word != ' ' || len > (size_t)(end - at) ||
			len < (size_t)(word - at) + 3 || at[len - 1] != '\n')
			return bad(tar, "words of an entry that make no sense", err);
		word++;
		sign = memchr(word, '=', (size_t)(at + len - 1 - word));
		if (!sign)
			return bad(tar, "words of an entry that make no sense", err);
		if (take_word(tar, further, word, (size_t)(sign - word), sign + 1,
			    (size_t)(at + len - 1 - sign - 1), err))
			return -EINVAL;
		at += len;
	}
	return 0;
}

static void set_data(struct tar_input *tar, uint64_t size)
{
	tar->left = size;
	tar->skip = -size % BLOCK;
}

/* What stands before an entry's own header: GNU's names, POSIX's words. */
static int take_further(struct tar_input *tar, char type, uint64_t size, struct further *further,
	struct error *err)
{
	char *text;
	int r;

	if (size > PAX_MAX)
		return bad(tar, "words of an entry that are too long", err);
	set_data(tar, size);
	if (type == 'g')
		return skip_rest(tar, err);
	text = malloc(size + 1);
	if (!text)
		return error_nomem(err);
	text[size] = 0;
	r = size && tar_read(tar, text, size, err) < 0 ? -EINVAL : 0;
	if (!r && type == 'x') {
		r = take_words(tar, further, text, size, err);
	} else if (!r) {
		bool *has = type == 'L' ? &further->path : &further->link;

		*has = true;
		r = set_path(tar, type == 'L' ? further->entry.path : further->entry.link, text,
			strlen(text), err);
	}
	free(text);
	return r ? r : skip_rest(tar, err);
}

static enum tar_kind kind_of(char type, const char *path)
{
	const size_t len = strlen(path);

	switch (type) {
	case 0:
	case '0':
	case '7':
		return len && path[len - 1] == '/' ? TAR_FOLDER : TAR_FILE;
	case '1':
		return TAR_LINK;
	case '2':
		return TAR_SYMLINK;
	case '5':
		return TAR_FOLDER;
	default:
		return TAR_OTHER;
	}
}

static int fill(struct tar_input *tar, const struct tar_header *header, uint64_t size,
	const struct further *further, struct tar_entry *entry, struct error *err)
{
	uint64_t mode, uid, gid, mtime;

	if (!read_number(header->mode, sizeof header->mode, &mode) ||
		!read_number(header->uid, sizeof header->uid, &uid) ||
		!read_number(header->gid, sizeof header->gid, &gid))
		return bad(tar, "a number that is none", err);
	if (!read_number(header->mtime, sizeof header->mtime, &mtime))
		mtime = 0; /* before 1970 */
	*entry = further->entry;
	if (!further->path)
		snprintf(entry->path, sizeof entry->path, "%.*s%s%.*s",
			!memcmp(header->magic, "ustar", 6) ? (int)sizeof header->prefix : 0,
			header->prefix,
			!memcmp(header->magic, "ustar", 6) && header->prefix[0] ? "/" : "",
			(int)sizeof header->name, header->name);
	if (!further->link)
		snprintf(entry->link, sizeof entry->link, "%.*s", (int)sizeof header->link,
			header->link);
	entry->mode = mode & 07777;
	entry->uid = further->uid ? further->entry.uid : uid;
	entry->gid = further->gid ? further->entry.gid : gid;
	entry->mtime = further->mtime ? further->entry.mtime : (int64_t)mtime;
	entry->kind = kind_of(header->type, entry->path);
	entry->capable &= entry->kind == TAR_FILE;
	if (header->type == 'S')
		return bad(tar, "a sparse file, of which there are too many kinds", err);
	entry->size = entry->kind == TAR_FILE ? further->size ? further->entry.size : size : 0;
	/* Only files have data; what another kind says of its size is skipped, as everybody does but for links. */
	set_data(tar,
		entry->kind == TAR_FILE                              ? entry->size
			: header->type >= '1' && header->type <= '6' ? 0
								     : size);
	return 1;
}

int tar_next(struct tar_input *tar, struct tar_entry *entry, struct error *err)
{
	struct further *further = calloc(1, sizeof *further);
	struct tar_header header;
	uint64_t size;
	int r = further ? skip_rest(tar, err) : error_nomem(err);

	while (!r) {
		r = take(tar, &header, sizeof header, err);
		if (r <= 0 || is_empty(&header)) {
			r = r < 0 ? r : 0;
			break;
		}
		if (!sum_is_right(&header) ||
			!read_number(header.size, sizeof header.size, &size)) {
			r = bad(tar, "a header whose sum is wrong", err);
			break;
		}
		if (!header.type || !strchr("xgLK", header.type)) {
			r = fill(tar, &header, size, further, entry, err);
			break;
		}
		r = take_further(tar, header.type, size, further, err);
	}
	free(further);
	return r;
}

/* Writing */

int tar_write_data(int fd, const void *from, size_t size, struct error *err)
{
	int r = io_write_all(fd, from, size);

	return r ? error_set(err, -r, "the archive of the root: %s", strerror(-r)) : 0;
}

int tar_write_padding(int fd, uint64_t size, struct error *err)
{
	static const char zeroes[BLOCK];

	return tar_write_data(fd, zeroes, -size % BLOCK, err);
}

static int write_header(int fd, struct tar_header *header, struct error *err)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned sum = 0;

	memcpy(header->magic, "ustar\00000", 8);
	memset(header->sum, ' ', sizeof header->sum);
	for (size_t i = 0; i < BLOCK; i++)
		sum += bytes[i];
	snprintf(header->sum, sizeof header->sum, "%06o", sum);
	return tar_write_data(fd, header, BLOCK, err);
}

/* Its length counts itself. */
static size_t add_bytes(char *to, const char *key, const void *value, size_t size)
{
	const size_t rest = strlen(key) + size + 3;
	size_t len = rest + 1;

	for (unsigned i = 0; i < 3; i++)
		len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
	to += sprintf(to, "%zu %s=", len, key);
	memcpy(to, value, size);
	to[size] = '\n';
	return len;
}

static size_t add_word(char *to, const char *key, const char *value)
{
	return add_bytes(to, key, value, strlen(value));
}

static int write_words(int fd, const struct tar_entry *entry, struct error *err)
{
	static char text[4 * (TAR_PATH_MAX + 64)];
	struct tar_header header = {.name = "pax",
		.mode = "0000644",
		.uid = "0000000",
		.gid = "0000000",
		.mtime = "00000000000",
		.type = 'x'};
	char number[32];
	size_t size = add_word(text, "path", entry->path);
	int r;

	if (entry->kind == TAR_SYMLINK || entry->kind == TAR_LINK)
		size += add_word(text + size, "linkpath", entry->link);
	snprintf(number, sizeof number, "%llu", (unsigned long long)entry->size);
	size += add_word(text + size, "size", number);
	snprintf(number, sizeof number, "%llu", (unsigned long long)entry->uid);
	size += add_word(text + size, "uid", number);
	snprintf(number, sizeof number, "%llu", (unsigned long long)entry->gid);
	size += add_word(text + size, "gid", number);
	if (entry->capable)
		size += add_bytes(text + size, CAPABILITY, entry->capability,
			sizeof entry->capability);
	snprintf(header.size, sizeof header.size, "%011zo", size);
	r = write_header(fd, &header, err);
	if (!r)
		r = tar_write_data(fd, text, size, err);
	return r ? r : tar_write_padding(fd, size, err);
}

int tar_write_entry(int fd, const struct tar_entry *entry, struct error *err)
{
	static const char types[] = {[TAR_FILE] = '0',
		[TAR_FOLDER] = '5',
		[TAR_SYMLINK] = '2',
		[TAR_LINK] = '1',
		[TAR_OTHER] = 'V'};
	const bool links = entry->kind == TAR_SYMLINK || entry->kind == TAR_LINK;
	struct tar_header header = {.type = types[entry->kind]};
	int r = 0;

	/* In words what the header has no room for. */
	if (entry->capable || strlen(entry->path) > sizeof header.name || entry->uid > 07777777 ||
		entry->gid > 07777777 || entry->size > 077777777777 ||
		(links && strlen(entry->link) > sizeof header.link))
		r = write_words(fd, entry, err);
	if (r)
		return r;
	memcpy(header.name, entry->path, strnlen(entry->path, sizeof header.name));
	if (links)
		memcpy(header.link, entry->link, strnlen(entry->link, sizeof header.link));
	snprintf(header.mode, sizeof header.mode, "%07o", entry->mode & 07777);
	snprintf(header.uid, sizeof header.uid, "%07o", (unsigned)entry->uid & 07777777);
	snprintf(header.gid, sizeof header.gid, "%07o", (unsigned)entry->gid & 07777777);
	snprintf(header.size, sizeof header.size, "%011llo",
		(unsigned long long)entry->size & 077777777777);
	snprintf(header.mtime, sizeof header.mtime, "%011llo",
		(unsigned long long)(entry->mtime > 0 ? entry->mtime : 0) & 077777777777);
	return write_header(fd, &header, err);
}

int tar_write_end(int fd, struct error *err)
{
	static const char zeroes[2 * BLOCK];

	return tar_write_data(fd, zeroes, sizeof zeroes, err);
}
