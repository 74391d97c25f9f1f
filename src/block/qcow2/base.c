/* SPDX-License-Identifier: Apache-2.0 */
/* What an image stands on, as that changes while it is in use: see driver.h. Nothing else is under way. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "block/qcow2/internal.h"

void qcow2_freeze(struct block_image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);

	image->read_only = true;
	image->can_discard = false;
	file_freeze(&q->file);
}

int qcow2_check_base(struct block_image *image, enum disk_format format, uint64_t size,
	struct error *err)
{
	const struct qcow2 *q = container_of(image, struct qcow2, image);

	if (strcmp(q->header.backing_format, disk_format_name(format)))
		return error_set(err, EINVAL, "%s: is not made to stand on a %s image", q->name,
			disk_format_name(format));
	if (image->size != size)
		return error_set(err, EINVAL, "%s: is not of the disk's size", q->name);
	for (uint32_t i = 0; i < q->header.l1_entries; i++)
		if (q->l1[i])
			return error_set(err, EINVAL, "%s: is not empty", q->name);
	return 0;
}

void qcow2_set_base(struct block_image *image, struct block_image *base)
{
	container_of(image, struct qcow2, image)->backing = base;
}

struct block_image *qcow2_base(const struct block_image *image)
{
	return container_of((struct block_image *)(uintptr_t)image, struct qcow2, image)->backing;
}

int qcow2_find_own(struct block_image *image, uint64_t offset, uint64_t *length, bool *own)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct extent e = {.length = 0};
	int r;

	mutex_lock(&q->lock);
	r = map_find(q, offset, *length, &e);
	mutex_unlock(&q->lock);
	*length = e.length;
	*own = e.kind != EXTENT_NONE;
	return r;
}

int qcow2_find_zero(struct block_image *image, uint64_t offset, uint64_t *length, bool *zero)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct extent e = {.length = 0};
	int r;

	mutex_lock(&q->lock);
	r = map_find(q, offset, *length, &e);
	mutex_unlock(&q->lock);
	*length = e.length;
	*zero = e.kind == EXTENT_ZERO ||
		(e.kind == EXTENT_NONE && (!q->backing || offset >= q->backing->size));
	if (r || *zero || e.kind != EXTENT_NONE)
		return r;
	if (*length > q->backing->size - offset)
		*length = q->backing->size - offset;
	return q->backing->driver->find_zero(q->backing, offset, length, zero);
}

int qcow2_leave_base(struct block_image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	const uint8_t none[12] = {0}; /* where the name is, and how long */
	int r = header_write(q, QCOW2_AT_BACKING, none, sizeof none);

	if (!r)
		r = file_flush(&q->file);
	if (!r)
		q->header.backing[0] = 0;
	return r;
}

int qcow2_skip_base(struct block_image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	const struct qcow2 *base = container_of(q->backing, struct qcow2, image);
	const uint64_t cluster = 1ull << q->header.cluster_bits;
	const size_t size = cluster < QCOW2_HEADER_READ ? cluster : QCOW2_HEADER_READ;
	uint8_t *bytes = malloc(size);
	size_t at;
	int r = bytes ? file_read(&q->file, bytes, size, 0) : -ENOMEM;

	if (!r)
		r = qcow2_header_rebase(bytes, size, base->header.backing,
			base->header.backing_format, &at);
	/* The name, and when it is there, what says where it is. */
	if (!r)
		r = header_write(q, at, bytes + at, strlen(base->header.backing));
	if (!r)
		r = file_flush(&q->file);
	if (!r)
		r = header_write(q, 0, bytes, QCOW2_SECTOR);
	if (!r)
		r = file_flush(&q->file);
	if (!r) {
		strcpy(q->header.backing, base->header.backing);
		strcpy(q->header.backing_format, base->header.backing_format);
	}
	free(bytes);
	return r;
}

bool qcow2_may_empty(const struct block_image *image)
{
	return !container_of((struct block_image *)(uintptr_t)image, struct qcow2, image)
			->header.snapshots;
}

/* Entry by entry: each shows the base, which has the same. What they referred to is lost space. */
int qcow2_empty(struct block_image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	void *none = calloc(q->header.l1_entries, 8);
	int r = none ? file_write(&q->file, none, q->header.l1_entries * 8ull, q->header.l1_offset)
		     : -ENOMEM;

	free(none);
	if (!r)
		r = file_flush(&q->file);
	if (r) {
		/* It stays in use: the next flush puts all of them back. */
		mutex_lock(&q->lock);
		q->l1_dirty_first = 0;
		q->l1_dirty_end = q->header.l1_entries;
		mutex_unlock(&q->lock);
	}
	return r;
}

int qcow2_thaw(struct block_image *image, int fd, const char *name, struct error *err)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	int r = file_thaw(&q->file, fd, name, err);

	if (r)
		return r;
	r = qcow2_make_writable(q, err);
	if (r) {
		file_freeze(&q->file);
		return r;
	}
	image->read_only = false;
	image->can_discard = true;
	return 0;
}
