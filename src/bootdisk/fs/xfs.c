/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XFS, versions 4 and 5 ("XFS Algorithms & Data Structures", 3rd edition; numbers are big-endian). Folders are
 * read from their first entry to the last, so that none of their indexes is needed. Checksums are not looked at:
 * what is hostile has right ones.
 */
#include <stdlib.h>
#include <string.h>

#include "bootdisk/fs/fs.h"

#define SUPER_SIZE 512u
#define BLOCK_MAX (64u << 10)
#define INODE_MAX 2048u
#define MAP_MAX 65536u  /* extents of a file */
#define OFFSET_BITS 40u /* of a block's place in a file */
#define TREE_DEPTH_MAX 9u
#define TREE_BLOCKS_MAX 65536u
#define FOLDER_MAX (64u << 20) /* bytes of a folder's entries that are looked at */
#define FOLDER_BLOCK_MAX (64u << 10)
#define HAS_KINDS 0x200u /* version 4: entries say what kind a file is */
#define INCOMPATIBLE_KNOWN 0x1ffu
#define INCOMPATIBLE_KINDS 0x1u
#define REALTIME 0x1u /* a file's flag: its bytes lie on another device */

enum { FORMAT_LOCAL = 1, FORMAT_EXTENTS = 2, FORMAT_TREE = 3 };

struct xfs_extent {
	uint64_t offset, block, count; /* in blocks; block: as the file system numbers them */
};

struct xfs {
	struct fs fs;
	uint32_t block_size, inode_size, folder_block;
	uint32_t group_blocks, groups;
	unsigned group_bits,
		inode_bits; /* of a number: the block within its group; the inode in the block */
	uint64_t root;
	bool v5, kinds;
	/* The inode that was looked at last. */
	uint64_t number; /* 0: none */
	uint8_t inode[INODE_MAX];
	struct xfs_extent *map;
	unsigned extents;
	unsigned tree_blocks; /* read for it */
	uint8_t buffer[FOLDER_BLOCK_MAX];
};

static uint64_t get(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | *from++;
	return value;
}

static int damaged(struct xfs *xfs, const char *why)
{
	return fs_fail(&xfs->fs, EIO, why);
}

/* Opening */

/* What of it cannot be read; NULL: it is sane. */
static const char *take_super(struct xfs *xfs, const uint8_t *super)
{
	const uint16_t version = (uint16_t)get(super + 100, 2);
	const unsigned folder_bits = super[192];

	xfs->block_size = (uint32_t)get(super + 4, 4);
	xfs->root = get(super + 56, 8);
	xfs->group_blocks = (uint32_t)get(super + 84, 4);
	xfs->groups = (uint32_t)get(super + 88, 4);
	xfs->inode_size = (uint32_t)get(super + 104, 2);
	xfs->inode_bits = super[123];
	xfs->group_bits = super[124];
	xfs->v5 = (version & 0xf) == 5;
	if ((version & 0xf) != 4 && !xfs->v5)
		return "its version of XFS is not known";
	if (xfs->v5 && get(super + 216, 4) & ~INCOMPATIBLE_KNOWN)
		return "it is XFS with a feature that is not known";
	xfs->kinds = xfs->v5 ? get(super + 216, 4) & INCOMPATIBLE_KINDS
			     : get(super + 200, 4) & HAS_KINDS;
	if (xfs->block_size < 512 || xfs->block_size > BLOCK_MAX ||
		xfs->block_size & (xfs->block_size - 1) || xfs->inode_size < 256 ||
		xfs->inode_size > INODE_MAX || xfs->inode_size & (xfs->inode_size - 1) ||
		xfs->inode_size > xfs->block_size || xfs->inode_bits > 16 ||
		xfs->block_size / xfs->inode_size != 1u << xfs->inode_bits ||
		xfs->group_bits > 31 || xfs->group_blocks > 1ull << xfs->group_bits ||
		!xfs->group_blocks || folder_bits > 7 ||
		(uint64_t)xfs->block_size << folder_bits > FOLDER_BLOCK_MAX)
		return "its superblock is damaged";
	xfs->folder_block = xfs->block_size << folder_bits;
	return NULL;
}

static int xfs_open(const struct disk_bytes *bytes, const struct partition *where, struct fs **out,
	struct error *err)
{
	uint8_t super[SUPER_SIZE];
	const char *why;
	struct xfs *xfs;

	if (where->size < sizeof super ||
		!partition_read(bytes, where->offset, super, sizeof super) ||
		memcmp(super, "XFSB", 4) != 0)
		return -ENODATA;
	xfs = calloc(1, sizeof *xfs);
	if (!xfs)
		return error_nomem(err);
	why = take_super(xfs, super);
	if (why) {
		free(xfs);
		return error_set(err, EINVAL, "%s", why);
	}
	*out = &xfs->fs;
	return 0;
}

