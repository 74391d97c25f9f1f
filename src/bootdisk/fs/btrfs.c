/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btrfs on one disk (its kernel headers, uapi/linux/btrfs_tree.h; numbers are little-endian). Checksums are not looked
 * at: what is hostile has right ones. A node's id is the inode's number with, above it, the place of its subvolume in
 * our list.
 */
#include <stdlib.h>
#include <string.h>

#include "bootdisk/fs/btrfs.h"

#define SUPER_OFFSET (64u << 10)
#define SUPER_SIZE 4096u
#define INODE_BITS 48
#define INODE_MASK ((1ull << INODE_BITS) - 1)
#define EXTENTS_MAX (1u << 20) /* of a file: looked at in one read */

enum {
	TYPE_INODE = 1,
	TYPE_INODE_REF = 12,
	TYPE_DIR = 84,
	TYPE_DIR_INDEX = 96,
	TYPE_EXTENT = 108,
	TYPE_ROOT = 132,
	TYPE_CHUNK = 228
};
enum { OBJECT_ROOT_DIR = 6, OBJECT_TOP = 5, OBJECT_FIRST = 256 };
enum { EXTENT_INLINE, EXTENT_WRITTEN, EXTENT_UNWRITTEN };

static int damaged(struct btrfs *btrfs, const char *why)
{
	return fs_fail(&btrfs->fs, EIO, why);
}

/* Opening */

static int add_system_chunks(struct btrfs *btrfs, const uint8_t *super)
{
	const uint64_t size = btrfs_get(super + 0xa0, 4);
	const uint8_t *at = super + 0x32b, *end = at + size;
	int r = 0;

	if (size > 2048)
		return damaged(btrfs, "its list of chunks is damaged");
	while (!r && (size_t)(end - at) >= BTRFS_KEY + BTRFS_CHUNK + BTRFS_STRIPE) {
		const size_t length =
			BTRFS_CHUNK + BTRFS_STRIPE * btrfs_get(at + BTRFS_KEY + 44, 2);

		if (length > (size_t)(end - at) - BTRFS_KEY)
			return damaged(btrfs, "its list of chunks is damaged");
		r = btrfs_add_chunk(btrfs, btrfs_get(at + 9, 8), at + BTRFS_KEY, length);
		at += BTRFS_KEY + length;
	}
	return r;
}

static int add_chunks(struct btrfs *btrfs, const struct btrfs_tree *tree)
{
	struct btrfs_item item;
	uint64_t offset = 0;
	int r;

	while (!(r = btrfs_search(btrfs, tree, OBJECT_FIRST, TYPE_CHUNK, offset, &item))) {
		r = btrfs_add_chunk(btrfs, item.key.offset, item.bytes, item.size);
		if (r || item.key.offset == UINT64_MAX)
			break;
		offset = item.key.offset + 1;
	}
	return r == -ENOENT ? 0 : r;
}

/* Its place in our list. */
static int find_subvolume(struct btrfs *btrfs, uint64_t id, unsigned *place)
{
	struct btrfs_item item;
	int r;

	for (*place = 0; *place < btrfs->subvolumes; ++*place)
		if (btrfs->subvolume[*place].id == id)
			return 0;
	if (*place == BTRFS_SUBVOLUMES_MAX)
		return damaged(btrfs, "it leads through too many subvolumes");
	r = btrfs_search(btrfs, &btrfs->roots, id, TYPE_ROOT, 0, &item);
	if (r == -ENOENT || (!r && item.size < 239))
		return damaged(btrfs, "a subvolume is missing");
	if (!r && item.bytes[238] >= BTRFS_LEVELS_MAX)
		return damaged(btrfs, "a tree in it is damaged");
	if (!r)
		btrfs->subvolume[btrfs->subvolumes++] =
			(struct btrfs_tree){id, btrfs_get(item.bytes + 176, 8), item.bytes[238]};
	return r;
}

static int add_begin(struct btrfs *btrfs, uint64_t id)
{
	unsigned place;
	int r = find_subvolume(btrfs, id, &place);

	if (!r)
		btrfs->begin[btrfs->begins++] = (uint64_t)place << INODE_BITS | OBJECT_FIRST;
	return r;
}

/* The name's entry in a folder's item, which may have several. NULL: it is not there. */
static const uint8_t *entry_of(const struct btrfs_item *item, const char *name, size_t len)
{
	for (uint32_t at = 0; item->size - at >= 30;) {
		const uint8_t *entry = item->bytes + at;
		const uint32_t data = (uint32_t)btrfs_get(entry + 25, 2),
			       own = (uint32_t)btrfs_get(entry + 27, 2);

		if (30 + data + own > item->size - at)
			return NULL;
		if (own == len && !memcmp(entry + 30, name, len))
			return entry;
		at += 30 + data + own;
	}
	return NULL;
}

