/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/internal.h"

#define ALL_THERE 0xffffffffull /* a bitmap: each subcluster has data */

/* A part of a write for which tables change: bytes start to end, around which from to to is copied. */
struct new_piece {
	uint64_t guest, clusters; /* of the guest's disk */
	uint64_t host;            /* where they come to lie in the file */
	bool taken;               /* for this; otherwise the clusters were there */
	bool whole;               /* clusters are filled, not subclusters */
	bool unused;              /* what is not written reads as zeroes */
	bool head_zero, tail_zero;
	uint64_t start, end, from, to;
};

static bool is_own(const struct l2_entry *entry)
{
	return !(entry->word & ENTRY_PACKED) && entry->word & ENTRY_COPIED &&
		entry->word & ENTRY_OFFSET;
}

/* There is data of it somewhere else that a subcluster would leave behind. */
static bool is_elsewhere(const struct l2_entry *entry)
{
	return entry->word & (ENTRY_PACKED | ENTRY_OFFSET);
}

/* How many clusters from the piece's first on want a new place, of those that the range has. */
static int count_new(struct qcow2 *q, const struct new_piece *p, uint64_t end, uint64_t *count)
	REQUIRES(q->lock)
{
	const uint64_t last = cluster_of(q, end - 1);
	struct l2_entry entry;
	int r = 0;

	for (*count = 1; p->guest + *count <= last; ++*count) {
		uint64_t guest = p->guest + *count;

		if (!(guest & (table_entries(q) - 1)))
			break;
		r = entry_get(q, guest, &entry);
		if (r || is_own(&entry) || (q->extended && (p->whole || is_elsewhere(&entry))))
			break;
	}
	return r;
}

static int find_place(struct qcow2 *q, struct new_piece *p, const struct l2_entry *entry,
	uint64_t end) REQUIRES(q->lock)
{
	const uint64_t unused = q->unused;
	uint64_t want, first;
	int r;

	if (is_own(entry)) {
		p->host = entry->word & ENTRY_OFFSET;
		p->clusters = 1;
		return data_check(q, p->host, false);
	}
	r = count_new(q, p, end, &want);
	if (!r)
		r = clusters_take(q, want, &first, &p->clusters);
	if (r)
		return r;
	p->taken = true;
	p->host = first << q->cluster_bits;
	p->unused = first >= unused;
	return 0;
}

static int plan(struct qcow2 *q, uint64_t offset, uint64_t end, struct new_piece *p)
	REQUIRES(q->lock)
{
	struct l2_entry entry;
	uint64_t unit;
	int r;

	*p = (struct new_piece){.guest = cluster_of(q, offset), .start = offset};
	r = table_own(q, p->guest);
	if (!r)
		r = entry_get(q, p->guest, &entry);
	if (r)
		return r;
	p->whole = !q->extended || (is_elsewhere(&entry) && !is_own(&entry));
	r = find_place(q, p, &entry, end);
	if (r)
		return r;
	unit = p->whole ? q->cluster_size : q->unit;
	p->end = (p->guest + p->clusters) << q->cluster_bits;
	if (p->end > end)
		p->end = end;
	p->from = p->start & ~(unit - 1);
	p->to = (p->end + unit - 1) & ~(unit - 1);
	r = map_is_zero(q, p->from, p->start - p->from, &p->head_zero);
	if (!r)
		r = map_is_zero(q, p->end, p->to - p->end, &p->tail_zero);
	if (r && p->taken)
		clusters_give_back(q, cluster_of(q, p->host), p->clusters);
	return r;
}

static uint64_t host_of(const struct qcow2 *q, const struct new_piece *p, uint64_t offset)
{
	return p->host + (offset - (p->guest << q->cluster_bits));
}

/* What stood there before the write, at its new place. */
static int copy_old(struct qcow2 *q, const struct new_piece *p, uint64_t from, uint64_t to,
	bool zero)
{
	char *bytes;
	int r = 0;

	if (from == to || (zero && p->unused))
		return 0;
	bytes = calloc(1, to - from);
	if (!bytes)
		return -ENOMEM;
	if (!zero)
		r = qcow2_read_bytes(q, from, to - from, bytes);
	if (!r)
		r = file_write(&q->file, bytes, to - from, host_of(q, p, from));
	free(bytes);
	return r;
}