static void xfs_close(struct fs *fs)
{
	free(((struct xfs *)fs)->map);
	free(fs);
}

/* len bytes from the beginning of blocks on that lie in one group. */
static int read_blocks(struct xfs *xfs, uint64_t block, uint64_t skip, void *to, size_t len)
{
	const uint64_t group = block >> xfs->group_bits;
	const uint64_t within = block & ((1ull << xfs->group_bits) - 1);

	if (group >= xfs->groups || within >= xfs->group_blocks)
		return damaged(xfs, "a block's number is wrong");
	return fs_bytes(&xfs->fs, (group * xfs->group_blocks + within) * xfs->block_size + skip, to,
		len);
}

/* The extents of a file */

static int add_extent(struct xfs *xfs, const uint8_t *record)
{
	const uint64_t high = get(record, 8), low = get(record + 8, 8);
	struct xfs_extent *extent;

	if (xfs->extents == MAP_MAX || (high & ~(1ull << 63)) >> (9 + OFFSET_BITS))
		return damaged(xfs, "it lies in too many pieces, or is damaged");
	if (!(xfs->extents & (xfs->extents - 1))) {
		unsigned room = xfs->extents ? 2 * xfs->extents : 1;

		extent = realloc(xfs->map, room * sizeof *extent);
		if (!extent)
			return fs_fail(&xfs->fs, ENOMEM, "out of memory");
		xfs->map = extent;
	}
	/* One that is not written yet reads as zeroes, as what is not there. */
	if (high >> 63)
		return 0;
	extent = &xfs->map[xfs->extents++];
	extent->offset = high >> 9 & ((1ull << 54) - 1);
	extent->block = (high & 0x1ff) << 43 | low >> 21;
	extent->count = low & 0x1fffff;
	return 0;
}

/*
 * The block of a tree of extents, and what is below it. level: what it is to be, so that no tree leads in a
 * circle.
 */
static int add_tree(struct xfs *xfs, uint64_t block, unsigned level)
{
	const unsigned head = xfs->v5 ? 72 : 24, room = (xfs->block_size - head) / 16;
	uint8_t *node = malloc(xfs->block_size);
	unsigned records = 0;
	int r = node ? read_blocks(xfs, block, 0, node, xfs->block_size)
		     : fs_fail(&xfs->fs, ENOMEM, "out of memory");

	if (!r) {
		records = (unsigned)get(node + 6, 2);
		if (memcmp(node, xfs->v5 ? "BMA3" : "BMAP", 4) || get(node + 4, 2) != level ||
			records > room || ++xfs->tree_blocks > TREE_BLOCKS_MAX)
			r = damaged(xfs, "its tree of extents is damaged");
	}
	for (unsigned i = 0; !r && i < records; i++)
		r = level ? add_tree(xfs, get(node + head + room * 8 + i * 8, 8), level - 1)
			  : add_extent(xfs, node + head + i * 16);
	free(node);
	return r;
}

static unsigned head_size(const struct xfs *xfs)
{
	return xfs->inode[4] >= 3 ? 176 : 100;
}

/* Of what an inode has for its data: bytes. */
static unsigned fork_size(const struct xfs *xfs)
{
	const unsigned room = xfs->inode_size - head_size(xfs), other = xfs->inode[82] * 8u;

	return other && other < room ? other : room;
}

static int add_map(struct xfs *xfs)
{
	const uint8_t *fork = xfs->inode + head_size(xfs);
	const unsigned size = fork_size(xfs);
	/* Files with very many have their number elsewhere; those have no room for it here. */
	const unsigned many = get(xfs->inode + 120, 8) & 1u << 4 && xfs->v5;
	const uint64_t count = many ? get(xfs->inode + 24, 8) : get(xfs->inode + 76, 4);
	unsigned level, records, room;
	int r = 0;

	if (xfs->inode[5] == FORMAT_EXTENTS) {
		if (count > size / 16)
			return damaged(xfs, "its inode is damaged");
		for (unsigned i = 0; !r && i < count; i++)
			r = add_extent(xfs, fork + i * 16);
		return r;
	}
	level = (unsigned)get(fork, 2);
	records = (unsigned)get(fork + 2, 2);
	room = (size - 4) / 16;
	if (!level || level > TREE_DEPTH_MAX || records > room)
		return damaged(xfs, "its inode is damaged");
	for (unsigned i = 0; !r && i < records; i++)
		r = add_tree(xfs, get(fork + 4 + room * 8 + i * 8, 8), level - 1);
	return r;
}

