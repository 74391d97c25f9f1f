/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots within the image. Counts, flags and the list of snapshots do not change in one step: while they
 * do, the image is marked dirty, so that whoever opens it after a crash counts anew. Version 2 has no such
 * mark: there a crash may leave flags that a check complains of.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/container.h"
#include "block/qcow2/internal.h"

#define ENTRY_HEAD 40u
#define ENTRY_EXTRA 16u

/* Counts each cluster that a walk comes to once more, or once less. */
static int add_one(struct image_walk *walk, uint64_t first, uint64_t count)
{
	struct qcow2 *q = walk->q;
	uint64_t used;
	int r = 0;

	mutex_lock(&q->lock);
	for (uint64_t c = first; !r && c < first + count; c++) {
		r = refcount_get(q, c, &used);
		if (!r)
			r = used == refcount_max(q) ? -EOVERFLOW : refcount_set(q, c, used + 1);
	}
	mutex_unlock(&q->lock);
	return r;
}

static int take_one(struct image_walk *walk, uint64_t first, uint64_t count)
{
	mutex_lock(&walk->q->lock);
	for (uint64_t c = first; c < first + count; c++)
		cluster_forget(walk->q, c);
	mutex_unlock(&walk->q->lock);
	return 0;
}

static int write_l1(struct qcow2 *q, const uint64_t *l1, uint32_t entries, uint64_t *offset)
{
	uint8_t *bytes = malloc(entries * 8ull + 8);
	int r;

	if (!bytes)
		return -ENOMEM;
	for (uint32_t i = 0; i < entries; i++)
		qcow2_put(bytes + 8ull * i, 8, l1[i]);
	r = clusters_write(q, bytes, entries * 8ull, offset);
	free(bytes);
	return r;
}

static void forget_bytes(struct qcow2 *q, uint64_t offset, uint64_t size)
{
	struct image_walk walk = {take_one, q};

	if (size)
		take_one(&walk, cluster_of(q, offset),
			cluster_of(q, offset + size - 1) - cluster_of(q, offset) + 1);
}

/* The list as it is to be, in one step for the file. What it was is given up. */
static int put_list(struct qcow2 *q, const void *bytes, size_t size, uint32_t count, size_t old)
{
	const uint64_t old_offset = q->header.snapshots_offset;
	uint8_t fields[12];
	uint64_t offset;
	int r = clusters_write(q, bytes, size, &offset);

	if (!r)
		r = qcow2_flush(q);
	qcow2_put(fields, 4, count);
	qcow2_put(fields + 4, 8, offset);
	if (!r)
		r = header_write(q, QCOW2_AT_SNAPSHOTS, fields, sizeof fields);
	if (!r)
		r = file_flush(&q->file);
	if (r)
		return r;
	q->header.snapshots = count;
	q->header.snapshots_offset = offset;
	forget_bytes(q, old_offset, old);
	return 0;
}

static int flags(struct qcow2 *q)
{
	uint64_t wrong;
	int r = qcow2_flush(q);

	mutex_lock(&q->lock);
	if (!r)
		r = copied_flags(q, true, &wrong);
	mutex_unlock(&q->lock);
	return r ? r : qcow2_flush(q);
}

/* One more than the largest number that is an ID. */
static void new_id(const struct snapshot_table *table, char id[24])
{
	unsigned long largest = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		unsigned long number = strtoul(table->snapshot[i].id, NULL, 10);

		largest = number > largest ? number : largest;
	}
	snprintf(id, 24, "%lu", largest + 1);
}

static int create(struct qcow2 *q, struct snapshot_table *table, const char *name)
{
	struct image_walk walk = {add_one, q};
	size_t length = strlen(name), id_length, size;
	uint64_t l1_offset;
	struct timespec now;
	uint8_t *bytes, *at;
	char id[24];
	int r;

	new_id(table, id);
	id_length = strlen(id);
	size = (ENTRY_HEAD + ENTRY_EXTRA + id_length + length + 7) & ~(size_t)7;
	bytes = calloc(1, table->size + size + 8);
	if (!bytes)
		return -ENOMEM;
	if (table->size)
		memcpy(bytes, table->bytes, table->size);
	at = bytes + ((table->size + 7) & ~(size_t)7);
	r = walk_l1(&walk, q->l1, q->header.l1_entries);
	if (!r)
		r = write_l1(q, q->l1, q->header.l1_entries, &l1_offset);
	if (!r)
		r = flags(q);
	if (!r) {
		clock_gettime(CLOCK_REALTIME, &now);
		qcow2_put(at, 8, l1_offset);
		qcow2_put(at + 8, 4, q->header.l1_entries);
		qcow2_put(at + 12, 2, id_length);
		qcow2_put(at + 14, 2, length);
		qcow2_put(at + 16, 4, (uint64_t)now.tv_sec);
		qcow2_put(at + 20, 4, (uint64_t)now.tv_nsec);
		qcow2_put(at + 36, 4, ENTRY_EXTRA);
		qcow2_put(at + ENTRY_HEAD + 8, 8, q->header.size);
		memcpy(at + ENTRY_HEAD + ENTRY_EXTRA, id, id_length);
		memcpy(at + ENTRY_HEAD + ENTRY_EXTRA + id_length, name, length);
		r = put_list(q, bytes, (size_t)(at - bytes) + size, table->count + 1, table->size);
	}
	free(bytes);
	return r;
}

