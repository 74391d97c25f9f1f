/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "block/qcow2/internal.h"

#define SLICE_MAX 4096u
#define L2_CACHE (32u << 20)      /* bytes: all tables of 256 GiB in clusters of 64 KiB */
#define REFCOUNT_CACHE (4u << 20) /* bytes: of 128 GiB */
#define SLICES_MIN 16u

static int damaged(const struct qcow2 *q, const char *what, struct error *err)
{
	return error_set(err, EINVAL, "%s: not a sound qcow2 image: %s", q->name, what);
}

static int read_header(struct qcow2 *q, struct error *err)
{
	size_t size = q->file.size < QCOW2_HEADER_READ ? q->file.size : QCOW2_HEADER_READ;
	uint8_t *bytes = malloc(QCOW2_HEADER_READ);
	int r = bytes ? file_read(&q->file, bytes, size, 0) : -ENOMEM;

	if (r)
		error_set(err, -r, "%s: cannot be read: %s", q->name, strerror(-r));
	else
		r = qcow2_header_parse(bytes, size, q->name, &q->header, err);
	free(bytes);
	return r;
}

static void take_shape(struct qcow2 *q)
{
	const struct qcow2_header *h = &q->header;

	q->extended = h->incompatible & QCOW2_EXTENDED_L2;
	q->cluster_bits = h->cluster_bits;
	q->cluster_size = 1ull << h->cluster_bits;
	q->unit = q->extended ? q->cluster_size / 32 : q->cluster_size;
	q->table_bits = h->cluster_bits - (q->extended ? 4 : 3);
	q->image.size = h->size;
	q->unused = q->file.device ? ~0ull >> 8
				   : (q->file.size + q->cluster_size - 1) >> q->cluster_bits;
}

static int make_caches(struct qcow2 *q)
{
	const size_t size = q->cluster_size < SLICE_MAX ? q->cluster_size : SLICE_MAX;
	uint64_t tables = (uint64_t)q->header.l1_entries << q->cluster_bits;
	size_t l2 = (tables < L2_CACHE ? tables : L2_CACHE) / size;
	int r = slices_init(&q->l2, &q->file, size, l2 < SLICES_MIN ? SLICES_MIN : l2);

	return r ? r : slices_init(&q->refcounts, &q->file, size, REFCOUNT_CACHE / size);
}

static int read_tables(struct qcow2 *q, struct error *err)
{
	const struct qcow2_header *h = &q->header;
	uint64_t size = (uint64_t)h->reftable_clusters << q->cluster_bits;
	int r = walk_read_l1(q, h->l1_offset, h->l1_entries, &q->l1);

	if (!r && h->reftable_offset >= q->file.size)
		r = -EIO;
	if (!r && !(q->reftable = malloc(size)))
		r = -ENOMEM;
	if (!r)
		r = file_read(&q->file, q->reftable, size, h->reftable_offset);
	if (r == -EIO)
		return damaged(q, "it is cut off", err);
	if (r)
		return error_set(err, -r, "%s: cannot be read: %s", q->name, strerror(-r));
	q->reftable_entries = size / 8;
	for (uint64_t i = 0; i < q->reftable_entries; i++)
		q->reftable[i] = qcow2_get(&q->reftable[i], 8);
	return 0;
}

static int gather(struct qcow2 *q, uint64_t offset, uint64_t size, struct error *err)
	REQUIRES(q->lock)
{
	int r = 0;

	if (!size)
		return 0;
	if (offset & (q->cluster_size - 1))
		return damaged(q, "a table does not begin at a cluster", err);
	if (offset >= file_size(&q->file))
		return damaged(q, "it is cut off", err);
	for (uint64_t c = cluster_of(q, offset); !r && c <= cluster_of(q, offset + size - 1); c++)
		r = set_add(&q->tables, c);
	if (r == -EEXIST)
		return damaged(q, "two of its tables are in one place", err);
	return r ? error_nomem(err) : 0;
}

static int gather_row(struct image_walk *walk, uint64_t first, uint64_t count)
{
	int r = 0;

	for (uint64_t c = first; !r && c < first + count; c++)
		r = set_add(&walk->q->tables, c);
	return r;
}

