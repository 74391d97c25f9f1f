/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent dirty bitmaps (QEMU's docs/interop/qcow2, "Bitmaps"). While the image is written to, those in the file are
 * marked as in use, so that nobody relies on them should the writer be killed; they are stored anew at the end, in
 * clusters of their own, and the header names the new ones in one write.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "block/qcow2/internal.h"
#include "protocol/disk.h"

#define BITMAPS_MAX 65535u
#define DIRECTORY_MAX (64u << 20)
#define ENTRY_HEAD 24u
#define ENTRY_FLAGS 12u
#define IN_USE 1u
#define AUTO 2u
#define TYPE_DIRTY 1u
#define ALL_ONES 1u /* of a table's entry without an offset */

/* One entry of the directory. */
struct bitmap_entry {
	uint64_t table;
	uint32_t entries, flags, extra;
	unsigned type, bits, name_size;
	const uint8_t *name;
};

/* The entry at *at, which is behind it then. */
static int next_entry(const uint8_t *bytes, uint64_t size, uint64_t *at, struct bitmap_entry *entry)
{
	const uint8_t *from = bytes + *at;
	uint64_t length;

	if (size - *at < ENTRY_HEAD)
		return -EIO;
	*entry = (struct bitmap_entry){.table = qcow2_get(from, 8),
		.entries = (uint32_t)qcow2_get(from + 8, 4),
		.flags = (uint32_t)qcow2_get(from + ENTRY_FLAGS, 4),
		.type = from[16],
		.bits = from[17],
		.name_size = (unsigned)qcow2_get(from + 18, 2),
		.extra = (uint32_t)qcow2_get(from + 20, 4)};
	length = (ENTRY_HEAD + (uint64_t)entry->extra + entry->name_size + 7) & ~7ull;
	if (length > size - *at)
		return -EIO;
	entry->name = from + ENTRY_HEAD + entry->extra;
	*at += length;
	return 0;
}

/* malloc'd; NULL with 0: there are none that count. */
static int read_directory(struct qcow2 *q, uint8_t **bytes)
{
	const struct qcow2_header *h = &q->header;
	int r;

	*bytes = NULL;
	if (!h->bitmaps || !(h->autoclear & QCOW2_BITMAPS))
		return 0;
	if (h->bitmaps > BITMAPS_MAX || h->bitmaps_size > DIRECTORY_MAX ||
		h->bitmaps_offset > file_size(&q->file) ||
		h->bitmaps_size > file_size(&q->file) - h->bitmaps_offset)
		return -EIO;
	*bytes = malloc(h->bitmaps_size + 1);
	r = *bytes ? file_read(&q->file, *bytes, h->bitmaps_size, h->bitmaps_offset) : -ENOMEM;
	if (r) {
		free(*bytes);
		*bytes = NULL;
	}
	return r;
}

static int walk_bitmap(struct image_walk *walk, const struct bitmap_entry *entry)
{
	uint64_t *table;
	int r = walk_read_l1(walk->q, entry->table, entry->entries, &table);

	if (!r)
		r = walk_bytes(walk, entry->table, entry->entries * 8ull);
	for (uint32_t i = 0; !r && i < entry->entries; i++)
		r = walk_entry(walk, table[i] & ENTRY_OFFSET);
	free(table);
	return r;
}

int walk_bitmaps(struct image_walk *walk)
{
	struct qcow2 *q = walk->q;
	uint64_t at = 0;
	uint8_t *bytes;
	int r = read_directory(q, &bytes);

	if (r || !bytes)
		return r;
	r = walk_bytes(walk, q->header.bitmaps_offset, q->header.bitmaps_size);
	for (uint32_t i = 0; !r && i < q->header.bitmaps; i++) {
		struct bitmap_entry entry;

		r = next_entry(bytes, q->header.bitmaps_size, &at, &entry);
		if (!r)
			r = walk_bitmap(walk, &entry);
	}
	free(bytes);
	return r;
}

/* Loading */

static uint32_t table_entries_of(const struct qcow2 *q, uint64_t bytes)
{
	return (uint32_t)((bytes + q->cluster_size - 1) >> q->cluster_bits);
}

static int read_bits(struct qcow2 *q, const struct bitmap_entry *entry, struct dirty_map *map)
{
	const uint64_t size = dirty_bytes(map);
	uint8_t *to = (uint8_t *)map->word;
	uint64_t *table;
	int r;

	if (entry->entries != table_entries_of(q, size))
		return -EIO;
	r = walk_read_l1(q, entry->table, entry->entries, &table);
	for (uint32_t i = 0; !r && i < entry->entries; i++) {
		const uint64_t at = (uint64_t)i << q->cluster_bits,
			       offset = table[i] & ENTRY_OFFSET;
		const uint64_t part = size - at < q->cluster_size ? size - at : q->cluster_size;

		if (!offset)
			memset(to + at, table[i] & ALL_ONES ? 0xff : 0, part);
		else if (offset & (q->cluster_size - 1) || offset > file_size(&q->file) ||
			part > file_size(&q->file) - offset)
			r = -EIO;
		else
			r = file_read(&q->file, to + at, part, offset);
	}
	/* There are none behind the last. */
	if (map->units % 64)
		map->word[map->units / 64] &= (1ull << map->units % 64) - 1;
	free(table);
	return r;
}

static bool is_usable(const struct bitmap_entry *entry)
{
	return entry->flags == AUTO && entry->type == TYPE_DIRTY && !entry->extra &&
		entry->bits >= DIRTY_BITS_MIN && entry->bits <= DIRTY_BITS_MAX;
}

static int load_one(struct qcow2 *q, const struct bitmap_entry *entry, struct dirty_set *set)
{
	char name[CHECKPOINT_NAME_MAX + 1] = "";
	struct dirty_map *map = NULL;

	if (entry->name_size <= CHECKPOINT_NAME_MAX)
		memcpy(name, entry->name, entry->name_size);
	if (set->count == CHECKPOINTS_MAX || strlen(name) != entry->name_size ||
		!checkpoint_name_valid(name) || dirty_find(set, name))
		return 0;
	if (is_usable(entry))
		map = dirty_new(name, entry->bits, q->image.size);
	if (map && read_bits(q, entry, map)) {
		dirty_free(map);
		map = NULL;
	}
	if (!map) {
		map = dirty_new(name, 0, q->image.size);
		if (!map)
			return -ENOMEM;
		dirty_lose(map);
	}
	dirty_put(set, map);
	return 0;
}

int qcow2_load_dirty(struct block_image *image, struct dirty_set *set)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	uint64_t at = 0;
	int r = 0;

	for (uint32_t i = 0; q->directory && !r && i < q->header.bitmaps; i++) {
		struct bitmap_entry entry;

		r = next_entry(q->directory, q->header.bitmaps_size, &at, &entry);
		if (!r)
			r = load_one(q, &entry, set);
	}
	return r;
}

