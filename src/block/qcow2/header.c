/* SPDX-License-Identifier: Apache-2.0 */
#include "block/qcow2/internal.h"

int header_write(struct qcow2 *q, unsigned at, const void *bytes, unsigned size)
{
	return file_write(&q->file, bytes, size, at);
}

int header_set_dirty(struct qcow2 *q, bool dirty)
{
	uint64_t features = q->header.incompatible & ~QCOW2_DIRTY;
	uint8_t bytes[8];
	int r;

	if (q->header.version < 3)
		return 0;
	features |= dirty ? QCOW2_DIRTY : 0;
	qcow2_put(bytes, 8, features);
	r = header_write(q, QCOW2_AT_INCOMPATIBLE, bytes, sizeof bytes);
	if (!r)
		r = file_flush(&q->file);
	if (!r)
		q->header.incompatible = features;
	return r;
}

int header_put_l1(struct qcow2 *q, uint64_t size, uint32_t entries, uint64_t offset)
{
	uint8_t fields[24] = {0}; /* the disk's size, no encryption, the table */
	int r;

	qcow2_put(fields, 8, size);
	qcow2_put(fields + 12, 4, entries);
	qcow2_put(fields + 16, 8, offset);
	r = header_write(q, QCOW2_AT_SIZE, fields, sizeof fields);
	return r ? r : file_flush(&q->file);
}