int tables_gather(struct qcow2 *q, struct error *err)
{
	struct image_walk bitmaps = {gather_row, q};
	const struct qcow2_header *h = &q->header;
	int r;

	set_free(&q->tables);
	r = gather(q, 0, 1, err);
	if (!r)
		r = gather(q, h->l1_offset, h->l1_entries * 8ull, err);
	if (!r)
		r = gather(q, h->reftable_offset, q->reftable_entries * 8, err);
	if (!r && h->snapshots)
		r = gather(q, h->snapshots_offset, 1, err);
	for (uint64_t i = 0; !r && i < q->reftable_entries; i++)
		if (q->reftable[i])
			r = gather(q, q->reftable[i], 1, err);
	for (uint32_t i = 0; !r && i < h->l1_entries; i++)
		if (q->l1[i] & ENTRY_OFFSET)
			r = gather(q, q->l1[i] & ENTRY_OFFSET, 1, err);
	/* Bitmaps that are damaged are none; nothing else stands on them. */
	if (!r && walk_bitmaps(&bitmaps))
		q->header.bitmaps = 0;
	return r;
}

static int open_backing(struct qcow2 *q, const struct disk_spec *spec, unsigned n,
	struct error *err)
{
	int r = 0;

	if (!q->header.backing[0] && n + 1 < spec->files)
		r = error_set(err, EINVAL, "%s: has no backing file, but was given one", q->name);
	else if (q->header.backing[0] && n + 1 >= spec->files && !spec->bare)
		r = error_set(err, EINVAL, "%s: its backing file %s was not given", q->name,
			q->header.backing);
	else if (n + 1 < spec->files)
		return block_image_open(spec, n + 1, &q->backing, err);
	block_files_close(spec, n + 1);
	return r;
}

/* What others may rely on, and a writer that knows nothing of it would make untrue. */
static int clear_features(struct qcow2 *q)
{
	const uint64_t kept = q->header.bitmaps ? q->header.autoclear & QCOW2_BITMAPS : 0;
	uint8_t bytes[8];
	int r;

	if (q->header.autoclear == kept)
		return 0;
	qcow2_put(bytes, sizeof bytes, kept);
	r = header_write(q, QCOW2_AT_AUTOCLEAR, bytes, sizeof bytes);
	if (!r)
		r = file_flush(&q->file);
	q->header.autoclear = kept;
	return r;
}

int qcow2_make_writable(struct qcow2 *q, struct error *err)
{
	struct block_faults faults;
	int r;

	if (q->header.incompatible & QCOW2_CORRUPT)
		return error_set(err, EINVAL,
			"%s: marked as damaged; 'qemu-img check -r all' repairs it (%s,ro reads it)",
			q->name, q->name);
	if (q->header.incompatible & QCOW2_DIRTY) {
		r = qcow2_check(q, true, &faults, err);
		if (!r && header_set_dirty(q, false))
			r = error_set(err, EIO, "%s: cannot be written", q->name);
		if (r)
			return r;
	}
	r = clear_features(q);
	if (!r)
		r = bitmaps_mark_in_use(q);
	return r ? error_set(err, -r, "%s: cannot be written: %s", q->name, strerror(-r)) : 0;
}

static int set_up(struct qcow2 *q, struct error *err)
{
	int r = read_header(q, err);

	if (r)
		return r;
	take_shape(q);
	if (make_caches(q) || packed_create(q))
		return error_nomem(err);
	r = read_tables(q, err);
	if (r)
		return r;
	mutex_lock(&q->lock);
	r = tables_gather(q, err);
	mutex_unlock(&q->lock);
	return !r && bitmaps_open(q) == -ENOMEM ? error_nomem(err) : r;
}

/* All that has no file yet. */
static struct qcow2 *qcow2_new(const struct disk_spec *spec, unsigned n)
{
	struct qcow2 *q = calloc(1, sizeof *q);

	if (!q)
		return NULL;
	q->name = strdup(spec->file[n].name);
	if (!q->name) {
		free(q);
		return NULL;
	}
	mutex_init(&q->lock);
	mutex_init(&q->flushing);
	pthread_cond_init(&q->span_ended, NULL);
	q->file.fd = -1;
	q->cache = spec->cache;
	q->image.driver = &qcow2_driver;
	q->image.read_only = block_file_read_only(spec, n);
	q->image.can_discard = !q->image.read_only;
	return q;
}