int bitmaps_open(struct qcow2 *q)
{
	free(q->directory);
	return read_directory(q, &q->directory);
}

int bitmaps_mark_in_use(struct qcow2 *q)
{
	uint64_t at = 0, begin;
	bool any = false;
	uint8_t *bytes;
	int r = read_directory(q, &bytes);

	if (r || !bytes)
		return r;
	for (uint32_t i = 0; !r && i < q->header.bitmaps; i++) {
		struct bitmap_entry entry;

		begin = at;
		r = next_entry(bytes, q->header.bitmaps_size, &at, &entry);
		if (r || entry.flags & IN_USE)
			continue;
		qcow2_put(bytes + begin + ENTRY_FLAGS, 4, entry.flags | IN_USE);
		any = true;
	}
	if (!r && any)
		r = file_write(&q->file, bytes, q->header.bitmaps_size, q->header.bitmaps_offset);
	if (!r && any)
		r = file_flush(&q->file);
	free(bytes);
	return r;
}

/* Storing */

static bool is_all(const uint8_t *bytes, size_t size, uint8_t value)
{
	return bytes[0] == value && !memcmp(bytes, bytes + 1, size - 1);
}

/* Of one that is lost it is not known, so it could be all of it. */
static uint64_t bytes_of(const struct qcow2 *q, const struct dirty_map *map)
{
	return map->lost ? ((q->image.size - 1) >> map->bits >> 3) + 1 : dirty_bytes(map);
}

static int write_bits(struct qcow2 *q, const struct dirty_map *map, uint64_t *offset)
{
	const uint64_t size = bytes_of(q, map);
	const uint32_t entries = table_entries_of(q, size);
	const uint8_t *from = (const uint8_t *)map->word;
	uint8_t *table = calloc(entries, 8);
	int r = table ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < entries; i++) {
		const uint64_t at = (uint64_t)i << q->cluster_bits;
		const uint64_t part = size - at < q->cluster_size ? size - at : q->cluster_size;
		uint64_t word = ALL_ONES;

		if (map->lost)
			word = ALL_ONES;
		else if (is_all(from + at, part, 0))
			word = 0;
		else if (!is_all(from + at, part, 0xff))
			r = clusters_write(q, from + at, part, &word);
		qcow2_put(table + 8ull * i, 8, word);
	}
	if (!r)
		r = clusters_write(q, table, entries * 8ull, offset);
	free(table);
	return r;
}

