/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/internal.h"

static unsigned entry_size(const struct qcow2 *q)
{
	return q->extended ? 16 : 8;
}

bool table_exists(const struct qcow2 *q, uint64_t guest)
{
	uint64_t index = guest >> q->table_bits;

	return index < q->header.l1_entries && q->l1[index] & ENTRY_OFFSET;
}

/* Where the entry lies in the file; false: it has no table yet. */
static bool entry_place(struct qcow2 *q, uint64_t guest, uint64_t *slice, size_t *within)
	REQUIRES(q->lock)
{
	uint64_t at = (guest & (table_entries(q) - 1)) * entry_size(q);

	if (!table_exists(q, guest))
		return false;
	*slice = (q->l1[guest >> q->table_bits] & ENTRY_OFFSET) + (at & ~(q->l2.size - 1ull));
	*within = at & (q->l2.size - 1);
	return true;
}

static void take_entry(const struct qcow2 *q, const uint8_t *at, struct l2_entry *entry)
{
	entry->word = qcow2_get(at, 8);
	entry->bitmap = q->extended ? qcow2_get(at + 8, 8) : 0;
}

int entry_get(struct qcow2 *q, uint64_t guest, struct l2_entry *entry)
{
	struct slice *slice;
	uint64_t offset;
	size_t within;
	int r;

	mutex_assert_held(&q->lock);
	*entry = (struct l2_entry){.word = 0};
	if (!entry_place(q, guest, &offset, &within))
		return 0;
	r = slices_get(&q->l2, offset, &slice);
	if (!r)
		take_entry(q, slice->data + within, entry);
	return r;
}

int entry_get_now(struct qcow2 *q, uint64_t guest, struct l2_entry *entry)
{
	struct slice *slice;
	uint64_t offset;
	size_t within;

	*entry = (struct l2_entry){.word = 0};
	if (!entry_place(q, guest, &offset, &within))
		return 0;
	slice = slices_find(&q->l2, offset);
	if (!slice)
		return -EAGAIN;
	take_entry(q, slice->data + within, entry);
	return 0;
}

int entry_set(struct qcow2 *q, uint64_t guest, const struct l2_entry *entry)
{
	struct slice *slice;
	uint64_t offset;
	size_t within;
	int r;

	mutex_assert_held(&q->lock);
	if (!entry_place(q, guest, &offset, &within))
		return -EIO;
	r = slices_get(&q->l2, offset, &slice);
	if (r)
		return r;
	qcow2_put(slice->data + within, 8, entry->word);
	if (q->extended)
		qcow2_put(slice->data + within + 8, 8, entry->bitmap);
	slices_dirty(&q->l2, slice);
	return 0;
}

int data_check(struct qcow2 *q, uint64_t host, bool exists)
{
	uint64_t cluster = cluster_of(q, host);

	if (host & (q->cluster_size - 1) || !cluster || set_has(&q->tables, cluster))
		return -EIO;
	return exists && host >= file_size(&q->file) ? -EIO : 0;
}

/* The old table's entries, or none, into the new one's place. */
static int fill_table(struct qcow2 *q, uint64_t old, uint64_t table) REQUIRES(q->lock)
{
	uint8_t *bytes = calloc(1, q->cluster_size);
	int r = bytes ? 0 : -ENOMEM;

	/* What is shared with a snapshot is not dirty: nobody has written to it since. */
	if (!r && old)
		r = file_read(&q->file, bytes, q->cluster_size, old);
	if (!r)
		r = file_write(&q->file, bytes, q->cluster_size, table);
	free(bytes);
	return r;
}

int table_own(struct qcow2 *q, uint64_t guest)
{
	uint64_t index = guest >> q->table_bits, old, first, got;
	int r;

	mutex_assert_held(&q->lock);
	if (index >= q->header.l1_entries)
		return -EIO;
	old = q->l1[index];
	if (old & ENTRY_COPIED && old & ENTRY_OFFSET)
		return 0;
	r = clusters_take(q, 1, &first, &got);
	if (r)
		return r;
	r = fill_table(q, old & ENTRY_OFFSET, first << q->cluster_bits);
	if (!r)
		r = set_add(&q->tables, first);
	if (r) {
		clusters_give_back(q, first, 1);
		return r;
	}
	slices_drop(&q->l2, first << q->cluster_bits, q->cluster_size);
	q->l1[index] = first << q->cluster_bits | ENTRY_COPIED;
	if (q->l1_dirty_first == q->l1_dirty_end) {
		q->l1_dirty_first = (uint32_t)index;
		q->l1_dirty_end = (uint32_t)index + 1;
	} else if (index < q->l1_dirty_first) {
		q->l1_dirty_first = (uint32_t)index;
	} else if (index >= q->l1_dirty_end) {
		q->l1_dirty_end = (uint32_t)index + 1;
	}
	if (old & ENTRY_OFFSET) {
		set_remove(&q->tables, cluster_of(q, old & ENTRY_OFFSET));
		cluster_forget(q, cluster_of(q, old & ENTRY_OFFSET));
	}
	return 0;
}