static void qcow2_close(struct block_image *image)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);

	if (q->backing)
		q->backing->driver->close(q->backing);
	if (q->file.fd >= 0)
		file_close(&q->file);
	slices_free(&q->l2);
	slices_free(&q->refcounts);
	packed_destroy(q->packed);
	set_free(&q->tables);
	free(q->freed.cluster);
	free(q->l1);
	free(q->reftable);
	free(q->name);
	free(q->directory);
	pthread_cond_destroy(&q->span_ended);
	mutex_destroy(&q->lock);
	mutex_destroy(&q->flushing);
	free(q);
}

static struct file *qcow2_file(struct block_image *image)
{
	return &container_of(image, struct qcow2, image)->file;
}

static int qcow2_open(const struct disk_spec *spec, unsigned n, struct block_image **image,
	struct error *err)
{
	struct qcow2 *q = qcow2_new(spec, n);
	int r;

	if (!q) {
		block_files_close(spec, n);
		return error_nomem(err);
	}
	r = file_open(&q->file, spec, n, err);
	q->file.grows = true;
	if (!r)
		r = set_up(q, err);
	if (r)
		block_files_close(spec, n + 1);
	else
		r = open_backing(q, spec, n, err);
	if (!r && !q->image.read_only)
		r = qcow2_make_writable(q, err);
	if (r) {
		qcow2_close(&q->image);
		return r;
	}
	*image = &q->image;
	return 0;
}

static int perform_read(struct qcow2 *q, struct block_request *request)
{
	struct buffers buffers = {request->iov, request->iov_count};
	struct cluster_span span = span_of(q, request->offset, request->length, false);
	struct extent e;
	int r;

	mutex_lock(&q->lock);
	span_enter(q, &span);
	r = map_find(q, request->offset, request->length, &e);
	mutex_unlock(&q->lock);
	/* Most often it lies in one piece. */
	if (!r && e.kind == EXTENT_DATA && e.length == request->length)
		r = file_transfer(&q->file, false, request->iov, request->iov_count, e.host,
			request->length);
	else if (!r)
		r = qcow2_read(q, request->offset, request->length, &buffers);
	span_leave(q, &span);
	return r;
}

/* What has been written is stable at once, if that is wanted. */
static int changed(struct qcow2 *q, int r)
{
	if (r)
		return r;
	return q->cache == DISK_WRITETHROUGH ? qcow2_flush(q) : qcow2_flush_if_full(q);
}

static int qcow2_perform(struct block_image *image, struct block_request *request)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct buffers buffers = {request->iov, request->iov_count};

	if (request->op == BLOCK_FLUSH)
		return file_flush_result(&q->file, request, qcow2_flush(q));
	if (!request->length)
		return 0;
	switch (request->op) {
	case BLOCK_READ:
		return perform_read(q, request);
	case BLOCK_WRITE:
		return changed(q, qcow2_write(q, request->offset, request->length, &buffers));
	case BLOCK_DISCARD:
		return changed(q, qcow2_discard(q, request->offset, request->length));
	case BLOCK_WRITE_ZEROES:
		return changed(q,
			qcow2_write_zeroes(q, request->offset, request->length, request->unmap));
	case BLOCK_FLUSH:
	case BLOCK_CALL:
		break;
	}
	return -EINVAL;
}

const struct block_driver qcow2_driver = {
	.format = DISK_QCOW2,
	.keeps_back = true,
	.open = qcow2_open,
	.perform = qcow2_perform,
	.read_now = qcow2_read_now,
	.close = qcow2_close,
	.freeze = qcow2_freeze,
	.check_base = qcow2_check_base,
	.set_base = qcow2_set_base,
	.file = qcow2_file,
	.base = qcow2_base,
	.find_own = qcow2_find_own,
	.find_zero = qcow2_find_zero,
	.leave_base = qcow2_leave_base,
	.skip_base = qcow2_skip_base,
	.may_empty = qcow2_may_empty,
	.empty = qcow2_empty,
	.thaw = qcow2_thaw,
	.load_dirty = qcow2_load_dirty,
	.store_dirty = qcow2_store_dirty,
	.resize = qcow2_resize,
	.snapshot = qcow2_snapshot,
	.snapshots = qcow2_snapshots,
	.check = qcow2_check_image,
};