static int drop(struct qcow2 *q, struct snapshot_table *table, uint32_t n)
{
	const struct snapshot *snapshot = &table->snapshot[n];
	const size_t begin = table->at[n], end = table->at[n + 1];
	struct image_walk walk = {take_one, q};
	uint64_t *l1;
	int r = walk_read_l1(q, snapshot->l1_offset, snapshot->l1_entries, &l1);

	if (r)
		return r;
	memmove(table->bytes + begin, table->bytes + end, table->size - end);
	r = put_list(q, table->bytes, table->size - (end - begin), table->count - 1, table->size);
	if (!r)
		r = walk_l1(&walk, l1, snapshot->l1_entries);
	if (!r)
		forget_bytes(q, snapshot->l1_offset, snapshot->l1_entries * 8ull);
	free(l1);
	return r;
}

/* The guest's disk is now what this table says; the file knows it already. */
static int switch_l1(struct qcow2 *q, uint64_t *l1, uint32_t entries, uint64_t offset,
	uint64_t size)
{
	int r;

	mutex_lock(&q->lock);
	free(q->l1);
	q->l1 = l1;
	q->header.l1_entries = entries;
	q->header.l1_offset = offset;
	q->header.size = q->image.size = size;
	for (struct slice *slice; (slice = q->l2.newest);)
		slices_drop(&q->l2, slice->offset, q->l2.size);
	r = tables_gather(q, NULL);
	mutex_unlock(&q->lock);
	return r;
}

static int apply(struct qcow2 *q, const struct snapshot *snapshot)
{
	const uint64_t old_offset = q->header.l1_offset;
	const uint32_t old_entries = q->header.l1_entries;
	struct image_walk more = {add_one, q}, less = {take_one, q};
	uint64_t *l1, offset;
	int r;

	if (!snapshot->size || snapshot->size % BLOCK_SECTOR ||
		snapshot->l1_entries <= (snapshot->size - 1) >> (q->cluster_bits + q->table_bits))
		return -EIO;
	r = walk_read_l1(q, snapshot->l1_offset, snapshot->l1_entries, &l1);
	if (!r)
		r = walk_l1(&more, l1, snapshot->l1_entries);
	if (!r)
		r = write_l1(q, l1, snapshot->l1_entries, &offset);
	if (!r)
		r = qcow2_flush(q);
	if (!r)
		r = header_put_l1(q, snapshot->size, snapshot->l1_entries, offset);
	/* From here on the old table is nobody's. */
	if (!r)
		r = walk_l1(&less, q->l1, old_entries);
	if (r) {
		free(l1);
		return r;
	}
	forget_bytes(q, old_offset, old_entries * 8ull);
	return switch_l1(q, l1, snapshot->l1_entries, offset, snapshot->size);
}

static int find(const struct snapshot_table *table, const char *name, uint32_t *n)
{
	for (*n = 0; *n < table->count; ++*n)
		if (!strcmp(table->snapshot[*n].name, name))
			return 0;
	for (*n = 0; *n < table->count; ++*n)
		if (!strcmp(table->snapshot[*n].id, name))
			return 0;
	return -ENOENT;
}

static int change(struct qcow2 *q, enum block_snapshot what, const char *name,
	struct snapshot_table *table, uint32_t n)
{
	struct block_faults faults;
	int r = header_set_dirty(q, true), back;

	if (r)
		return r;
	switch (what) {
	case BLOCK_SNAPSHOT_CREATE:
		r = create(q, table, name);
		break;
	case BLOCK_SNAPSHOT_APPLY:
		r = apply(q, &table->snapshot[n]);
		break;
	case BLOCK_SNAPSHOT_DELETE:
		r = drop(q, table, n);
		break;
	}
	if (!r)
		r = flags(q);
	/* Half of it is undone by counting. */
	back = r ? qcow2_check(q, true, &faults, NULL) : 0;
	if (!back) {
		mutex_lock(&q->lock);
		back = tables_gather(q, NULL);
		mutex_unlock(&q->lock);
	}
	if (!back)
		back = header_set_dirty(q, false);
	return r ? r : back;
}

static const char *complaint(int r, const char *name, char text[], size_t size)
{
	if (r == -ENOENT)
		snprintf(text, size, "no snapshot '%s' in it", name);
	else if (r == -EEXIST)
		snprintf(text, size, "there is a snapshot '%s' already", name);
	else if (r == -EOVERFLOW)
		snprintf(text, size, "its reference counts are too narrow for another snapshot");
	else
		snprintf(text, size, "%s", strerror(-r));
	return text;
}

int qcow2_snapshot(struct block_image *image, enum block_snapshot what, const char *name,
	struct error *err)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct cluster_span span = {.last = ~0ull, .alone = true};
	struct snapshot_table table;
	char text[256];
	uint32_t n;
	int r;

	mutex_lock(&q->lock);
	span_enter(q, &span);
	mutex_unlock(&q->lock);
	r = qcow2_flush(q);
	if (!r)
		r = snapshot_table_read(q, &table, err);
	if (!r) {
		r = find(&table, name, &n);
		if (what == BLOCK_SNAPSHOT_CREATE)
			r = !*name || strlen(name) > 255 ? -EINVAL : r ? 0 : -EEXIST;
		if (!r)
			r = change(q, what, name, &table, n);
		snapshot_table_free(&table);
	}
	span_leave(q, &span);
	return r ? error_set(err, -r, "%s: %s", q->name, complaint(r, name, text, sizeof text)) : 0;
}

int qcow2_snapshots(struct block_image *image,
	int (*visit)(void *ctx, const struct block_snapshot_info *info), void *ctx,
	struct error *err)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct snapshot_table table;
	int r = snapshot_table_read(q, &table, err);

	for (uint32_t i = 0; !r && i < table.count; i++) {
		const struct snapshot *snapshot = &table.snapshot[i];
		struct block_snapshot_info info = {.id = snapshot->id,
			.name = snapshot->name,
			.size = snapshot->size,
			.state_size = snapshot->state_size,
			.seconds = snapshot->seconds};

		r = visit(ctx, &info);
	}
	snapshot_table_free(&table);
	return r;
}
