/* SPDX-License-Identifier: Apache-2.0 */
/* ext2, ext3 and ext4, by libext2fs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

#include "bootdisk/fs/fs.h"

#define SUPER_OFFSET 1024u
#define SUPER_SIZE 1024u
#define GROUPS_MAX (1u << 20) /* 128 TiB; the library keeps up to 64 bytes for each */

struct ext {
	struct fs fs;
	ext2_filsys lib;
	ext2_file_t file; /* the one that was read last; or NULL */
	ext2_ino_t number;
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

static void ext_close(struct fs *fs)
{
	struct ext *ext = (struct ext *)fs;

	if (ext->file)
		ext2fs_file_close(ext->file);
	ext2fs_free(ext->lib);
	free(ext);
}

static int ext_open(const struct disk_bytes *bytes, const struct partition *where, struct fs **out,
	struct error *err)
{
	const int flags = EXT2_FLAG_64BITS | EXT2_FLAG_IGNORE_CSUM_ERRORS | EXT2_FLAG_SKIP_MMP;
	struct ext2_super_block super;
	struct ext *ext;
	char place[80];
	errcode_t code;

	if (where->size < SUPER_OFFSET + SUPER_SIZE ||
		!partition_read(bytes, where->offset + SUPER_OFFSET, &super, sizeof super) ||
		ext2fs_le16_to_cpu(super.s_magic) != EXT2_SUPER_MAGIC)
		return -ENODATA;
	if (!is_sane(&super))
		return error_set(err, EINVAL,
			"it is too large, or damaged: a kernel is not looked for in it");
	initialize_ext2_error_table();
	ext = calloc(1, sizeof *ext);
	if (!ext)
		return error_nomem(err);
	snprintf(place, sizeof place, "%p %" PRIu64 " %" PRIu64, (const void *)bytes, where->offset,
		where->size);
	code = ext2fs_open2(place, NULL, flags, 0, 0, &manager, &ext->lib);
	if (code) {
		free(ext);
		return error_set(err, EINVAL, "%s", error_message(code));
	}
	*out = &ext->fs;
	return 0;
}

static int fail(struct ext *ext, errcode_t code)
{
	if (code == EXT2_ET_FILE_NOT_FOUND || code == EXT2_ET_NO_DIRECTORY)
		return -ENOENT;
	return fs_fail(&ext->fs, EIO, error_message(code));
}

static int take_node(struct ext *ext, ext2_ino_t number, struct fs_node *node)
{
	struct ext2_inode inode;
	errcode_t code = ext2fs_read_inode(ext->lib, number, &inode);

	if (code)
		return fail(ext, code);
	node->id = number;
	node->size = EXT2_I_SIZE(&inode);
	node->kind = fs_kind_of_mode(inode.i_mode);
	return 0;
}

static int ext_root(struct fs *fs, unsigned n, struct fs_node *node)
{
	return n ? -ENOENT : take_node((struct ext *)fs, EXT2_ROOT_INO, node);
}

static int ext_lookup(struct fs *fs, const struct fs_node *folder, const char *name, size_t len,
	struct fs_node *node)
{
	struct ext *ext = (struct ext *)fs;
	ext2_ino_t number;
	errcode_t code =
		ext2fs_lookup(ext->lib, (ext2_ino_t)folder->id, name, (int)len, NULL, &number);

	return code ? fail(ext, code) : take_node(ext, number, node);
}

static int open_file(struct ext *ext, ext2_ino_t number)
{
	errcode_t code;

	if (ext->file && ext->number == number)
		return 0;
	if (ext->file)
		ext2fs_file_close(ext->file);
	ext->file = NULL;
	ext->number = number;
	code = ext2fs_file_open(ext->lib, number, 0, &ext->file);
	if (code)
		ext->file = NULL;
	return code ? fail(ext, code) : 0;
}

static int ext_read(struct fs *fs, const struct fs_node *node, uint64_t offset, void *to,
	size_t len)
{
	struct ext *ext = (struct ext *)fs;
	struct ext2_inode inode;
	errcode_t code;
	int r;

	if (node->kind == FS_LINK) {
		code = ext2fs_read_inode(ext->lib, (ext2_ino_t)node->id, &inode);
		if (code)
			return fail(ext, code);
		if (ext2fs_is_fast_symlink(&inode) && offset + len <= sizeof inode.i_block) {
			memcpy(to, (char *)inode.i_block + offset, len);
			return 0;
		}
	}
	r = open_file(ext, (ext2_ino_t)node->id);
	if (r)
		return r;
	code = ext2fs_file_llseek(ext->file, offset, EXT2_SEEK_SET, NULL);
	while (!code && len) {
		unsigned n = 0;

		code = ext2fs_file_read(ext->file, to, (unsigned)len, &n);
		if (!code && !n)
			return fs_fail(fs, EIO, "it ends too early");
		to = (char *)to + n;
		len -= n;
	}
	return code ? fail(ext, code) : 0;
}

static bool ext_place(struct fs *fs, const struct fs_node *node, size_t size, uint64_t *offset)
{
	const uint32_t strange = EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL | EXT4_VERITY_FL |
		EXT2_IMMUTABLE_FL | EXT2_COMPR_FL;
	const ext2_ino_t number = (ext2_ino_t)node->id;
	ext2_filsys lib = ((struct ext *)fs)->lib;
	struct ext2_inode inode;
	blk64_t block = 0;
	int flags = 0;

	if (ext2fs_read_inode(lib, number, &inode) || inode.i_flags & strange ||
		EXT2_I_SIZE(&inode) != size || size > lib->blocksize ||
		ext2fs_bmap2(lib, number, &inode, NULL, 0, 0, &flags, &block))
		return false;
	*offset = fs->where.offset + block * lib->blocksize;
	return block && block < ext2fs_blocks_count(lib->super) && !(flags & BMAP_RET_UNINIT);
}

struct ext_listing {
	bool (*each)(void *ctx, const char *name);
	void *ctx;
	unsigned left;
};

static int list_entry(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset,
	int block_size, char *buffer, void *data)
{
	struct ext_listing *listing = data;
	char name[EXT2_NAME_LEN + 1];
	int len = ext2fs_dirent_name_len(dirent);

	memcpy(name, dirent->name, (size_t)len);
	name[len] = 0;
	/* A name with a 0 in it is none. */
	if (entry != DIRENT_OTHER_FILE || strlen(name) != (size_t)len)
		return 0;
	return !listing->left-- || !listing->each(listing->ctx, name) ? DIRENT_ABORT : 0;
}

static void ext_list(struct fs *fs, const struct fs_node *folder,
	bool (*each)(void *ctx, const char *name), void *ctx)
{
	struct ext_listing listing = {each, ctx, FS_LIST_MAX};

	ext2fs_dir_iterate2(((struct ext *)fs)->lib, (ext2_ino_t)folder->id, 0, NULL, list_entry,
		&listing);
}

const struct fs_ops fs_ext = {
	.open = ext_open,
	.close = ext_close,
	.root = ext_root,
	.lookup = ext_lookup,
	.read = ext_read,
	.list = ext_list,
	.place = ext_place,
};
