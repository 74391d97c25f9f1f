/* SPDX-License-Identifier: Apache-2.0 */
/* How tables come into the file: internal.h tells in which order, and why. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/internal.h"

/* One passage of what has gathered. */
struct passage {
	struct batch refcounts, l2;
	struct freed freed;
	uint8_t *l1;
	uint32_t l1_first, l1_count;
};

static int take_l1(struct qcow2 *q, struct passage *p) REQUIRES(q->lock)
{
	p->l1_first = q->l1_dirty_first;
	p->l1_count = q->l1_dirty_end - q->l1_dirty_first;
	if (!p->l1_count)
		return 0;
	p->l1 = malloc(p->l1_count * 8ull);
	if (!p->l1)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->l1_count; i++)
		qcow2_put(p->l1 + 8ull * i, 8, q->l1[p->l1_first + i]);
	q->l1_dirty_first = q->l1_dirty_end = 0;
	return 0;
}

static int take(struct qcow2 *q, struct passage *p) REQUIRES(q->lock)
{
	int r = batch_take(&p->refcounts, &q->refcounts);

	if (!r)
		r = batch_take(&p->l2, &q->l2);
	if (!r)
		r = take_l1(q, p);
	if (r)
		return r;
	p->freed = q->freed;
	q->freed = (struct freed){.cluster = NULL};
	return 0;
}

static bool is_dirty(const struct qcow2 *q) REQUIRES(q->lock)
{
	return q->refcounts.dirty || q->l2.dirty || q->freed.count ||
		q->l1_dirty_first != q->l1_dirty_end;
}

static int write_out(struct qcow2 *q, const struct passage *p)
{
	int r = batch_write(&p->refcounts, &q->file);

	if (!r)
		r = file_flush(&q->file);
	if (r || (!p->l2.count && !p->l1_count))
		return r;
	r = batch_write(&p->l2, &q->file);
	if (!r && p->l1_count)
		r = file_write(&q->file, p->l1, p->l1_count * 8ull,
			q->header.l1_offset + 8ull * p->l1_first);
	return r ? r : file_flush(&q->file);
}

/* What has been taken is still to be done. */
static void put_back(struct qcow2 *q, struct passage *p) REQUIRES(q->lock)
{
	uint32_t end = p->l1_first + p->l1_count;

	for (size_t i = 0; i < p->freed.count; i++)
		cluster_forget(q, p->freed.cluster[i]);
	if (p->l1_count && q->l1_dirty_first == q->l1_dirty_end) {
		q->l1_dirty_first = p->l1_first;
		q->l1_dirty_end = end;
	} else if (p->l1_count) {
		if (p->l1_first < q->l1_dirty_first)
			q->l1_dirty_first = p->l1_first;
		if (end > q->l1_dirty_end)
			q->l1_dirty_end = end;
	}
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Counts down; what comes to nothing stays in the list, counted once, until its space is given back. */
static void count_down(struct qcow2 *q, struct freed *freed) REQUIRES(q->lock)
{
	size_t left = 0;

	for (size_t i = 0; i < freed->count; i++) {
		uint64_t cluster = freed->cluster[i], count;

		if (refcount_get(q, cluster, &count) || !count)
			continue;
		if (count > 1)
			refcount_set(q, cluster, count - 1);
		else if (!left || freed->cluster[left - 1] != cluster)
			freed->cluster[left++] = cluster;
	}
	freed->count = left;
}

/* Nobody reads them any more, and nobody can be given them yet. */
static void empty(struct qcow2 *q, const struct freed *freed)
{
	for (size_t i = 0, n; i < freed->count; i += n) {
		for (n = 1; i + n < freed->count && freed->cluster[i + n] == freed->cluster[i] + n;)
			n++;
		file_discard(&q->file, freed->cluster[i] << q->cluster_bits,
			(uint64_t)n << q->cluster_bits);
	}
}

static void let_go(struct qcow2 *q, struct freed *freed) EXCLUDES(q->lock)
{
	struct batch refcounts;
	int r;

	if (!freed->count)
		return;
	qsort(freed->cluster, freed->count, sizeof *freed->cluster, by_number);
	mutex_lock(&q->lock);
	count_down(q, freed);
	mutex_unlock(&q->lock);
	empty(q, freed);
	mutex_lock(&q->lock);
	for (size_t i = 0; i < freed->count; i++)
		refcount_set(q, freed->cluster[i], 0);
	r = batch_take(&refcounts, &q->refcounts);
	mutex_unlock(&q->lock);
	/* It has time to become stable. */
	if (!r)
		r = batch_write(&refcounts, &q->file);
	mutex_lock(&q->lock);
	batch_end(&refcounts, &q->refcounts, !r);
	mutex_unlock(&q->lock);
}

static int pass(struct qcow2 *q) REQUIRES(q->flushing) EXCLUDES(q->lock)
{
	struct passage p = {.l1 = NULL};
	int r;

	mutex_lock(&q->lock);
	r = take(q, &p);
	mutex_unlock(&q->lock);
	if (!r)
		r = write_out(q, &p);
	mutex_lock(&q->lock);
	batch_end(&p.refcounts, &q->refcounts, !r);
	batch_end(&p.l2, &q->l2, !r);
	if (r)
		put_back(q, &p);
	mutex_unlock(&q->lock);
	if (!r)
		let_go(q, &p.freed);
	free(p.freed.cluster);
	free(p.l1);
	return r;
}

int qcow2_flush(struct qcow2 *q)
{
	bool dirty;
	int r;

	if (q->image.read_only)
		return 0;
	mutex_lock(&q->flushing);
	mutex_lock(&q->lock);
	dirty = is_dirty(q);
	mutex_unlock(&q->lock);
	r = dirty ? pass(q) : file_flush(&q->file);
	mutex_unlock(&q->flushing);
	return r;
}

int qcow2_flush_if_full(struct qcow2 *q)
{
	bool full;

	mutex_lock(&q->lock);
	full = q->freed.count > FREED_MAX || q->l2.dirty > q->l2.limit / 2 ||
		q->refcounts.dirty > q->refcounts.limit / 2;
	mutex_unlock(&q->lock);
	return full ? qcow2_flush(q) : 0;
}