static uint64_t default_subvolume(struct btrfs *btrfs)
{
	struct btrfs_item item;
	const uint8_t *entry;

	if (btrfs_search(btrfs, &btrfs->roots, OBJECT_ROOT_DIR, TYPE_DIR, 0, &item))
		return OBJECT_TOP;
	entry = entry_of(&item, "default", 7);
	return entry && entry[8] == TYPE_ROOT ? btrfs_get(entry, 8) : OBJECT_TOP;
}

static int btrfs_lookup(struct fs *fs, const struct fs_node *folder, const char *name, size_t len,
	struct fs_node *node);

/*
 * Where boot loaders' paths begin: the default subvolume, the topmost, and those that distributions have their
 * root in while the topmost is the default.
 */
static int add_begins(struct btrfs *btrfs)
{
	static const char *const names[] = {"@", "@rootfs", "root"};
	const uint64_t first = default_subvolume(btrfs);
	struct fs_node top = {.kind = FS_FOLDER}, node;
	int r = add_begin(btrfs, first);

	if (!r && first != OBJECT_TOP)
		r = add_begin(btrfs, OBJECT_TOP);
	if (r)
		return r;
	top.id = btrfs->begin[btrfs->begins - 1];
	for (size_t i = 0; i < sizeof names / sizeof *names && btrfs->begins < BTRFS_ROOTS_MAX; i++)
		if (!btrfs_lookup(&btrfs->fs, &top, names[i], strlen(names[i]), &node) &&
			node.kind == FS_FOLDER && (node.id & INODE_MASK) == OBJECT_FIRST)
			btrfs->begin[btrfs->begins++] = node.id;
	return 0;
}

static int take_super(struct btrfs *btrfs, const uint8_t *super)
{
	const struct btrfs_tree chunks = {.address = btrfs_get(super + 0x58, 8),
		.level = super[0xc7]};
	int r;

	btrfs->node_size = (uint32_t)btrfs_get(super + 0x94, 4);
	btrfs->roots =
		(struct btrfs_tree){.address = btrfs_get(super + 0x50, 8), .level = super[0xc6]};
	if (btrfs_get(super + 0x88, 8) != 1)
		return damaged(btrfs, "it is btrfs over several disks");
	if (btrfs->node_size < 4096 || btrfs->node_size > BTRFS_NODE_MAX ||
		chunks.level >= BTRFS_LEVELS_MAX || btrfs->roots.level >= BTRFS_LEVELS_MAX)
		return damaged(btrfs, "its superblock is damaged");
	r = add_system_chunks(btrfs, super);
	if (!r)
		r = add_chunks(btrfs, &chunks);
	return r ? r : add_begins(btrfs);
}

static void btrfs_close(struct fs *fs)
{
	free(((struct btrfs *)fs)->chunk);
	free(fs);
}

static int btrfs_open(const struct disk_bytes *bytes, const struct partition *where,
	struct fs **out, struct error *err)
{
	uint8_t super[SUPER_SIZE];
	struct btrfs *btrfs;

	if (where->size < SUPER_OFFSET + SUPER_SIZE ||
		!partition_read(bytes, where->offset + SUPER_OFFSET, super, sizeof super) ||
		memcmp(super + 0x40, "_BHRfS_M", 8) != 0)
		return -ENODATA;
	btrfs = calloc(1, sizeof *btrfs);
	if (!btrfs)
		return error_nomem(err);
	btrfs->fs.bytes = bytes;
	btrfs->fs.where = *where;
	if (take_super(btrfs, super)) {
		error_set(err, EINVAL, "%s", btrfs->fs.why);
		btrfs_close(&btrfs->fs);
		return -EINVAL;
	}
	*out = &btrfs->fs;
	return 0;
}

/* Inodes */

static const struct btrfs_tree *tree_of(const struct btrfs *btrfs, const struct fs_node *node)
{
	return &btrfs->subvolume[node->id >> INODE_BITS];
}

static int take_node(struct btrfs *btrfs, uint64_t id, struct fs_node *node)
{
	struct btrfs_item item;
	int r;

	node->id = id;
	r = btrfs_search(btrfs, tree_of(btrfs, node), id & INODE_MASK, TYPE_INODE, 0, &item);
	if (r == -ENOENT || (!r && item.size < 64))
		return damaged(btrfs, "an inode is missing");
	if (r)
		return r;
	node->size = btrfs_get(item.bytes + 16, 8);
	node->kind = fs_kind_of_mode(btrfs_get(item.bytes + 52, 4));
	return 0;
}

