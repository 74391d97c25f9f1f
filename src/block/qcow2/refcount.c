/* SPDX-License-Identifier: Apache-2.0 */
/* Reference counts: what is used and how often, and so which clusters are free. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/internal.h"

#define OFFSET_MAX (1ull << 56)

static unsigned order(const struct qcow2 *q)
{
	return q->header.refcount_order;
}

/* Counts in a block, which is a cluster. */
static uint64_t block_counts(const struct qcow2 *q)
{
	return q->cluster_size * 8 >> order(q);
}

uint64_t refcount_max(const struct qcow2 *q)
{
	return order(q) == 6 ? ~0ull : (1ull << (1u << order(q))) - 1;
}

uint64_t refcount_entry(const void *block, unsigned width_order, uint64_t n)
{
	const uint8_t *bytes = block;
	unsigned bits = 1u << width_order;

	if (bits >= 8)
		return qcow2_get(bytes + n * (bits / 8), bits / 8);
	return bytes[n * bits / 8] >> (n * bits % 8) & ((1u << bits) - 1);
}

void refcount_put(void *block, unsigned width_order, uint64_t n, uint64_t value)
{
	uint8_t *bytes = block;
	unsigned bits = 1u << width_order, shift;

	if (bits >= 8) {
		qcow2_put(bytes + n * (bits / 8), bits / 8, value);
		return;
	}
	shift = n * bits % 8;
	bytes += n * bits / 8;
	*bytes = (uint8_t)((*bytes & ~(((1u << bits) - 1) << shift)) | value << shift);
}

/* The slice that counts a cluster, and which of its counts that is; NULL: no block, so it is free. */
static int find_slice(struct qcow2 *q, uint64_t cluster, struct slice **slice, uint64_t *n)
	REQUIRES(q->lock)
{
	const uint64_t index = cluster / block_counts(q);
	const uint64_t bit = (cluster % block_counts(q)) << order(q);
	const uint64_t size = q->refcounts.size;
	uint64_t at;

	*slice = NULL;
	if (index >= q->reftable_entries || !q->reftable[index])
		return 0;
	at = bit / 8 & ~(size - 1);
	*n = (bit - at * 8) >> order(q);
	return slices_get(&q->refcounts, q->reftable[index] + at, slice);
}

int refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count)
{
	struct slice *slice;
	uint64_t n;
	int r;

	mutex_assert_held(&q->lock);
	r = find_slice(q, cluster, &slice, &n);
	*count = !r && slice ? refcount_entry(slice->data, order(q), n) : 0;
	return r;
}

int refcount_set(struct qcow2 *q, uint64_t cluster, uint64_t count)
{
	struct slice *slice;
	uint64_t n;
	int r;

	mutex_assert_held(&q->lock);
	r = find_slice(q, cluster, &slice, &n);
	if (r || !slice)
		return r ? r : count ? -EIO : 0;
	if (count > refcount_max(q))
		return -EOVERFLOW;
	refcount_put(slice->data, order(q), n, count);
	slices_dirty(&q->refcounts, slice);
	if (!count && cluster < q->search)
		q->search = cluster;
	return 0;
}

/* What refers to it is written when it is stable itself. */
int refcount_block_make(struct qcow2 *q, uint64_t cluster)
{
	const uint64_t index = cluster / block_counts(q), offset = cluster << q->cluster_bits;
	uint8_t *bytes, word[8];
	int r;

	if (set_has(&q->tables, cluster))
		return -EIO;
	bytes = calloc(1, q->cluster_size);
	if (!bytes)
		return -ENOMEM;
	refcount_put(bytes, order(q), cluster % block_counts(q), 1);
	r = file_write(&q->file, bytes, q->cluster_size, offset);
	free(bytes);
	if (!r)
		r = file_flush(&q->file);
	if (!r)
		r = set_add(&q->tables, cluster);
	if (r)
		return r;
	qcow2_put(word, 8, offset);
	r = file_write(&q->file, word, 8, q->header.reftable_offset + index * 8);
	if (r) {
		set_remove(&q->tables, cluster);
		return r;
	}
	q->reftable[index] = offset;
	return 0;
}

