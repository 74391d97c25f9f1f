/* SPDX-License-Identifier: Apache-2.0 */
/* All that refers to clusters, read from the file: what is in memory only has been written before. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/internal.h"

/* The clusters of size bytes that begin at a cluster. */
int walk_bytes(struct image_walk *walk, uint64_t offset, uint64_t size)
{
	const struct qcow2 *q = walk->q;

	if (!size)
		return 0;
	return walk->visit(walk, cluster_of(q, offset),
		cluster_of(q, offset + size - 1) - cluster_of(q, offset) + 1);
}

int walk_entry(struct image_walk *walk, uint64_t word)
{
	uint64_t offset = word & ENTRY_OFFSET, size = 1;

	if (word & ENTRY_PACKED)
		packed_range(walk->q, word, &offset, &size);
	else if (!offset)
		return 0;
	else if (offset & (walk->q->cluster_size - 1))
		return -EIO;
	return walk_bytes(walk, offset, size);
}

static int walk_l2(struct image_walk *walk, uint64_t table, uint8_t *bytes)
{
	struct qcow2 *q = walk->q;
	const unsigned size = q->extended ? 16 : 8;
	int r = file_read(&q->file, bytes, q->cluster_size, table);

	for (uint64_t i = 0; !r && i < q->cluster_size; i += size)
		r = walk_entry(walk, qcow2_get(bytes + i, 8));
	return r;
}

int walk_l1(struct image_walk *walk, const uint64_t *l1, uint32_t entries)
{
	uint8_t *bytes = malloc(walk->q->cluster_size);
	int r = bytes ? 0 : -ENOMEM;

	for (uint32_t i = 0; !r && i < entries; i++) {
		uint64_t table = l1[i] & ENTRY_OFFSET;

		if (!table)
			continue;
		r = table & (walk->q->cluster_size - 1) ? -EIO : walk_bytes(walk, table, 1);
		if (!r)
			r = walk_l2(walk, table, bytes);
	}
	free(bytes);
	return r;
}

int walk_read_l1(struct qcow2 *q, uint64_t offset, uint32_t entries, uint64_t **l1)
{
	int r;

	*l1 = NULL;
	if (entries > QCOW2_L1_MAX / 8 || offset & (q->cluster_size - 1) || (entries && !offset) ||
		offset > file_size(&q->file) || entries * 8ull > file_size(&q->file) - offset)
		return -EIO;
	*l1 = malloc(entries * 8ull + 8);
	if (!*l1)
		return -ENOMEM;
	r = file_read(&q->file, *l1, entries * 8ull, offset);
	for (uint32_t i = 0; !r && i < entries; i++)
		(*l1)[i] = qcow2_get(&(*l1)[i], 8);
	if (r) {
		free(*l1);
		*l1 = NULL;
	}
	return r;
}

static int walk_snapshots(struct image_walk *walk, struct error *err)
{
	struct snapshot_table table;
	int r = snapshot_table_read(walk->q, &table, err);

	if (!r)
		r = walk_bytes(walk, walk->q->header.snapshots_offset, table.size);
	for (uint32_t i = 0; !r && i < table.count; i++) {
		const struct snapshot *snapshot = &table.snapshot[i];
		uint64_t *l1;

		r = walk_read_l1(walk->q, snapshot->l1_offset, snapshot->l1_entries, &l1);
		if (!r)
			r = walk_bytes(walk, snapshot->l1_offset, snapshot->l1_entries * 8ull);
		if (!r)
			r = walk_l1(walk, l1, snapshot->l1_entries);
		free(l1);
	}
	snapshot_table_free(&table);
	return r;
}

int walk_image(struct image_walk *walk, struct error *err)
{
	struct qcow2 *q = walk->q;
	const struct qcow2_header *h = &q->header;
	int r = walk->visit(walk, 0, 1);

	if (!r)
		r = walk_bytes(walk, h->reftable_offset,
			(uint64_t)h->reftable_clusters << q->cluster_bits);
	for (uint64_t i = 0; !r && i < q->reftable_entries; i++)
		if (q->reftable[i])
			r = walk_bytes(walk, q->reftable[i], 1);
	if (!r)
		r = walk_bytes(walk, h->l1_offset, h->l1_entries * 8ull);
	if (!r)
		r = walk_l1(walk, q->l1, h->l1_entries);
	if (!r)
		r = walk_snapshots(walk, err);
	if (!r)
		r = walk_bitmaps(walk);
	return r ? error_set(err, -r, "%s: its tables are damaged: %s", q->name, strerror(-r)) : 0;
}
