/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kind of file system, read-only, as bootdisk/volume.h needs it: volume.c follows paths and links, a kind
 * finds a name in a folder and reads a file's bytes. What is on the disk is hostile: whatever it says is held
 * against the bounds of the partition, and each walk has an end. Journals are not replayed, so that what was
 * written last before a crash may be missing, as for any boot loader.
 */
#ifndef DACH_BOOTDISK_FS_FS_H
#define DACH_BOOTDISK_FS_FS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "bootdisk/partition.h"

enum fs_kind { FS_FILE, FS_FOLDER, FS_LINK, FS_OTHER };

struct fs_node {
	uint64_t id; /* the kind's own */
	enum fs_kind kind;
	uint64_t size; /* of a file, or of what a link says: bytes */
};

struct fs_ops;

/* At the beginning of each kind's own structure. */
struct fs {
	const struct fs_ops *ops;
	const struct disk_bytes *bytes;
	struct partition where;
	/* What is wrong, after a failure of the operations below; a part of a sentence. */
	const char *why;
};

struct fs_ops {
	/*
	 * A new one, of which ops, bytes and where are filled in by the caller. -ENODATA, without a
	 * sentence: the partition has no file system of this kind. Otherwise err tells why not.
	 */
	int (*open)(const struct disk_bytes *bytes, const struct partition *where, struct fs **fs,
		struct error *err);
	void (*close)(struct fs *fs);
	/* Where paths begin; n counts the places from 0 on. -ENOENT: no more. */
	int (*root)(struct fs *fs, unsigned n, struct fs_node *node);
	/* len bytes of name. -ENOENT: there is none. */
	int (*lookup)(struct fs *fs, const struct fs_node *folder, const char *name, size_t len,
		struct fs_node *node);
	/* Exactly len bytes of a file or link, which are within its size. */
	int (*read)(struct fs *fs, const struct fs_node *node, uint64_t offset, void *to,
		size_t len);
	void (*list)(struct fs *fs, const struct fs_node *folder,
		bool (*each)(void *ctx, const char *name), void *ctx);
	/* As volume_place(); NULL: never. */
	bool (*place)(struct fs *fs, const struct fs_node *node, size_t size, uint64_t *offset);
};

#define FS_NAME_MAX 255u
#define FS_LIST_MAX 65536u /* names of a folder that are looked at */

extern const struct fs_ops fs_btrfs, fs_ext, fs_fat, fs_xfs;

static inline int fs_fail(struct fs *fs, int code, const char *why)
{
	fs->why = why;
	return -code;
}

/* Of an inode's mode, as all of them write it (inode(7)). */
static inline enum fs_kind fs_kind_of_mode(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return FS_FILE;
	case S_IFDIR:
		return FS_FOLDER;
	case S_IFLNK:
		return FS_LINK;
	}
	return FS_OTHER;
}

/* Bytes of the partition. -EIO: they are not there. */
static inline int fs_bytes(struct fs *fs, uint64_t offset, void *to, size_t len)
{
	if (offset > fs->where.size || len > fs->where.size - offset ||
		!partition_read(fs->bytes, fs->where.offset + offset, to, len))
		return fs_fail(fs, EIO, "it lies beyond the partition's end");
	return 0;
}

#endif
