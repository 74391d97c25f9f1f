/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ext2fs/ext2fs.h>

#include "base/io.h"

#define SUPER_OFFSET 1024u
#define SUPER_SIZE 1024u
#define GROUPS_MAX (1u << 20) /* 128 TiB; the library keeps up to 64 bytes for each */
#define CHUNK (1u << 20)
#define LINKS_MAX 8u    /* followed on the way to a file */
#define LINK_ROOM 4096u /* for what one says */
#define LIST_MAX 65536u /* of a folder's names */

struct volume {
	ext2_filsys fs;
	uint64_t offset; /* on the disk */
	const char *name;
};

/* The library's way to the disk: a part of it, whose place the name tells ("WHERE OFFSET SIZE"). */

struct place {
	const struct disk_bytes *bytes;
	uint64_t offset, size;
};

static errcode_t place_close(io_channel channel)
{
	if (--channel->refcount > 0)
		return 0;
	free(channel->private_data);
	free(channel->name);
	free(channel);
	return 0;
}

static errcode_t place_block_size(io_channel channel, int size)
{
	channel->block_size = size;
	return 0;
}

/* A negative count is one of bytes. */
static errcode_t place_read64(io_channel channel, unsigned long long block, int count, void *data)
{
	const struct place *place = channel->private_data;
	uint64_t unit = (uint64_t)channel->block_size, at, len;

	len = count < 0 ? 0ull - (int64_t)count : (uint64_t)count * unit;
	if (__builtin_mul_overflow(block, unit, &at) || at > place->size || len > place->size - at)
		return EXT2_ET_SHORT_READ;
	return partition_read(place->bytes, place->offset + at, data, len) ? 0 : EXT2_ET_SHORT_READ;
}

static errcode_t place_read(io_channel channel, unsigned long block, int count, void *data)
{
	return place_read64(channel, block, count, data);
}