/* A larger table, behind all that the old one counts, with the blocks that count it. */
struct growth {
	uint64_t first, table, blocks; /* clusters */
	uint64_t entries;
	uint64_t *reftable;
};

static int write_growth(struct qcow2 *q, struct growth *g) REQUIRES(q->lock)
{
	const uint64_t count = g->table + g->blocks, start = g->first << q->cluster_bits;
	uint8_t *bytes = calloc(count, q->cluster_size);
	uint8_t fields[12];
	int r;

	if (!bytes)
		return -ENOMEM;
	for (uint64_t i = 0; i < g->blocks; i++)
		g->reftable[q->reftable_entries + i] = (g->first + g->table + i) << q->cluster_bits;
	for (uint64_t i = 0; i < g->entries; i++)
		qcow2_put(bytes + i * 8, 8, g->reftable[i]);
	for (uint64_t i = 0; i < count; i++)
		refcount_put(bytes + (g->table << q->cluster_bits), order(q), i, 1);
	r = file_write(&q->file, bytes, count << q->cluster_bits, start);
	free(bytes);
	if (!r)
		r = file_flush(&q->file);
	qcow2_put(fields, 8, start);
	qcow2_put(fields + 8, 4, g->table);
	if (!r)
		r = header_write(q, QCOW2_AT_REFTABLE, fields, sizeof fields);
	return r ? r : file_flush(&q->file);
}

static int grow_table(struct qcow2 *q) REQUIRES(q->lock)
{
	struct growth g = {.first = q->reftable_entries * block_counts(q)};
	const uint64_t old = cluster_of(q, q->header.reftable_offset);
	const uint64_t old_clusters = q->header.reftable_clusters;
	int r;

	g.table = 2 * old_clusters;
	g.entries = g.table << q->cluster_bits >> 3;
	do { /* a block more makes room for a block more */
		g.blocks++;
	} while (g.blocks * block_counts(q) < g.table + g.blocks);
	if (g.table << q->cluster_bits > QCOW2_REFTABLE_MAX ||
		(g.first + g.table + g.blocks) << q->cluster_bits >= OFFSET_MAX)
		return -EFBIG;
	g.reftable = calloc(g.entries, sizeof *g.reftable);
	if (!g.reftable)
		return -ENOMEM;
	memcpy(g.reftable, q->reftable, q->reftable_entries * sizeof *g.reftable);
	r = write_growth(q, &g);
	for (uint64_t i = 0; !r && i < g.table + g.blocks; i++)
		r = set_add(&q->tables, g.first + i);
	if (r) {
		free(g.reftable);
		return r;
	}
	free(q->reftable);
	q->reftable = g.reftable;
	q->reftable_entries = g.entries;
	q->header.reftable_offset = g.first << q->cluster_bits;
	q->header.reftable_clusters = (uint32_t)g.table;
	if (q->unused < g.first + g.table + g.blocks)
		q->unused = g.first + g.table + g.blocks;
	for (uint64_t i = 0; i < old_clusters; i++) {
		set_remove(&q->tables, old + i);
		cluster_forget(q, old + i);
	}
	return 0;
}

/* The next free cluster from *cluster on, whose block is there. */
static int find_free(struct qcow2 *q, uint64_t *cluster) REQUIRES(q->lock)
{
	uint64_t count = 1;
	int r = 0;

	for (; !r; ++*cluster) {
		const uint64_t index = *cluster / block_counts(q);

		if (*cluster << q->cluster_bits >= OFFSET_MAX)
			return -EFBIG;
		if (index >= q->reftable_entries)
			r = grow_table(q);
		else if (!q->reftable[index])
			r = refcount_block_make(q, *cluster);
		if (!r)
			r = refcount_get(q, *cluster, &count);
		if (!r && !count)
			return 0;
	}
	return r;
}