static int btrfs_root(struct fs *fs, unsigned n, struct fs_node *node)
{
	struct btrfs *btrfs = (struct btrfs *)fs;

	return n < btrfs->begins ? take_node(btrfs, btrfs->begin[n], node) : -ENOENT;
}

/* What an entry leads to: an inode of the same subvolume, or another subvolume. */
static int follow(struct btrfs *btrfs, const struct fs_node *folder, const uint8_t *entry,
	struct fs_node *node)
{
	const struct btrfs_key to = btrfs_get_key(entry);
	unsigned place = (unsigned)(folder->id >> INODE_BITS);
	uint64_t inode = to.object;
	int r = 0;

	if (to.type == TYPE_ROOT) {
		r = find_subvolume(btrfs, to.object, &place);
		inode = OBJECT_FIRST;
	}
	if (!r && inode > INODE_MASK)
		r = damaged(btrfs, "an inode's number is too large");
	return r ? r : take_node(btrfs, (uint64_t)place << INODE_BITS | inode, node);
}

/* The folder above, within a subvolume; a subvolume's own topmost is its own. */
static int above(struct btrfs *btrfs, const struct fs_node *folder, struct fs_node *node)
{
	struct btrfs_item item;
	int r = btrfs_search(btrfs, tree_of(btrfs, folder), folder->id & INODE_MASK, TYPE_INODE_REF,
		0, &item);

	if (r)
		return r;
	return take_node(btrfs, (folder->id & ~INODE_MASK) | (item.key.offset & INODE_MASK), node);
}

/* Calls each for a folder's entries until it says false. */
static int walk(struct btrfs *btrfs, const struct fs_node *folder,
	bool (*each)(void *ctx, const char *name, size_t len, const uint8_t *entry), void *ctx)
{
	uint64_t index = 0;

	for (unsigned n = 0; n < FS_LIST_MAX; n++) {
		struct btrfs_item item;
		char name[FS_NAME_MAX + 1];
		size_t len;
		int r = btrfs_search(btrfs, tree_of(btrfs, folder), folder->id & INODE_MASK,
			TYPE_DIR_INDEX, index, &item);

		if (r)
			return r == -ENOENT ? 0 : r;
		len = item.size < 30 ? 0 : btrfs_get(item.bytes + 27, 2);
		if (!len || len > FS_NAME_MAX || 30 + len > item.size)
			return damaged(btrfs, "a folder is damaged");
		memcpy(name, item.bytes + 30, len);
		name[len] = 0;
		if (strlen(name) == len && !each(ctx, name, len, item.bytes))
			return 0;
		if (item.key.offset == UINT64_MAX)
			return 0;
		index = item.key.offset + 1;
	}
	return 0;
}

struct btrfs_search {
	const char *name;
	size_t len;
	uint8_t entry[BTRFS_KEY];
	bool found;
};

static bool is_it(void *ctx, const char *name, size_t len, const uint8_t *entry)
{
	struct btrfs_search *search = ctx;

	if (len != search->len || memcmp(name, search->name, len) != 0)
		return true;
	memcpy(search->entry, entry, BTRFS_KEY);
	search->found = true;
	return false;
}

static int btrfs_lookup(struct fs *fs, const struct fs_node *folder, const char *name, size_t len,
	struct fs_node *node)
{
	struct btrfs_search search = {.name = name, .len = len};
	struct btrfs *btrfs = (struct btrfs *)fs;
	int r;

	if (len == 1 && *name == '.') {
		*node = *folder;
		return 0;
	}
	if (len == 2 && !memcmp(name, "..", 2))
		return above(btrfs, folder, node);
	r = walk(btrfs, folder, is_it, &search);
	if (r)
		return r;
	return search.found ? follow(btrfs, folder, search.entry, node) : -ENOENT;
}

struct btrfs_listing {
	bool (*each)(void *ctx, const char *name);
	void *ctx;
};

static bool list_entry(void *ctx, const char *name, size_t len, const uint8_t *entry)
{
	struct btrfs_listing *listing = ctx;

	return listing->each(listing->ctx, name);
}

static void btrfs_list(struct fs *fs, const struct fs_node *folder,
	bool (*each)(void *ctx, const char *name), void *ctx)
{
	struct btrfs_listing listing = {each, ctx};

	walk((struct btrfs *)fs, folder, list_entry, &listing);
}

/* Files */