static int write_data(struct qcow2 *q, uint64_t host, uint64_t length, struct buffers *from)
{
	struct iovec iov[PIECE_IOV];
	unsigned count;
	int r = 0;

	while (!r && length) {
		uint64_t part = buffers_take(from, length, iov, &count);

		r = file_transfer(&q->file, true, iov, count, host, part);
		host += part;
		length -= part;
	}
	return r;
}

static int fill(struct qcow2 *q, const struct new_piece *p, struct buffers *from)
{
	int r = copy_old(q, p, p->from, p->start, p->head_zero);

	if (!r)
		r = copy_old(q, p, p->end, p->to, p->tail_zero);
	return r ? r : write_data(q, host_of(q, p, p->start), p->end - p->start, from);
}

/* The subclusters of guest cluster n of the piece that have data now, as a bitmap. */
static uint64_t filled(const struct qcow2 *q, const struct new_piece *p, uint64_t n)
{
	const uint64_t begin = (p->guest + n) << q->cluster_bits, end = begin + q->cluster_size;
	const uint64_t from = p->from > begin ? p->from : begin, to = p->to < end ? p->to : end;
	const unsigned first = (unsigned)((from - begin) / q->unit);
	const unsigned count = (unsigned)((to - from) / q->unit);

	return p->whole ? ALL_THERE : ((1ull << count) - 1) << first;
}

static int commit(struct qcow2 *q, const struct new_piece *p) REQUIRES(q->lock)
{
	uint64_t i;
	int r = 0;

	for (i = 0; i < p->clusters; i++) {
		struct l2_entry old, entry;

		r = entry_get(q, p->guest + i, &old);
		if (r)
			break;
		entry.word = (p->host + (i << q->cluster_bits)) | ENTRY_COPIED;
		entry.bitmap = 0;
		if (q->extended) {
			entry.bitmap = p->whole ? 0 : old.bitmap;
			entry.bitmap |= filled(q, p, i);
			entry.bitmap &= ~(filled(q, p, i) << 32);
		}
		r = entry_set(q, p->guest + i, &entry);
		if (r)
			break;
		if (p->taken)
			entry_forget(q, old.word);
	}
	if (r && p->taken)
		clusters_give_back(q, cluster_of(q, p->host) + i, p->clusters - i);
	return r;
}

/* The next part of a range that the caller has alone. */
static int write_next(struct qcow2 *q, uint64_t offset, uint64_t end, struct buffers *from,
	uint64_t *done) EXCLUDES(q->lock)
{
	struct extent e;
	struct new_piece p = {.taken = false};
	bool in_place;
	int r;

	mutex_lock(&q->lock);
	r = map_find(q, offset, end - offset, &e);
	in_place = e.kind == EXTENT_DATA && e.own;
	if (!r && !in_place)
		r = plan(q, offset, end, &p);
	mutex_unlock(&q->lock);
	if (r)
		return r;
	*done = in_place ? e.length : p.end - p.start;
	if (in_place)
		return write_data(q, e.host, e.length, from);
	r = fill(q, &p, from);
	mutex_lock(&q->lock);
	if (!r)
		r = commit(q, &p);
	else if (p.taken)
		clusters_give_back(q, cluster_of(q, p.host), p.clusters);
	mutex_unlock(&q->lock);
	return r;
}

/* Whether there is a place for all of it already; e is the last part of that. */
static bool all_own(struct qcow2 *q, uint64_t offset, uint64_t length, struct extent *e)
	REQUIRES(q->lock)
{
	for (; length; offset += e->length, length -= e->length)
		if (map_find(q, offset, length, e) || e->kind != EXTENT_DATA || !e->own)
			return false;
	return true;
}

int qcow2_write(struct qcow2 *q, uint64_t offset, uint64_t length, struct buffers *from)
{
	struct cluster_span span = span_of(q, offset, length, false);
	uint64_t end = offset + length, done;
	struct extent e = {.length = 0};
	int r = 0;

	mutex_lock(&q->lock);
	span_enter(q, &span);
	if (!all_own(q, offset, length, &e)) {
		span_leave_locked(q, &span);
		span.alone = true;
		span_enter(q, &span);
	}
	mutex_unlock(&q->lock);
	if (!span.alone && e.length == length) {
		r = write_data(q, e.host, length, from);
		offset = end;
	}
	for (; !r && offset < end; offset += done)
		r = write_next(q, offset, end, from, &done);
	span_leave(q, &span);
	return r;
}
