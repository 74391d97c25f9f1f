/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "block/qcow2/internal.h"

#define SUBCLUSTERS 32u

typedef int entry_getter(struct qcow2 *q, uint64_t guest, struct l2_entry *entry);

/* Of one subcluster. */
static int subcluster_kind(const struct l2_entry *entry, unsigned sub, enum extent_kind *kind)
{
	bool there = entry->bitmap >> sub & 1, zero = entry->bitmap >> (sub + SUBCLUSTERS) & 1;

	*kind = there ? EXTENT_DATA : zero ? EXTENT_ZERO : EXTENT_NONE;
	return (there && zero) || (there && !(entry->word & ENTRY_OFFSET)) ? -EIO : 0;
}

/* What the entry says of the unit that offset lies in. */
static int unit_find(struct qcow2 *q, const struct l2_entry *entry, uint64_t offset,
	struct extent *e) REQUIRES(q->lock)
{
	const uint64_t within = offset & (q->cluster_size - 1);
	int r = 0;

	*e = (struct extent){.length = q->unit - (offset & (q->unit - 1))};
	if (entry->word & ENTRY_PACKED) {
		e->kind = EXTENT_PACKED;
		e->word = entry->word;
		e->length = q->cluster_size - within;
		return 0;
	}
	if (q->extended)
		r = subcluster_kind(entry, (unsigned)(within / q->unit), &e->kind);
	else if (entry->word & ENTRY_ZERO && q->header.version >= 3)
		e->kind = EXTENT_ZERO;
	else
		e->kind = entry->word & ENTRY_OFFSET ? EXTENT_DATA : EXTENT_NONE;
	if (r || e->kind != EXTENT_DATA)
		return r;
	e->own = entry->word & ENTRY_COPIED;
	e->host = (entry->word & ENTRY_OFFSET) + within;
	return data_check(q, entry->word & ENTRY_OFFSET, true);
}

static bool follows(const struct extent *e, const struct extent *next)
{
	if (e->kind != next->kind || e->kind == EXTENT_PACKED)
		return false;
	return e->kind != EXTENT_DATA || (e->own == next->own && next->host == e->host + e->length);
}

static int find(struct qcow2 *q, uint64_t offset, uint64_t length, struct extent *e,
	entry_getter *get) REQUIRES(q->lock)
{
	uint64_t guest = cluster_of(q, offset);
	struct l2_entry entry;
	int r = get(q, guest, &entry);

	if (!r)
		r = unit_find(q, &entry, offset, e);
	while (!r && e->length < length) {
		struct extent next;

		if (cluster_of(q, offset + e->length) != guest) {
			guest = cluster_of(q, offset + e->length);
			if (get(q, guest, &entry))
				break;
		}
		/* What is wrong with it will be told when it is its turn. */
		if (unit_find(q, &entry, offset + e->length, &next) || !follows(e, &next))
			break;
		e->length += next.length;
	}
	if (!r && e->length > length)
		e->length = length;
	return r;
}

int map_find(struct qcow2 *q, uint64_t offset, uint64_t length, struct extent *extent)
{
	return find(q, offset, length, extent, entry_get);
}

int map_find_now(struct qcow2 *q, uint64_t offset, uint64_t length, struct extent *extent)
{
	return find(q, offset, length, extent, entry_get_now);
}

int map_is_zero(struct qcow2 *q, uint64_t offset, uint64_t length, bool *zero)
{
	*zero = true;
	while (length && *zero && offset < q->image.size) {
		struct extent e;
		int r = map_find(q, offset, length, &e);

		if (r)
			return r;
		*zero = e.kind == EXTENT_ZERO ||
			(e.kind == EXTENT_NONE && (!q->backing || offset >= q->backing->size));
		offset += e.length;
		length -= e.length;
	}
	return 0;
}
