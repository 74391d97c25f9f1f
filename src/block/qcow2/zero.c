/* SPDX-License-Identifier: Apache-2.0 */
/* Discard and write-zeroes: what tables can say of whole clusters and subclusters is not written. */
#include <errno.h>
#include <string.h>

#include "block/qcow2/internal.h"

#define SUBCLUSTERS 32u
#define ZEROES_SIZE (64u << 10)
#define AT_ONCE 1024u /* clusters, before others get the lock */

enum change { DISCARD, ZERO_AND_KEEP, ZERO_AND_FREE };

/* What is not there shows the image below, or would. */
static bool shows_below(const struct qcow2 *q, uint64_t guest)
{
	/* One that is written to alone will stand on it once more. */
	return q->backing ? guest << q->cluster_bits < q->backing->size : q->header.backing[0];
}

/* The whole cluster, as it is to be. False: it stays as it is. */
static bool change_whole(const struct qcow2 *q, uint64_t guest, enum change change,
	struct l2_entry *entry)
{
	const bool there = entry->word & (ENTRY_PACKED | ENTRY_OFFSET);
	const bool own = !(entry->word & ENTRY_PACKED) && entry->word & ENTRY_COPIED;
	struct l2_entry zero = {.word = q->extended ? 0 : ENTRY_ZERO};

	if (q->extended)
		zero.bitmap = 0xffffffffull << 32;
	if (!there && (change == DISCARD || !shows_below(q, guest)))
		return false;
	if (change == ZERO_AND_KEEP && own && q->header.version >= 3) {
		entry->word = (entry->word & ~ENTRY_ZERO) | zero.word;
		entry->bitmap = zero.bitmap;
		return true;
	}
	if (shows_below(q, guest) && q->header.version < 3)
		return false;
	*entry = shows_below(q, guest) ? zero : (struct l2_entry){.word = 0};
	return true;
}

/* Subclusters first to first + count - 1. */
static bool change_part(const struct qcow2 *q, uint64_t guest, unsigned first, unsigned count,
	enum change change, struct l2_entry *entry)
{
	const uint64_t mask = ((1ull << count) - 1) << first;

	if (entry->word & ENTRY_PACKED)
		return false;
	if (change == DISCARD && !(entry->bitmap & mask))
		return false;
	if (!(entry->word & ENTRY_OFFSET) && !shows_below(q, guest))
		return false;
	entry->bitmap = (entry->bitmap & ~mask) | mask << SUBCLUSTERS;
	return true;
}

static int change_cluster(struct qcow2 *q, uint64_t guest, uint64_t offset, uint64_t end,
	enum change change) REQUIRES(q->lock)
{
	const uint64_t begin = guest << q->cluster_bits;
	const uint64_t from = offset > begin ? offset - begin : 0;
	const uint64_t to = end < begin + q->cluster_size ? end - begin : q->cluster_size;
	struct l2_entry old, entry;
	bool changes;
	int r = entry_get(q, guest, &old);

	entry = old;
	if (r)
		return r;
	if (from || to < q->cluster_size)
		changes = change_part(q, guest, (unsigned)(from / q->unit),
			(unsigned)((to - from) / q->unit), change, &entry);
	else
		changes = change_whole(q, guest, change, &entry);
	if (!changes)
		return 0;
	r = table_own(q, guest);
	if (!r)
		r = entry_set(q, guest, &entry);
	if (!r && (entry.word ^ old.word) & (ENTRY_OFFSET | ENTRY_PACKED))
		entry_forget(q, old.word);
	return r;
}

/* Of clusters without a table there is nothing to say, unless something shows through. */
static uint64_t skip_table(struct qcow2 *q, uint64_t guest, enum change change) REQUIRES(q->lock)
{
	if (table_exists(q, guest) || (change != DISCARD && shows_below(q, guest)))
		return 0;
	return table_entries(q) - (guest & (table_entries(q) - 1));
}

/* Bytes from offset to end, which are whole units. */
static int change_range(struct qcow2 *q, uint64_t offset, uint64_t end, enum change change)
	EXCLUDES(q->lock)
{
	const uint64_t last = cluster_of(q, end - 1);
	struct cluster_span span = span_of(q, offset, end - offset, true);
	unsigned left = AT_ONCE;
	int r = 0;

	mutex_lock(&q->lock);
	span_enter(q, &span);
	for (uint64_t guest = span.first, skip; !r && guest <= last; guest += skip) {
		skip = skip_table(q, guest, change);
		if (!skip) {
			skip = 1;
			r = change_cluster(q, guest, offset, end, change);
		}
		if (!--left) {
			left = AT_ONCE;
			mutex_unlock(&q->lock);
			mutex_lock(&q->lock);
		}
	}
	mutex_unlock(&q->lock);
	span_leave(q, &span);
	return r;
}

/* The whole units of a range; the disk's last one may be cut off. */
static bool inner(const struct qcow2 *q, uint64_t offset, uint64_t length, uint64_t *from,
	uint64_t *to)
{
	const uint64_t mask = q->unit - 1;

	*from = (offset + mask) & ~mask;
	*to = offset + length == q->image.size ? (q->image.size + mask) & ~mask
					       : (offset + length) & ~mask;
	return *from < *to;
}

int qcow2_discard(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	uint64_t from, to;

	return inner(q, offset, length, &from, &to) ? change_range(q, from, to, DISCARD) : 0;
}

static int write_zeroes(struct qcow2 *q, uint64_t offset, uint64_t length)
{
	static const char zeroes[ZEROES_SIZE];
	bool zero;
	int r;

	mutex_lock(&q->lock);
	r = map_is_zero(q, offset, length, &zero);
	mutex_unlock(&q->lock);
	while (!r && !zero && length) {
		size_t part = length < ZEROES_SIZE ? length : ZEROES_SIZE;
		struct iovec iov = {(void *)(uintptr_t)zeroes, part};
		struct buffers buffers = {&iov, 1};

		r = qcow2_write(q, offset, part, &buffers);
		offset += part;
		length -= part;
	}
	return r;
}

int qcow2_write_zeroes(struct qcow2 *q, uint64_t offset, uint64_t length, bool unmap)
{
	const uint64_t end = offset + length;
	uint64_t from, to;
	int r;

	/* Version 2 has no way to say it, where something would show through. */
	if ((q->header.version < 3 && q->header.backing[0]) ||
		!inner(q, offset, length, &from, &to))
		return write_zeroes(q, offset, length);
	r = from > offset ? write_zeroes(q, offset, from - offset) : 0;
	if (!r)
		r = change_range(q, from, to, unmap ? ZERO_AND_FREE : ZERO_AND_KEEP);
	if (!r && to < end)
		r = write_zeroes(q, to, end - to);
	return r;
}