/* All bits, and the directory: into *bytes, malloc'd. */
static int write_all(struct qcow2 *q, const struct dirty_set *set, uint8_t **bytes, size_t *size)
{
	uint8_t *to = calloc(set->count + 1, ENTRY_HEAD + CHECKPOINT_NAME_MAX + 8);
	int r = to ? 0 : -ENOMEM;

	*bytes = to;
	for (unsigned i = 0; !r && i < set->count; i++) {
		const struct dirty_map *map = set->map[i];
		const size_t name = strlen(map->name);
		uint64_t table = 0;

		r = write_bits(q, map, &table);
		qcow2_put(to, 8, table);
		qcow2_put(to + 8, 4, table_entries_of(q, bytes_of(q, map)));
		qcow2_put(to + ENTRY_FLAGS, 4, map->lost ? IN_USE : AUTO);
		to[16] = TYPE_DIRTY;
		to[17] = (uint8_t)map->bits;
		qcow2_put(to + 18, 2, name);
		memcpy(to + ENTRY_HEAD, map->name, name);
		to += (ENTRY_HEAD + name + 7) & ~(size_t)7;
	}
	*size = (size_t)(to - *bytes);
	return r;
}

/* The extensions of one first cluster behind the header of another, but bitmaps. Where the next goes; 0: no room. */
static size_t copy_extensions(const struct qcow2 *q, const uint8_t *from, uint8_t *to, size_t room)
{
	size_t at = q->header.length, end = at;

	while (at + 8 <= room) {
		const uint32_t type = (uint32_t)qcow2_get(from + at, 4);
		const uint64_t length = 8 + ((qcow2_get(from + at + 4, 4) + 7) & ~7ull);

		if (!type)
			return end;
		if (length > room - at)
			return 0;
		if (type != QCOW2_EXTENSION_BITMAPS) {
			memcpy(to + end, from + at, length);
			end += length;
		}
		at += length;
	}
	return 0;
}

/* The first cluster as it is to be, in one write. */
static int put_header(struct qcow2 *q, uint32_t count, uint64_t autoclear, uint64_t offset,
	size_t size)
{
	const size_t room =
		q->cluster_size < QCOW2_HEADER_READ ? q->cluster_size : QCOW2_HEADER_READ;
	const size_t backing = strlen(q->header.backing);
	uint8_t *bytes = calloc(2, room), *old = bytes + room;
	size_t at, end;
	int r = bytes ? file_read(&q->file, old, room, 0) : -ENOMEM;

	if (r)
		goto out;
	memcpy(bytes, old, q->header.length);
	at = copy_extensions(q, old, bytes, room);
	if (!at || at + 8 + QCOW2_EXTENSION_BITMAPS_SIZE + 8 + backing > room) {
		r = -ENOSPC;
		goto out;
	}
	if (count) {
		qcow2_put(bytes + at, 4, QCOW2_EXTENSION_BITMAPS);
		qcow2_put(bytes + at + 4, 4, QCOW2_EXTENSION_BITMAPS_SIZE);
		qcow2_put(bytes + at + 8, 4, count);
		qcow2_put(bytes + at + 16, 8, size);
		qcow2_put(bytes + at + 24, 8, offset);
		at += 8 + QCOW2_EXTENSION_BITMAPS_SIZE;
	}
	at += 8; /* the end of them */
	qcow2_put(bytes + QCOW2_AT_BACKING, 8, backing ? at : 0);
	qcow2_put(bytes + QCOW2_AT_BACKING + 8, 4, backing);
	memcpy(bytes + at, q->header.backing, backing);
	qcow2_put(bytes + QCOW2_AT_AUTOCLEAR, 8, autoclear);
	/* No more than that: so it is a page, which few hosts tear. */
	end = (at + backing + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
	r = file_write(&q->file, bytes, end < room ? end : room, 0);
	if (!r)
		r = file_flush(&q->file);
out:
	free(bytes);
	return r;
}

static int store(struct qcow2 *q, const struct dirty_set *set)
{
	const uint64_t autoclear =
		(q->header.autoclear & ~QCOW2_BITMAPS) | (set->count ? QCOW2_BITMAPS : 0);
	uint64_t offset = 0;
	uint8_t *bytes;
	size_t size;
	int r = write_all(q, set, &bytes, &size);

	if (!r)
		r = clusters_write(q, bytes, size, &offset);
	free(bytes);
	if (!r)
		r = qcow2_flush(q);
	if (!r)
		r = put_header(q, set->count, autoclear, offset, size);
	if (r)
		return r;
	/* Those that the header had before. */
	clusters_forget(q, walk_bitmaps);
	q->header.autoclear = autoclear;
	q->header.bitmaps = set->count;
	q->header.bitmaps_offset = offset;
	q->header.bitmaps_size = size;
	mutex_lock(&q->lock);
	r = tables_gather(q, NULL);
	mutex_unlock(&q->lock);
	return r ? r : qcow2_flush(q);
}

int qcow2_store_dirty(struct block_image *image, const struct dirty_set *set)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);

	if (!set->count && !q->header.bitmaps)
		return 0;
	if (q->header.version < 3)
		return -ENOTSUP;
	return image->read_only ? -EROFS : store(q, set);
}
