/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "bootdisk/fs/btrfs.h"

#define NODE_HEAD 101u
#define ITEM_HEAD 25u
#define POINTER 33u
#define CHUNKS_MAX 65536u

static bool is_less(const struct btrfs_key *a, const struct btrfs_key *b)
{
	if (a->object != b->object)
		return a->object < b->object;
	return a->type != b->type ? a->type < b->type : a->offset < b->offset;
}

static int damaged(struct btrfs *btrfs, const char *why)
{
	return fs_fail(&btrfs->fs, EIO, why);
}

/* Where it lies */

int btrfs_add_chunk(struct btrfs *btrfs, uint64_t logical, const uint8_t *item, size_t size)
{
	struct btrfs_chunk *chunk;

	if (size < BTRFS_CHUNK + BTRFS_STRIPE || btrfs->chunks == CHUNKS_MAX)
		return damaged(btrfs, "its list of chunks is damaged");
	if (!(btrfs->chunks & (btrfs->chunks - 1))) {
		unsigned room = btrfs->chunks ? 2 * btrfs->chunks : 1;

		chunk = realloc(btrfs->chunk, room * sizeof *chunk);
		if (!chunk)
			return fs_fail(&btrfs->fs, ENOMEM, "out of memory");
		btrfs->chunk = chunk;
	}
	/* On one disk a second stripe can only be a copy. */
	btrfs->chunk[btrfs->chunks++] = (struct btrfs_chunk){logical, btrfs_get(item, 8),
		btrfs_get(item + BTRFS_CHUNK + 8, 8)};
	return 0;
}

int btrfs_read_logical(struct btrfs *btrfs, uint64_t logical, uint8_t *to, size_t len)
{
	/* The later ones are those of the whole list. */
	for (unsigned i = btrfs->chunks; i-- > 0;) {
		const struct btrfs_chunk *chunk = &btrfs->chunk[i];

		if (logical < chunk->logical || logical - chunk->logical >= chunk->length)
			continue;
		if (len > chunk->length - (logical - chunk->logical))
			break;
		return fs_bytes(&btrfs->fs, chunk->physical + (logical - chunk->logical), to, len);
	}
	return damaged(btrfs, "an address in it is wrong");
}

/* Trees */

/* A node into btrfs->node, and how many entries it has. */
static int read_node(struct btrfs *btrfs, uint64_t address, unsigned level, unsigned *entries)
{
	const unsigned room = (btrfs->node_size - NODE_HEAD) / (level ? POINTER : ITEM_HEAD);
	int r = btrfs_read_logical(btrfs, address, btrfs->node, btrfs->node_size);

	if (r)
		return r;
	*entries = (unsigned)btrfs_get(btrfs->node + 96, 4);
	if (btrfs->node[100] != level || *entries > room)
		return damaged(btrfs, "a tree in it is damaged");
	return 0;
}

/* The first entry whose key is not below; entries: there is none. */
static unsigned first_of(const struct btrfs *btrfs, unsigned entries, unsigned size,
	const struct btrfs_key *key)
{
	unsigned low = 0, high = entries;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		struct btrfs_key here =
			btrfs_get_key(btrfs->node + NODE_HEAD + (size_t)middle * size);

		if (is_less(&here, key))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int take_item(struct btrfs *btrfs, unsigned n, struct btrfs_item *item)
{
	const uint8_t *head = btrfs->node + NODE_HEAD + (size_t)n * ITEM_HEAD;
	const uint64_t offset = btrfs_get(head + BTRFS_KEY, 4),
		       size = btrfs_get(head + BTRFS_KEY + 4, 4);

	if (offset + size > btrfs->node_size - NODE_HEAD)
		return damaged(btrfs, "a tree in it is damaged");
	*item = (struct btrfs_item){btrfs_get_key(head), btrfs->node + NODE_HEAD + offset,
		(uint32_t)size};
	return 0;
}

/* The first item of a tree whose key is not below the one given. -ENOENT: there is none. */
static int search(struct btrfs *btrfs, const struct btrfs_tree *tree, struct btrfs_key key,
	struct btrfs_item *item)
{
	/* One that ends a node just before the key is in the next; each turn goes to a later leaf. */
	for (unsigned turn = 0; turn < BTRFS_LEVELS_MAX; turn++) {
		uint64_t address = tree->address;
		struct btrfs_key next = {UINT64_MAX, UINT8_MAX, UINT64_MAX};
		unsigned entries, n;
		bool more = false;
		int r;

		for (unsigned level = tree->level; level; level--) {
			r = read_node(btrfs, address, level, &entries);
			if (r || !entries)
				return r ? r : -ENOENT;
			n = first_of(btrfs, entries, POINTER, &key);
			if (n < entries) {
				struct btrfs_key here = btrfs_get_key(
					btrfs->node + NODE_HEAD + (size_t)n * POINTER);

				/* It begins with the very key, or is the one after. */
				if (n && is_less(&key, &here))
					n--;
			} else {
				n--;
			}
			if (n + 1 < entries) {
				next = btrfs_get_key(
					btrfs->node + NODE_HEAD + (size_t)(n + 1) * POINTER);
				more = true;
			}
			address =
				btrfs_get(btrfs->node + NODE_HEAD + (size_t)n * POINTER + BTRFS_KEY,
					8);
		}
		r = read_node(btrfs, address, 0, &entries);
		if (r)
			return r;
		n = first_of(btrfs, entries, ITEM_HEAD, &key);
		if (n < entries)
			return take_item(btrfs, n, item);
		if (!more || !is_less(&key, &next))
			return -ENOENT;
		key = next;
	}
	return damaged(btrfs, "a tree in it is damaged");
}

int btrfs_search(struct btrfs *btrfs, const struct btrfs_tree *tree, uint64_t object, uint8_t type,
	uint64_t offset, struct btrfs_item *item)
{
	int r = search(btrfs, tree, (struct btrfs_key){object, type, offset}, item);

	if (!r && (item->key.object != object || item->key.type != type))
		return -ENOENT;
	return r;
}