static bool has_room(const struct qcow2 *q, uint64_t cluster)
{
	return !q->file.device || (cluster + 1) << q->cluster_bits <= q->file.size;
}

int clusters_take(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got)
{
	uint64_t cluster = q->search, count = 0;
	int r;

	mutex_assert_held(&q->lock);
	r = find_free(q, &cluster);
	if (r)
		return r;
	*first = cluster;
	for (*got = 0; *got < want; ++*got, cluster++) {
		const uint64_t index = cluster / block_counts(q);

		if (*got && (index >= q->reftable_entries || !q->reftable[index]))
			break;
		r = refcount_get(q, cluster, &count);
		/* A count of zero for what stands there for the image itself is a lie. */
		if (!r && (count || !has_room(q, cluster) || set_has(&q->tables, cluster)))
			r = count ? -EAGAIN : has_room(q, cluster) ? -EIO : -ENOSPC;
		if (!r)
			r = refcount_set(q, cluster, 1);
		if (r)
			break;
	}
	if (!*got)
		return r;
	q->search = cluster;
	if (q->unused < cluster)
		q->unused = cluster;
	return 0;
}

int clusters_take_row(struct qcow2 *q, uint64_t count, uint64_t *first)
{
	uint64_t start, got, have = 0;
	const uint64_t search = q->search;
	int r;

	*first = 0;
	while (have < count) {
		r = clusters_take(q, count - have, &start, &got);
		if (r) {
			clusters_give_back(q, *first, have);
			return r;
		}
		if (have && start == *first + have) {
			have += got;
			continue;
		}
		if (have)
			clusters_give_back(q, *first, have);
		/* What was too short is looked at again later. */
		q->search = start + got;
		*first = start;
		have = got;
	}
	q->search = search;
	return 0;
}

void clusters_give_back(struct qcow2 *q, uint64_t first, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		refcount_set(q, first + i, 0); /* if not, they are lost, and nothing else is */
}

void cluster_forget(struct qcow2 *q, uint64_t cluster)
{
	struct freed *freed = &q->freed;

	mutex_assert_held(&q->lock);
	if (freed->count == freed->room) {
		size_t room = freed->room ? 2 * freed->room : 64;
		uint64_t *larger = realloc(freed->cluster, room * sizeof *larger);

		if (!larger)
			return; /* lost until the image is repaired; no worse */
		freed->cluster = larger;
		freed->room = room;
	}
	freed->cluster[freed->count++] = cluster;
}

void entry_forget(struct qcow2 *q, uint64_t word)
{
	uint64_t offset, size;

	if (!(word & ENTRY_PACKED)) {
		if (word & ENTRY_OFFSET)
			cluster_forget(q, cluster_of(q, word & ENTRY_OFFSET));
		return;
	}
	packed_range(q, word, &offset, &size);
	for (uint64_t c = cluster_of(q, offset); c <= cluster_of(q, offset + size - 1); c++)
		cluster_forget(q, c);
	packed_forget(q);
}

int clusters_write(struct qcow2 *q, const void *bytes, size_t size, uint64_t *offset)
{
	const uint64_t count = (size + q->cluster_size - 1) >> q->cluster_bits;
	uint64_t first = 0;
	int r = 0;

	*offset = 0;
	if (!size)
		return 0;
	mutex_lock(&q->lock);
	r = clusters_take_row(q, count, &first);
	mutex_unlock(&q->lock);
	if (!r)
		r = file_write(&q->file, bytes, size, first << q->cluster_bits);
	*offset = first << q->cluster_bits;
	return r;
}

static int forget_row(struct image_walk *walk, uint64_t first, uint64_t count)
{
	mutex_lock(&walk->q->lock);
	for (uint64_t c = first; c < first + count; c++)
		cluster_forget(walk->q, c);
	mutex_unlock(&walk->q->lock);
	return 0;
}

void clusters_forget(struct qcow2 *q, int (*walk)(struct image_walk *walk))
{
	struct image_walk forget = {forget_row, q};

	walk(&forget);
}
