/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a disk has been written to since moments that have names (checkpoints): a bitmap for each. A bit too many is
 * allowed, one too few never. Private to block/.
 */
#ifndef DACH_BLOCK_DIRTY_H
#define DACH_BLOCK_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

#include "block/checkpoint.h"

#define DIRTY_BITS 16u              /* a bit for 64 KiB, or for more of a very large disk */
#define DIRTY_BITS_MIN 9u           /* what images may have */
#define DIRTY_BITS_MAX 31u          /* the same */
#define DIRTY_BYTES_MAX (16u << 20) /* of a bitmap */

struct dirty_map {
	char name[CHECKPOINT_NAME_MAX + 1];
	bool lost; /* nobody knows what was written since: it has no bits */
	unsigned bits;
	uint64_t units;
	uint64_t *word; /* little-endian, unit n is bit n; atomic, a bit at a time */
};

/* Starts zeroed. Changes while nothing of the disk is under way; bits are set at any time, by anybody. */
struct dirty_set {
	struct dirty_map *map[CHECKPOINTS_MAX];
	unsigned count;
};

/* A clean one, of a disk of that many bytes; bits 0: as is best. NULL: out of memory, or it would be too large. */
struct dirty_map *dirty_new(const char *name, unsigned bits, uint64_t size);
struct dirty_map *dirty_copy(const struct dirty_map *map);
void dirty_free(struct dirty_map *map); /* NULL is allowed */

/* NULL: there is none. */
struct dirty_map *dirty_find(const struct dirty_set *set, const char *name);
/* The map is the set's then; there is room. */
void dirty_put(struct dirty_set *set, struct dirty_map *map);
void dirty_drop(struct dirty_set *set, struct dirty_map *map);
void dirty_clear(struct dirty_set *set);

/* length is not 0. */
void dirty_mark(const struct dirty_map *map, uint64_t offset, uint64_t length);
void dirty_mark_all(const struct dirty_set *set, uint64_t offset, uint64_t length);
/* The disk has another size: what is new is marked. What has no memory for that is lost. */
void dirty_resize(struct dirty_set *set, uint64_t size);

void dirty_lose(struct dirty_map *map);

/* Whether it is marked there, and for how many of the bytes that is so, or not. */
bool dirty_at(const struct dirty_map *map, uint64_t offset, uint64_t *length);
/* Units that are marked. */
uint64_t dirty_count(const struct dirty_map *map);

static inline uint64_t dirty_bytes(const struct dirty_map *map)
{
	return (map->units + 7) / 8;
}

#endif