static errcode_t place_write64(io_channel channel, unsigned long long block, int count,
	const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t place_write(io_channel channel, unsigned long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t place_flush(io_channel channel)
{
	return 0;
}

static errcode_t place_open(const char *name, int flags, io_channel *out);

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "part of a disk",
	.open = place_open,
	.close = place_close,
	.set_blksize = place_block_size,
	.read_blk = place_read,
	.write_blk = place_write,
	.flush = place_flush,
	.read_blk64 = place_read64,
	.write_blk64 = place_write64,
};

static errcode_t place_open(const char *name, int flags, io_channel *out)
{
	struct place *place = calloc(1, sizeof *place);
	io_channel channel = calloc(1, sizeof *channel);
	char *copy = strdup(name);

	if (!place || !channel || !copy ||
		sscanf(name, "%p %" SCNu64 " %" SCNu64, (void **)&place->bytes, &place->offset,
			&place->size) != 3) {
		free(place);
		free(channel);
		free(copy);
		return EXT2_ET_NO_MEMORY;
	}
	channel->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	channel->manager = &manager;
	channel->name = copy;
	channel->block_size = SUPER_SIZE;
	channel->refcount = 1;
	channel->private_data = place;
	*out = channel;
	return 0;
}

/* Whether it is worth the library's while: it believes what a superblock says of its tables' sizes. */
static bool is_sane(const struct ext2_super_block *super)
{
	uint32_t blocks = ext2fs_le32_to_cpu(super->s_blocks_count);
	uint32_t in_group = ext2fs_le32_to_cpu(super->s_blocks_per_group);

	/* More than 2^32 blocks are more than a kernel's disk needs. */
	if (ext2fs_le32_to_cpu(super->s_feature_incompat) & EXT4_FEATURE_INCOMPAT_64BIT &&
		super->s_blocks_count_hi)
		return false;
	return in_group && blocks / in_group < GROUPS_MAX;
}

int volume_open(const struct disk_bytes *bytes, const char *name, const struct partition *where,
	struct volume **out, struct error *err)
{
	const int flags = EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS | EXT2_FLAG_SKIP_MMP;
	struct ext2_super_block super;
	struct volume *volume;
	char place[80];
	errcode_t code;

	*out = NULL;
	if (where->size < SUPER_OFFSET + SUPER_SIZE ||
		!partition_read(bytes, where->offset + SUPER_OFFSET, &super, sizeof super) ||
		ext2fs_le16_to_cpu(super.s_magic) != EXT2_SUPER_MAGIC)
		return -ENODATA;
	if (!is_sane(&super))
		return error_set(err, EINVAL,
			"%s: its file system is too large, or damaged: a kernel is not looked for in it",
			name);
	initialize_ext2_error_table();
	volume = calloc(1, sizeof *volume);
	if (!volume)
		return error_nomem(err);
	volume->name = name;
	volume->offset = where->offset;
	snprintf(place, sizeof place, "%p %" PRIu64 " %" PRIu64, (const void *)bytes, where->offset,
		where->size);
	code = ext2fs_open2(place, NULL, flags, 0, 0, &manager, &volume->fs);
	if (code) {
		free(volume);
		return error_set(err, EINVAL, "%s: its file system cannot be read: %s", name,
			error_message(code));
	}
	*out = volume;
	return 0;
}

void volume_close(struct volume *volume)
{
	if (!volume)
		return;
	ext2fs_free(volume->fs);
	free(volume);
}

static int bad(const struct volume *volume, const char *path, errcode_t code, struct error *err)
{
	return error_set(err, EIO, "%s: %s cannot be read: %s", volume->name, path,
		error_message(code));
}

/* What a symbolic link says, with a 0 behind it. */
static errcode_t read_link(ext2_filsys fs, ext2_ino_t number, struct ext2_inode *inode,
	char target[LINK_ROOM])
{
	uint64_t size = EXT2_I_SIZE(inode);
	ext2_file_t file;
	unsigned got = 0;
	errcode_t code;

	memset(target, 0, LINK_ROOM);
	if (size >= LINK_ROOM)
		return EXT2_ET_FILE_TOO_BIG;
	if (ext2fs_is_fast_symlink(inode)) {
		memcpy(target, inode->i_block, size);
		return 0;
	}
	code = ext2fs_file_open(fs, number, 0, &file);
	if (code)
		return code;
	code = ext2fs_file_read(file, target, (unsigned)size, &got);
	ext2fs_file_close(file);
	return code;
}

/* An absolute path's inode. The library's own way there takes as much memory as a link says it is long. */
static errcode_t find(ext2_filsys fs, const char *path, ext2_ino_t *found)
{
	char rest[2 * LINK_ROOM], next[2 * LINK_ROOM], target[LINK_ROOM], *at = rest;
	struct ext2_inode inode;
	unsigned links = 0;

	if (snprintf(rest, sizeof rest, "%s", path) >= (int)sizeof rest)
		return EXT2_ET_FILE_NOT_FOUND;
	*found = EXT2_ROOT_INO;
	for (;;) {
		size_t len = strcspn(at += strspn(at, "/"), "/");
		ext2_ino_t child;
		errcode_t code;

		if (!len)
			return 0;
		code = ext2fs_lookup(fs, *found, at, (int)len, NULL, &child);
		if (!code)
			code = ext2fs_read_inode(fs, child, &inode);
		if (code)
			return code;
		at += len;
		if (!LINUX_S_ISLNK(inode.i_mode)) {
			*found = child;
			continue;
		}
		code = ++links > LINKS_MAX ? EXT2_ET_SYMLINK_LOOP
					   : read_link(fs, child, &inode, target);
		if (code)
			return code;
		if (snprintf(next, sizeof next, "%s/%s", target, at) >= (int)sizeof next)
			return EXT2_ET_SYMLINK_LOOP;
		if (*target == '/')
			*found = EXT2_ROOT_INO;
		memcpy(rest, next, sizeof rest);
		at = rest;
	}
}

static int open_file(struct volume *volume, const char *path, uint64_t max, ext2_file_t *file,
	uint64_t *size, struct error *err)
{
	errcode_t code;
	ext2_ino_t inode;
	__u64 bytes;

	code = find(volume->fs, path, &inode);
	if (code == EXT2_ET_FILE_NOT_FOUND || code == EXT2_ET_NO_DIRECTORY)
		return -ENOENT;
	if (code)
		return bad(volume, path, code, err);
	code = ext2fs_file_open(volume->fs, inode, 0, file);
	if (code)
		return bad(volume, path, code, err);
	if (!LINUX_S_ISREG(ext2fs_file_get_inode(*file)->i_mode)) {
		ext2fs_file_close(*file);
		return error_set(err, EINVAL, "%s: %s is not a regular file", volume->name, path);
	}
	code = ext2fs_file_get_lsize(*file, &bytes);
	*size = bytes;
	if (!code && bytes <= max)
		return 0;
	ext2fs_file_close(*file);
	if (code)
		return bad(volume, path, code, err);
	return error_set(err, EFBIG, "%s: %s is larger than %" PRIu64 " KiB", volume->name, path,
		max >> 10);
}

int volume_find(struct volume *volume, const char *path, struct error *err)
{
	ext2_file_t file;
	uint64_t size;
	int r = open_file(volume, path, UINT64_MAX, &file, &size, err);

	if (!r)
		ext2fs_file_close(file);
	return r;
}

enum volume_kind volume_look(struct volume *volume, const char *path, uint64_t *size)
{
	struct ext2_inode inode;
	ext2_ino_t number;

	if (find(volume->fs, path, &number) || ext2fs_read_inode(volume->fs, number, &inode))
		return VOLUME_NOTHING;
	if (size)
		*size = EXT2_I_SIZE(&inode);
	if (LINUX_S_ISDIR(inode.i_mode))
		return VOLUME_FOLDER;
	return LINUX_S_ISREG(inode.i_mode) ? VOLUME_FILE : VOLUME_OTHER;
}

bool volume_place(struct volume *volume, const char *path, size_t size, uint64_t *offset)
{
	const uint32_t strange = EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL | EXT4_VERITY_FL |
		EXT2_IMMUTABLE_FL | EXT2_COMPR_FL;
	struct ext2_inode inode;
	ext2_ino_t number;
	blk64_t block = 0;
	int flags = 0;

	if (find(volume->fs, path, &number) || ext2fs_read_inode(volume->fs, number, &inode) ||
		!LINUX_S_ISREG(inode.i_mode) || inode.i_flags & strange ||
		EXT2_I_SIZE(&inode) != size || size > volume->fs->blocksize ||
		ext2fs_bmap2(volume->fs, number, &inode, NULL, 0, 0, &flags, &block))
		return false;
	*offset = volume->offset + block * volume->fs->blocksize;
	return block && block < ext2fs_blocks_count(volume->fs->super) &&
		!(flags & BMAP_RET_UNINIT);
}

struct volume_listing {
	bool (*each)(void *to, const char *name);
	void *to;
	unsigned left;
};

static int list_entry(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset,
	int block_size, char *buffer, void *data)
{
	struct volume_listing *listing = data;
	char name[EXT2_NAME_LEN + 1];
	int len = ext2fs_dirent_name_len(dirent);

	memcpy(name, dirent->name, (size_t)len);
	name[len] = 0;
	/* A name with a 0 in it is none. */
	if (entry != DIRENT_OTHER_FILE || strlen(name) != (size_t)len)
		return 0;
	return !listing->left-- || !listing->each(listing->to, name) ? DIRENT_ABORT : 0;
}

void volume_list(struct volume *volume, const char *path, bool (*each)(void *to, const char *name),
	void *to)
{
	struct volume_listing listing = {each, to, LIST_MAX};
	ext2_ino_t number;

	if (!find(volume->fs, path, &number))
		ext2fs_dir_iterate2(volume->fs, number, 0, NULL, list_entry, &listing);
}

/* Up to len bytes, fewer only at the file's end. */
static int read_some(struct volume *volume, const char *path, ext2_file_t file, char *to,
	size_t len, size_t *got, struct error *err)
{
	unsigned n = 1;

	for (*got = 0; n && *got < len; *got += n) {
		errcode_t code = ext2fs_file_read(file, to + *got, (unsigned)(len - *got), &n);

		if (code)
			return bad(volume, path, code, err);
	}
	return 0;
}

int volume_read(struct volume *volume, const char *path, uint64_t max, char **bytes, size_t *size,
	struct error *err)
{
	ext2_file_t file;
	uint64_t whole;
	int r = open_file(volume, path, max, &file, &whole, err);

	*bytes = NULL;
	*size = 0;
	if (r)
		return r;
	*bytes = calloc(1, whole + 1);
	r = *bytes ? read_some(volume, path, file, *bytes, whole, size, err) : error_nomem(err);
	ext2fs_file_close(file);
	if (r) {
		free(*bytes);
		*bytes = NULL;
	}
	return r;
}

static int write_all(int to, uint64_t at, const char *bytes, size_t len, struct error *err)
{
	int r = io_pwrite_all(to, bytes, len, at);

	return r ? error_set(err, -r, "a file in memory: %s", strerror(-r)) : 0;
}

int volume_copy(struct volume *volume, const char *path, uint64_t max, int to, uint64_t at,
	uint64_t *size, struct error *err)
{
	char *chunk = malloc(CHUNK);
	ext2_file_t file;
	uint64_t done = 0;
	int r = chunk ? open_file(volume, path, max, &file, size, err) : error_nomem(err);

	if (r) {
		free(chunk);
		return r;
	}
	while (!r && done < *size) {
		size_t got = *size - done < CHUNK ? *size - done : CHUNK;

		r = read_some(volume, path, file, chunk, got, &got, err);
		if (!r)
			r = got ? write_all(to, at + done, chunk, got, err)
				: error_set(err, EIO, "%s: %s ends too early", volume->name, path);
		done += got;
	}
	ext2fs_file_close(file);
	free(chunk);
	return r;
}
