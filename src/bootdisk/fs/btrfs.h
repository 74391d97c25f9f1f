/* SPDX-License-Identifier: Apache-2.0 */
/* btrfs between its files here: btrfs_tree.c has addresses and trees, btrfs_unpack.c packed extents. */
#ifndef DACH_BOOTDISK_FS_BTRFS_H
#define DACH_BOOTDISK_FS_BTRFS_H

#include <stddef.h>
#include <stdint.h>

#include "bootdisk/fs/fs.h"

#define BTRFS_NODE_MAX (64u << 10)
#define BTRFS_KEY 17u   /* bytes of a key */
#define BTRFS_CHUNK 48u /* of a chunk, without its stripes */
#define BTRFS_STRIPE 32u
#define BTRFS_LEVELS_MAX 8u
#define BTRFS_SUBVOLUMES_MAX 64u
#define BTRFS_ROOTS_MAX 5u
/* What a packed extent may have: btrfs makes them of 128 KiB. */
#define BTRFS_PACKED_MAX (256u << 10)
#define BTRFS_PLAIN_MAX (256u << 10)

struct btrfs_key {
	uint64_t object;
	uint8_t type;
	uint64_t offset;
};

struct btrfs_tree {
	uint64_t id, address;
	unsigned level;
};

struct btrfs_chunk {
	uint64_t logical, length, physical;
};

struct btrfs {
	struct fs fs;
	uint32_t node_size;
	struct btrfs_chunk *chunk;
	unsigned chunks;
	struct btrfs_tree roots; /* the tree of trees */
	struct btrfs_tree subvolume[BTRFS_SUBVOLUMES_MAX];
	unsigned subvolumes;
	uint64_t begin[BTRFS_ROOTS_MAX]; /* where paths may begin: nodes' ids */
	unsigned begins;
	uint8_t node[BTRFS_NODE_MAX];
	uint8_t packed[BTRFS_PACKED_MAX], plain[BTRFS_PLAIN_MAX];
};

struct btrfs_item {
	struct btrfs_key key;
	const uint8_t *bytes; /* until the next call */
	uint32_t size;
};

static inline uint64_t btrfs_get(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | from[bytes];
	return value;
}

static inline struct btrfs_key btrfs_get_key(const uint8_t *from)
{
	return (struct btrfs_key){btrfs_get(from, 8), from[8], btrfs_get(from + 9, 8)};
}

/* A chunk, of size bytes, that begins at that logical address. */
int btrfs_add_chunk(struct btrfs *btrfs, uint64_t logical, const uint8_t *item, size_t size);
int btrfs_read_logical(struct btrfs *btrfs, uint64_t logical, uint8_t *to, size_t len);
/* The first item of a tree, of that object and type, whose offset is not below. -ENOENT: there is none. */
int btrfs_search(struct btrfs *btrfs, const struct btrfs_tree *tree, uint64_t object, uint8_t type,
	uint64_t offset, struct btrfs_item *item);

/*
 * how: 1 zlib, 2 LZO, 3 zstd, as btrfs has it. Exactly size bytes, or, where there are fewer, zeroes behind them. NULL:
 * done; or what is wrong, a part of a sentence.
 */
const char *btrfs_unpack(unsigned how, const uint8_t *from, size_t packed, uint8_t *to,
	size_t size);

#endif
