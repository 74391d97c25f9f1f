/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "bootdisk/fs/fs.h"

#define CHUNK (1u << 20)
#define LINKS_MAX 8u    /* followed on the way to a file */
#define LINK_ROOM 4096u /* for what one says */

struct volume {
	struct fs *fs;
	const char *name;
};

static const struct fs_ops *const kinds[] = {&fs_ext, &fs_xfs, &fs_btrfs, &fs_fat};

int volume_open(const struct disk_bytes *bytes, const char *name, const struct partition *where,
	struct volume **out, struct error *err)
{
	struct volume *volume = calloc(1, sizeof *volume);
	struct error why = {""};
	int r = -ENODATA;

	*out = NULL;
	if (!volume)
		return error_nomem(err);
	volume->name = name;
	for (size_t i = 0; r == -ENODATA && i < sizeof kinds / sizeof *kinds; i++) {
		r = kinds[i]->open(bytes, where, &volume->fs, &why);
		if (r)
			continue;
		volume->fs->ops = kinds[i];
		volume->fs->bytes = bytes;
		volume->fs->where = *where;
		*out = volume;
		return 0;
	}
	free(volume);
	if (r == -ENODATA)
		return r;
	return error_set(err, EINVAL, "%s: its file system cannot be read: %s", name, why.text);
}

void volume_close(struct volume *volume)
{
	if (!volume)
		return;
	volume->fs->ops->close(volume->fs);
	free(volume);
}

/* What a symbolic link says, with a 0 behind it. */
static int read_link(struct fs *fs, const struct fs_node *node, char target[LINK_ROOM])
{
	int r;

	memset(target, 0, LINK_ROOM);
	if (node->size >= LINK_ROOM)
		return fs_fail(fs, EIO, "a symbolic link is too long");
	r = fs->ops->read(fs, node, 0, target, node->size);
	return r == -ENOENT ? -EIO : r;
}

/* An absolute path's node, from that root on. */
static int find_from(struct fs *fs, unsigned root, const char *path, struct fs_node *found)
{
	char rest[2 * LINK_ROOM], next[2 * LINK_ROOM], target[LINK_ROOM], *at = rest;
	unsigned links = 0;
	int r = fs->ops->root(fs, root, found);

	if (r || snprintf(rest, sizeof rest, "%s", path) >= (int)sizeof rest)
		return r ? r : -ENOENT;
	for (;;) {
		size_t len = strcspn(at += strspn(at, "/"), "/");
		struct fs_node child;

		if (!len)
			return 0;
		if (found->kind != FS_FOLDER || len > FS_NAME_MAX)
			return -ENOENT;
		r = fs->ops->lookup(fs, found, at, len, &child);
		if (r)
			return r;
		at += len;
		if (child.kind != FS_LINK) {
			*found = child;
			continue;
		}
		if (++links > LINKS_MAX)
			return fs_fail(fs, ELOOP, "symbolic links lead in a circle");
		r = read_link(fs, &child, target);
		if (r)
			return r;
		if (snprintf(next, sizeof next, "%s/%s", target, at) >= (int)sizeof next)
			return fs_fail(fs, ELOOP, "symbolic links are too long");
		if (*target == '/')
			r = fs->ops->root(fs, root, found);
		if (r)
			return r;
		memcpy(rest, next, sizeof rest);
		at = rest;
	}
}

/* The first place where paths may begin counts that has it. */
static int find(struct fs *fs, const char *path, struct fs_node *found)
{
	struct fs_node root;
	int r = -ENOENT;

	fs->why = "damaged";
	for (unsigned n = 0; r == -ENOENT && (!n || !fs->ops->root(fs, n, &root)); n++)
		r = find_from(fs, n, path, found);
	return r;
}

static int bad(const struct volume *volume, const char *path, struct error *err)
{
	return error_set(err, EIO, "%s: %s cannot be read: %s", volume->name, path,
		volume->fs->why);
}

static int find_file(struct volume *volume, const char *path, uint64_t max, struct fs_node *node,
	struct error *err)
{
	int r = find(volume->fs, path, node);

	if (r == -ENOENT)
		return r;
	if (r)
		return bad(volume, path, err);
	if (node->kind != FS_FILE)
		return error_set(err, EINVAL, "%s: %s is not a regular file", volume->name, path);
	if (node->size > max)
		return error_set(err, EFBIG, "%s: %s is larger than %" PRIu64 " KiB", volume->name,
			path, max >> 10);
	return 0;
}

int volume_find(struct volume *volume, const char *path, struct error *err)
{
	struct fs_node node;

	return find_file(volume, path, UINT64_MAX, &node, err);
}

enum volume_kind volume_look(struct volume *volume, const char *path, uint64_t *size)
{
	struct fs_node node;

	if (find(volume->fs, path, &node))
		return VOLUME_NOTHING;
	if (size)
		*size = node.size;
	if (node.kind == FS_FOLDER)
		return VOLUME_FOLDER;
	return node.kind == FS_FILE ? VOLUME_FILE : VOLUME_OTHER;
}

bool volume_place(struct volume *volume, const char *path, size_t size, uint64_t *offset)
{
	struct fs *fs = volume->fs;
	struct fs_node node;

	return fs->ops->place && !find(fs, path, &node) && node.kind == FS_FILE &&
		fs->ops->place(fs, &node, size, offset);
}

void volume_list(struct volume *volume, const char *path, bool (*each)(void *to, const char *name),
	void *to)
{
	struct fs_node node;

	if (!find(volume->fs, path, &node) && node.kind == FS_FOLDER)
		volume->fs->ops->list(volume->fs, &node, each, to);
}

int volume_read(struct volume *volume, const char *path, uint64_t max, char **bytes, size_t *size,
	struct error *err)
{
	struct fs_node node;
	int r = find_file(volume, path, max, &node, err);

	*bytes = NULL;
	*size = 0;
	if (r)
		return r;
	*bytes = calloc(1, node.size + 1);
	if (!*bytes)
		return error_nomem(err);
	if (volume->fs->ops->read(volume->fs, &node, 0, *bytes, node.size)) {
		free(*bytes);
		*bytes = NULL;
		return bad(volume, path, err);
	}
	*size = node.size;
	return 0;
}

static int write_all(int to, uint64_t at, const char *bytes, size_t len, struct error *err)
{
	int r = io_pwrite_all(to, bytes, len, at);

	return r ? error_set(err, -r, "a file in memory: %s", strerror(-r)) : 0;
}

int volume_copy(struct volume *volume, const char *path, uint64_t max, int to, uint64_t at,
	uint64_t *size, struct error *err)
{
	struct fs *fs = volume->fs;
	struct fs_node node = {.size = 0};
	int r = find_file(volume, path, max, &node, err);
	char *chunk = r ? NULL : malloc(CHUNK);

	if (!chunk)
		return r ? r : error_nomem(err);
	for (uint64_t done = 0; !r && done < node.size; done += CHUNK) {
		size_t len = node.size - done < CHUNK ? node.size - done : CHUNK;

		r = fs->ops->read(fs, &node, done, chunk, len)
			? bad(volume, path, err)
			: write_all(to, at + done, chunk, len, err);
	}
	*size = node.size;
	free(chunk);
	return r;
}