/* Makes it the inode that is looked at. */
static int take_inode(struct xfs *xfs, uint64_t number)
{
	const uint64_t block = number >> xfs->inode_bits;
	const uint32_t within = (uint32_t)(number & ((1u << xfs->inode_bits) - 1));
	int r;

	if (xfs->number == number)
		return 0;
	xfs->number = 0;
	xfs->extents = xfs->tree_blocks = 0;
	free(xfs->map);
	xfs->map = NULL;
	r = read_blocks(xfs, block, (uint64_t)within * xfs->inode_size, xfs->inode,
		xfs->inode_size);
	if (r)
		return r;
	if (memcmp(xfs->inode, "IN", 2) != 0)
		return damaged(xfs, "its inode is damaged");
	if (get(xfs->inode + 90, 2) & REALTIME)
		return damaged(xfs, "it lies on a realtime device");
	if (xfs->inode[5] == FORMAT_EXTENTS || xfs->inode[5] == FORMAT_TREE)
		r = add_map(xfs);
	else if (xfs->inode[5] != FORMAT_LOCAL)
		r = 0; /* a device, or the like: without bytes */
	if (!r)
		xfs->number = number;
	return r;
}

static int take_node(struct xfs *xfs, uint64_t number, struct fs_node *node)
{
	int r = take_inode(xfs, number);

	if (r)
		return r;
	node->id = number;
	node->size = get(xfs->inode + 56, 8);
	node->kind = fs_kind_of_mode(get(xfs->inode + 2, 2));
	return 0;
}

static int xfs_root(struct fs *fs, unsigned n, struct fs_node *node)
{
	struct xfs *xfs = (struct xfs *)fs;

	return n ? -ENOENT : take_node(xfs, xfs->root, node);
}

/* Reading */

/* From the inode that is looked at; what no extent has is zeroes. present: whether there was any. */
static int read_mapped(struct xfs *xfs, uint64_t offset, uint8_t *to, size_t len, bool *present)
{
	*present = false;
	memset(to, 0, len);
	for (unsigned i = 0; i < xfs->extents; i++) {
		const struct xfs_extent *extent = &xfs->map[i];
		const uint64_t start = extent->offset * xfs->block_size;
		const uint64_t end = start + extent->count * xfs->block_size;
		const uint64_t from = offset > start ? offset : start;
		const uint64_t until = offset + len < end ? offset + len : end;
		int r;

		if (from >= until)
			continue;
		*present = true;
		r = read_blocks(xfs, extent->block, from - start, to + (from - offset),
			until - from);
		if (r)
			return r;
	}
	return 0;
}

/* A link's text; in version 5 each of its blocks has a head. */
static int read_link(struct xfs *xfs, const struct fs_node *node, uint8_t *to, size_t len)
{
	const unsigned head = xfs->v5 ? 56 : 0;
	bool present;
	int r = 0;

	for (uint64_t at = 0; !r && len; at += xfs->block_size) {
		size_t n = xfs->block_size - head < len ? xfs->block_size - head : len;

		r = read_mapped(xfs, at + head, to, n, &present);
		to += n;
		len -= n;
	}
	return r;
}

static int xfs_read(struct fs *fs, const struct fs_node *node, uint64_t offset, void *to,
	size_t len)
{
	struct xfs *xfs = (struct xfs *)fs;
	bool present;
	int r = take_inode(xfs, node->id);

	if (r)
		return r;
	if (xfs->inode[5] == FORMAT_LOCAL) {
		if (offset + len > fork_size(xfs))
			return damaged(xfs, "its inode is damaged");
		memcpy(to, xfs->inode + head_size(xfs) + offset, len);
		return 0;
	}
	if (node->kind == FS_LINK)
		return read_link(xfs, node, to, len);
	return read_mapped(xfs, offset, to, len, &present);
}

/* Folders */

typedef bool (*xfs_each)(void *ctx, const char *name, size_t len, uint64_t number);

static bool tell(xfs_each each, void *ctx, const uint8_t *name, unsigned len, uint64_t number)
{
	char text[FS_NAME_MAX + 1];

	memcpy(text, name, len);
	text[len] = 0;
	/* A name with a 0 in it is none. */
	return strlen(text) != len || each(ctx, text, len, number);
}

/* A small one has its entries in its inode. */
static int walk_local(struct xfs *xfs, xfs_each each, void *ctx)
{
	const uint8_t *at = xfs->inode + head_size(xfs), *end = at + fork_size(xfs);
	const unsigned number = at[1] ? 8 : 4, count = at[1] ? at[1] : at[0];

	at += 2 + number; /* and its parent */
	for (unsigned i = 0; i < count; i++) {
		const unsigned len = at + 3 <= end ? at[0] : 0,
			       size = 3 + len + xfs->kinds + number;

		if (!len || size > (size_t)(end - at))
			return damaged(xfs, "a folder is damaged");
		if (!tell(each, ctx, at + 3, len, get(at + size - number, number)))
			return 0;
		at += size;
	}
	return 0;
}