/* len bytes of an extent's contents from skip on. What is packed is unpacked as a whole. */
static int read_packed(struct btrfs *btrfs, unsigned how, const uint8_t *from, uint64_t size,
	uint64_t plain, uint64_t skip, uint8_t *to, size_t len)
{
	const char *why;

	if (size > BTRFS_PACKED_MAX || plain > BTRFS_PLAIN_MAX || skip + len > plain)
		return damaged(btrfs, "a packed extent is damaged");
	why = btrfs_unpack(how, from, (size_t)size, btrfs->plain, (size_t)plain);
	if (why)
		return damaged(btrfs, why);
	memcpy(to, btrfs->plain + skip, len);
	return 0;
}

struct btrfs_extent {
	uint64_t plain, address, packed, offset, length;
	unsigned how, type;
};

/* What [from, until) of the file has in one extent, which begins at start. */
static int read_extent(struct btrfs *btrfs, const struct btrfs_item *item, uint64_t start,
	uint64_t from, uint64_t until, uint8_t *to)
{
	const struct btrfs_extent extent = {
		.plain = btrfs_get(item->bytes + 8, 8),
		.how = item->bytes[16],
		.type = item->bytes[20],
		.address = btrfs_get(item->bytes + 21, 8),
		.packed = btrfs_get(item->bytes + 29, 8),
		.offset = btrfs_get(item->bytes + 37, 8),
		.length = btrfs_get(item->bytes + 45, 8),
	};
	const uint64_t skip = from - start + extent.offset;
	const size_t len = (size_t)(until - from);
	int r;

	if (!extent.address || extent.type == EXTENT_UNWRITTEN)
		return 0; /* a hole */
	if (skip < extent.offset)
		return damaged(btrfs, "an extent is damaged");
	if (!extent.how)
		return btrfs_read_logical(btrfs, extent.address + skip, to, len);
	if (extent.packed > BTRFS_PACKED_MAX)
		return damaged(btrfs, "a packed extent is damaged");
	r = btrfs_read_logical(btrfs, extent.address, btrfs->packed, (size_t)extent.packed);
	return r ? r
		 : read_packed(btrfs, extent.how, btrfs->packed, extent.packed, extent.plain, skip,
			   to, len);
}

static int read_inline(struct btrfs *btrfs, const struct btrfs_item *item, uint64_t from,
	uint64_t until, uint8_t *to)
{
	const uint64_t plain = btrfs_get(item->bytes + 8, 8), size = item->size - 21;

	if (item->bytes[16])
		return read_packed(btrfs, item->bytes[16], item->bytes + 21, size, plain, from, to,
			(size_t)(until - from));
	if (until > size)
		return damaged(btrfs, "an extent is damaged");
	memcpy(to, item->bytes + 21 + from, (size_t)(until - from));
	return 0;
}

static int btrfs_read(struct fs *fs, const struct fs_node *node, uint64_t offset, void *to,
	size_t len)
{
	struct btrfs *btrfs = (struct btrfs *)fs;
	uint64_t at = 0;
	int r = 0;

	memset(to, 0, len);
	for (unsigned n = 0; !r && n < EXTENTS_MAX; n++) {
		struct btrfs_item item;
		uint64_t start, end, from, until;

		r = btrfs_search(btrfs, tree_of(btrfs, node), node->id & INODE_MASK, TYPE_EXTENT,
			at, &item);
		if (r || item.key.offset >= offset + len)
			break;
		if (item.size < 21 || (item.bytes[20] != EXTENT_INLINE && item.size < 53))
			return damaged(btrfs, "an extent is damaged");
		start = item.key.offset;
		if (item.bytes[20] == EXTENT_INLINE)
			end = start ? 0 : btrfs_get(item.bytes + 8, 8);
		else if (__builtin_add_overflow(start, btrfs_get(item.bytes + 45, 8), &end))
			return damaged(btrfs, "an extent is damaged");
		from = offset > start ? offset : start;
		until = offset + len < end ? offset + len : end;
		if (from < until && item.bytes[20] == EXTENT_INLINE)
			r = read_inline(btrfs, &item, from, until, (uint8_t *)to + (from - offset));
		else if (from < until)
			r = read_extent(btrfs, &item, start, from, until,
				(uint8_t *)to + (from - offset));
		at = start + 1;
	}
	return r == -ENOENT ? 0 : r;
}

const struct fs_ops fs_btrfs = {
	.open = btrfs_open,
	.close = btrfs_close,
	.root = btrfs_root,
	.lookup = btrfs_lookup,
	.read = btrfs_read,
	.list = btrfs_list,
};
