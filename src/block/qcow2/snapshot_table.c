/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/internal.h"

#define HEAD 40u
#define TABLE_MAX (64u << 20) /* bytes */
#define CHUNK (64u << 10)

/* One entry, of which size bytes are there. Returns how long it is, or 0. */
static size_t take_entry(const struct qcow2 *q, const uint8_t *at, size_t size,
	struct snapshot *snapshot)
{
	size_t id, name, extra, whole;

	if (size < HEAD)
		return 0;
	id = qcow2_get(at + 12, 2);
	name = qcow2_get(at + 14, 2);
	extra = qcow2_get(at + 36, 4);
	if (extra > size || HEAD + extra + id + name > size)
		return 0;
	*snapshot = (struct snapshot){.l1_offset = qcow2_get(at, 8),
		.l1_entries = (uint32_t)qcow2_get(at + 8, 4),
		.seconds = qcow2_get(at + 16, 4),
		.state_size = extra >= 8 ? qcow2_get(at + HEAD, 8) : qcow2_get(at + 32, 4),
		.size = extra >= 16 ? qcow2_get(at + HEAD + 8, 8) : q->header.size};
	at += HEAD + extra;
	memcpy(snapshot->id, at, id < sizeof snapshot->id ? id : sizeof snapshot->id - 1);
	memcpy(snapshot->name, at + id,
		name < sizeof snapshot->name ? name : sizeof snapshot->name - 1);
	whole = (HEAD + extra + id + name + 7) & ~(size_t)7;
	return whole < size ? whole : size;
}

static int grow_bytes(struct qcow2 *q, struct snapshot_table *table, size_t *have)
{
	uint64_t left = file_size(&q->file) - q->header.snapshots_offset - *have;
	size_t more = left < CHUNK ? left : CHUNK;
	uint8_t *larger = more ? realloc(table->bytes, *have + more) : NULL;
	int r;

	if (!larger)
		return more ? -ENOMEM : -EIO;
	table->bytes = larger;
	r = file_read(&q->file, larger + *have, more, q->header.snapshots_offset + *have);
	*have += more;
	return r;
}

static int read_entries(struct qcow2 *q, struct snapshot_table *table)
{
	size_t have = 0, length;
	int r = 0;

	if (q->header.snapshots && q->header.snapshots_offset >= file_size(&q->file))
		return -EIO;
	if (q->header.snapshots)
		r = grow_bytes(q, table, &have);
	while (!r && table->count < q->header.snapshots) {
		length = take_entry(q, table->bytes + table->size, have - table->size,
			&table->snapshot[table->count]);
		if (!length) {
			r = have > TABLE_MAX ? -EIO : grow_bytes(q, table, &have);
			continue;
		}
		table->at[table->count++] = table->size;
		table->size += length;
	}
	table->at[table->count] = table->size;
	return r;
}

int snapshot_table_read(struct qcow2 *q, struct snapshot_table *table, struct error *err)
{
	int r;

	*table = (struct snapshot_table){.bytes = NULL};
	table->snapshot = calloc(q->header.snapshots + 1ull, sizeof *table->snapshot);
	table->at = calloc(q->header.snapshots + 1ull, sizeof *table->at);
	r = table->snapshot && table->at ? read_entries(q, table) : -ENOMEM;
	return r ? error_set(err, -r, "%s: its snapshots cannot be read: %s", q->name, strerror(-r))
		 : 0;
}

void snapshot_table_free(struct snapshot_table *table)
{
	free(table->bytes);
	free(table->snapshot);
	free(table->at);
	*table = (struct snapshot_table){.bytes = NULL};
}