/* What ends a block that is a folder's only one is its index. */
static unsigned entries_end(struct xfs *xfs, const uint8_t *block)
{
	uint64_t index;

	if (memcmp(block, xfs->v5 ? "XDB3" : "XD2B", 4) != 0)
		return xfs->folder_block;
	index = get(block + xfs->folder_block - 8, 4) * 8 + 8;
	return index < xfs->folder_block ? xfs->folder_block - (unsigned)index : 0;
}

/* stop: each has said false. */
static int walk_block(struct xfs *xfs, const uint8_t *block, xfs_each each, void *ctx, bool *stop)
{
	const unsigned end = entries_end(xfs, block);
	unsigned at = xfs->v5 ? 64 : 16;

	if (memcmp(block, xfs->v5 ? "XDB3" : "XD2B", 4) &&
		memcmp(block, xfs->v5 ? "XDD3" : "XD2D", 4))
		return damaged(xfs, "a folder is damaged");
	while (at + 8 <= end && !*stop) {
		const bool unused = get(block + at, 2) == 0xffff;
		unsigned len = unused || at + 12 > end ? 0 : block[at + 8];
		unsigned size = unused ? (unsigned)get(block + at + 2, 2)
				       : (8 + 1 + len + xfs->kinds + 2 + 7) & ~7u;

		if (!size || size % 8 || size > end - at || (!unused && !len))
			return damaged(xfs, "a folder is damaged");
		if (!unused)
			*stop = !tell(each, ctx, block + at + 9, len, get(block + at, 8));
		at += size;
	}
	return 0;
}

/* Calls each for a folder's names, "." and ".." among them or not, until it says false. */
static int walk(struct xfs *xfs, const struct fs_node *folder, xfs_each each, void *ctx)
{
	uint64_t size = folder->size < FOLDER_MAX ? folder->size : FOLDER_MAX;
	bool present, stop = false;
	int r = take_inode(xfs, folder->id);

	if (r || xfs->inode[5] == FORMAT_LOCAL)
		return r ? r : walk_local(xfs, each, ctx);
	for (uint64_t at = 0; !r && !stop && at < size; at += xfs->folder_block) {
		r = read_mapped(xfs, at, xfs->buffer, xfs->folder_block, &present);
		if (!r && present)
			r = walk_block(xfs, xfs->buffer, each, ctx, &stop);
	}
	return r;
}

struct xfs_search {
	const char *name;
	size_t len;
	uint64_t number;
};

static bool is_it(void *ctx, const char *name, size_t len, uint64_t number)
{
	struct xfs_search *search = ctx;

	if (len != search->len || memcmp(name, search->name, len) != 0)
		return true;
	search->number = number;
	return false;
}

static int xfs_lookup(struct fs *fs, const struct fs_node *folder, const char *name, size_t len,
	struct fs_node *node)
{
	struct xfs_search search = {.name = name, .len = len};
	struct xfs *xfs = (struct xfs *)fs;
	int r;

	/* A small folder has neither among its entries. */
	if (len == 1 && *name == '.') {
		*node = *folder;
		return 0;
	}
	r = take_inode(xfs, folder->id);
	if (!r && len == 2 && !memcmp(name, "..", 2) && xfs->inode[5] == FORMAT_LOCAL) {
		const uint8_t *fork = xfs->inode + head_size(xfs);

		search.number = get(fork + 2, fork[1] ? 8 : 4);
	} else if (!r) {
		r = walk(xfs, folder, is_it, &search);
	}
	if (r)
		return r;
	return search.number ? take_node(xfs, search.number, node) : -ENOENT;
}

struct xfs_listing {
	bool (*each)(void *ctx, const char *name);
	void *ctx;
	unsigned left;
};

static bool list_entry(void *ctx, const char *name, size_t len, uint64_t number)
{
	struct xfs_listing *listing = ctx;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	return listing->left-- && listing->each(listing->ctx, name);
}

static void xfs_list(struct fs *fs, const struct fs_node *folder,
	bool (*each)(void *ctx, const char *name), void *ctx)
{
	struct xfs_listing listing = {each, ctx, FS_LIST_MAX};

	walk((struct xfs *)fs, folder, list_entry, &listing);
}

const struct fs_ops fs_xfs = {
	.open = xfs_open,
	.close = xfs_close,
	.root = xfs_root,
	.lookup = xfs_lookup,
	.read = xfs_read,
	.list = xfs_list,
};
