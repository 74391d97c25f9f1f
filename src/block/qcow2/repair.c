/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "block/qcow2/internal.h"

#define CLUSTERS_MAX (64ull << 20) /* that are counted in memory: of 64 KiB, 4 TiB */

struct census {
	struct image_walk walk;
	uint32_t *count;
	uint64_t clusters;
};

static int count_row(struct image_walk *walk, uint64_t first, uint64_t count)
{
	struct census *census = container_of(walk, struct census, walk);

	if (first >= census->clusters || count > census->clusters - first)
		return -EIO;
	for (uint64_t i = first; i < first + count; i++)
		if (census->count[i] < UINT32_MAX)
			census->count[i]++;
	return 0;
}

int copied_flags(struct qcow2 *q, bool repair, uint64_t *wrong)
{
	int r = 0;

	*wrong = 0;
	for (uint32_t i = 0; !r && i < q->header.l1_entries; i++) {
		uint64_t table = q->l1[i] & ENTRY_OFFSET, count, right;

		if (!table)
			continue;
		r = refcount_get(q, cluster_of(q, table), &count);
		right = table | (count == 1 ? ENTRY_COPIED : 0);
		*wrong += q->l1[i] != right;
		if (!r && repair && q->l1[i] != right) {
			q->l1[i] = right;
			q->l1_dirty_first = 0;
			q->l1_dirty_end = q->header.l1_entries;
		}
		for (uint64_t k = 0; !r && k < table_entries(q); k++) {
			const uint64_t guest = ((uint64_t)i << q->table_bits) + k;
			struct l2_entry entry;

			r = entry_get(q, guest, &entry);
			if (r || entry.word & ENTRY_PACKED || !(entry.word & ENTRY_OFFSET))
				continue;
			r = refcount_get(q, cluster_of(q, entry.word & ENTRY_OFFSET), &count);
			right = (entry.word & ~ENTRY_COPIED) | (count == 1 ? ENTRY_COPIED : 0);
			*wrong += entry.word != right;
			if (r || !repair || entry.word == right)
				continue;
			entry.word = right;
			r = entry_set(q, guest, &entry);
		}
	}
	return r;
}

/* A cluster's count as it should be; where there is no block for it, one is made out of a free cluster. */
static int set_right(struct qcow2 *q, struct census *census, uint64_t cluster) REQUIRES(q->lock)
{
	const uint64_t each = q->cluster_size * 8 >> q->header.refcount_order;
	const uint64_t index = cluster / each;
	uint64_t free_one = index * each;
	int r;

	if (index >= q->reftable_entries)
		return -EFBIG;
	if (census->count[cluster] && !q->reftable[index]) {
		while (free_one < census->clusters && free_one < (index + 1) * each &&
			census->count[free_one])
			free_one++;
		if (free_one >= (index + 1) * each)
			return -ENOSPC;
		r = refcount_block_make(q, free_one);
		if (r)
			return r;
		if (free_one < census->clusters)
			census->count[free_one] = 1;
	}
	return refcount_set(q, cluster, census->count[cluster]);
}

/* A file may be long and empty: where nothing is counted, nothing is looked up. */
static bool is_empty(const struct qcow2 *q, const struct census *census, uint64_t cluster)
	REQUIRES(q->lock)
{
	const uint64_t index = cluster / (q->cluster_size * 8 >> q->header.refcount_order);

	return !census->count[cluster] && (index >= q->reftable_entries || !q->reftable[index]);
}

static int compare(struct qcow2 *q, struct census *census, bool repair, struct block_faults *faults)
	REQUIRES(q->lock)
{
	int r = 0;

	for (uint64_t c = 0; !r && c < census->clusters; c++) {
		uint64_t count;

		if (is_empty(q, census, c))
			continue;
		r = refcount_get(q, c, &count);
		faults->leaks += count > census->count[c];
		faults->errors += count < census->count[c];
		if (!r && repair && count != census->count[c])
			r = set_right(q, census, c);
	}
	return r;
}

static int check(struct qcow2 *q, bool repair, struct block_faults *faults, struct error *err)
	REQUIRES(q->lock)
{
	struct census census = {.walk = {count_row, q}};
	uint64_t wrong = 0;
	int r;

	census.clusters = (file_size(&q->file) + q->cluster_size - 1) >> q->cluster_bits;
	if (census.clusters > CLUSTERS_MAX)
		return error_set(err, EFBIG,
			"%s: too large to be repaired here; 'qemu-img check -r all' can", q->name);
	census.count = calloc(census.clusters + 1, sizeof *census.count);
	if (!census.count)
		return error_nomem(err);
	r = walk_image(&census.walk, err);
	if (!r)
		r = compare(q, &census, repair, faults);
	if (!r)
		r = copied_flags(q, repair, &wrong);
	faults->errors += wrong;
	free(census.count);
	return r;
}

int qcow2_check(struct qcow2 *q, bool repair, struct block_faults *faults, struct error *err)
{
	int r;

	*faults = (struct block_faults){.leaks = 0};
	r = qcow2_flush(q);
	if (!r) {
		mutex_lock(&q->lock);
		q->search = 0;
		r = check(q, repair, faults, err);
		mutex_unlock(&q->lock);
	}
	if (!r && repair)
		r = qcow2_flush(q);
	return r ? error_set(err, -r, "%s: cannot be %s: %s", q->name,
			   repair ? "repaired" : "checked", strerror(-r))
		 : 0;
}

int qcow2_check_image(struct block_image *image, struct block_faults *faults, struct error *err)
{
	return qcow2_check(container_of(image, struct qcow2, image), false, faults, err);
}
