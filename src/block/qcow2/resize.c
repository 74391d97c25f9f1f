/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "block/qcow2/internal.h"

/* A longer L1 table in a new place, and the disk's new size, in one step for the file. */
static int move_l1(struct qcow2 *q, uint64_t size, uint32_t entries) REQUIRES(q->lock)
{
	const uint64_t old = cluster_of(q, q->header.l1_offset);
	const uint64_t old_count =
		(q->header.l1_entries * 8ull + q->cluster_size - 1) >> q->cluster_bits;
	const uint64_t count = (entries * 8ull + q->cluster_size - 1) >> q->cluster_bits;
	uint64_t first, *l1 = calloc(entries, sizeof *l1);
	uint8_t *bytes = calloc(count, q->cluster_size);
	int r = l1 && bytes ? clusters_take_row(q, count, &first) : -ENOMEM;

	if (r)
		goto out;
	memcpy(l1, q->l1, q->header.l1_entries * 8ull);
	for (uint32_t i = 0; i < q->header.l1_entries; i++)
		qcow2_put(bytes + 8ull * i, 8, l1[i]);
	r = file_write(&q->file, bytes, count << q->cluster_bits, first << q->cluster_bits);
	/* Its clusters are counted before anything refers to them. */
	mutex_unlock(&q->lock);
	if (!r)
		r = qcow2_flush(q);
	mutex_lock(&q->lock);
	if (!r)
		r = header_put_l1(q, size, entries, first << q->cluster_bits);
	if (r)
		goto out;
	free(q->l1);
	q->l1 = l1;
	l1 = NULL;
	q->header.l1_offset = first << q->cluster_bits;
	q->header.l1_entries = entries;
	for (uint64_t i = 0; i < old_count; i++)
		cluster_forget(q, old + i);
	r = tables_gather(q, NULL);
out:
	free(l1);
	free(bytes);
	return r;
}

static int set_size(struct qcow2 *q, uint64_t size) REQUIRES(q->lock)
{
	const uint64_t needed = ((size - 1) >> (q->cluster_bits + q->table_bits)) + 1;
	int r;

	if (needed > QCOW2_L1_MAX / 8)
		return -EFBIG;
	if (needed > q->header.l1_entries)
		r = move_l1(q, size, (uint32_t)needed);
	else
		r = header_put_l1(q, size, q->header.l1_entries, q->header.l1_offset);
	if (!r)
		q->header.size = q->image.size = size;
	return r;
}

/* What is behind the end is nobody's any more, nor is it there again should the disk grow. */
static int empty_end(struct qcow2 *q, uint64_t size)
{
	uint64_t most = 1ull << 40;
	int r = 0;

	for (uint64_t at = size; !r && at < q->image.size; at += most) {
		uint64_t part = q->image.size - at < most ? q->image.size - at : most;

		r = qcow2_write_zeroes(q, at, part, true);
	}
	return r;
}

int qcow2_resize(struct block_image *image, uint64_t size, bool shrink, struct error *err)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	const uint64_t old = q->image.size;
	int r;

	if (!size || size % BLOCK_SECTOR)
		return error_set(err, EINVAL, "%s: a disk's size is a multiple of %u bytes",
			q->name, BLOCK_SECTOR);
	if (size < old && !shrink)
		return error_set(err, EINVAL, "%s: that would cut off the disk's end", q->name);
	if (q->header.version < 3 && q->header.snapshots)
		return error_set(err, ENOTSUP,
			"%s: has snapshots that do not know their size (version 2)", q->name);
	r = size < old ? empty_end(q, size) : 0;
	if (!r)
		r = qcow2_flush(q);
	if (!r) {
		mutex_lock(&q->lock);
		r = set_size(q, size);
		mutex_unlock(&q->lock);
	}
	/* What is new is empty, whatever the image below has there. */
	if (!r && size > old && q->backing && q->backing->size > old)
		r = qcow2_write_zeroes(q, old, size - old, true);
	if (!r)
		r = qcow2_flush(q);
	return r ? error_set(err, -r, "%s: cannot be resized: %s", q->name, strerror(-r)) : 0;
}
