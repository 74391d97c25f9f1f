/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/container.h"
#include "block/qcow2/internal.h"

uint64_t buffers_take(struct buffers *from, uint64_t length, struct iovec *iov, unsigned *count)
{
	uint64_t taken = 0;

	*count = 0;
	while (taken < length && from->count && *count < PIECE_IOV) {
		size_t part =
			from->iov->iov_len < length - taken ? from->iov->iov_len : length - taken;

		if (part)
			iov[(*count)++] = (struct iovec){from->iov->iov_base, part};
		file_iov_advance(&from->iov, &from->count, part);
		taken += part;
	}
	return taken;
}

void iov_zero(const struct iovec *iov, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
}

/* From the image below, which may be shorter. */
static int read_backing(struct qcow2 *q, uint64_t offset, uint64_t length, struct iovec *iov,
	unsigned count)
{
	struct buffers buffers = {iov, count};
	struct iovec part[PIECE_IOV];
	struct block_request request = {.op = BLOCK_READ,
		.offset = offset,
		.length = length,
		.iov = iov,
		.iov_count = count};

	if (!q->backing || offset >= q->backing->size) {
		iov_zero(iov, count);
		return 0;
	}
	if (length <= q->backing->size - offset)
		return q->backing->driver->perform(q->backing, &request);
	request.length = q->backing->size - offset;
	request.iov = part;
	buffers_take(&buffers, request.length, part, &request.iov_count);
	iov_zero(buffers.iov, buffers.count);
	return q->backing->driver->perform(q->backing, &request);
}

static int read_extent(struct qcow2 *q, const struct extent *e, uint64_t offset, uint64_t length,
	struct iovec *iov, unsigned count)
{
	switch (e->kind) {
	case EXTENT_DATA:
		return file_transfer(&q->file, false, iov, count, e->host, length);
	case EXTENT_PACKED:
		return packed_read(q, e->word, offset & (q->cluster_size - 1), iov, count);
	case EXTENT_NONE:
		return read_backing(q, offset, length, iov, count);
	case EXTENT_ZERO:
		break;
	}
	iov_zero(iov, count);
	return 0;
}

int qcow2_read(struct qcow2 *q, uint64_t offset, uint64_t length, struct buffers *to)
{
	struct iovec iov[PIECE_IOV];
	unsigned count;
	int r = 0;

	while (!r && length) {
		struct extent e = {.kind = EXTENT_ZERO, .length = length};
		uint64_t part;

		if (offset < q->image.size) {
			uint64_t most = q->image.size - offset;

			mutex_lock(&q->lock);
			r = map_find(q, offset, length < most ? length : most, &e);
			mutex_unlock(&q->lock);
		}
		if (r)
			break;
		part = buffers_take(to, e.length, iov, &count);
		r = read_extent(q, &e, offset, part, iov, count);
		offset += part;
		length -= part;
	}
	return r;
}

int qcow2_read_bytes(struct qcow2 *q, uint64_t offset, uint64_t length, void *to)
{
	struct iovec iov = {to, length};
	struct buffers buffers = {&iov, 1};

	return qcow2_read(q, offset, length, &buffers);
}

int qcow2_read_now(struct block_image *image, const struct block_request *request)
{
	struct qcow2 *q = container_of(image, struct qcow2, image);
	struct cluster_span span = span_of(q, request->offset, request->length, false);
	struct extent e;
	bool zero;
	int r;

	if (!request->length || !mutex_try(&q->lock))
		return -EAGAIN;
	r = map_find_now(q, request->offset, request->length, &e);
	if (!r && (e.length < request->length || !span_try(q, &span)))
		r = -EAGAIN;
	mutex_unlock(&q->lock);
	if (r)
		return -EAGAIN;
	zero = e.kind == EXTENT_ZERO || (e.kind == EXTENT_NONE && !q->backing);
	if (zero)
		iov_zero(request->iov, request->iov_count);
	else if (e.kind == EXTENT_DATA)
		r = file_read_now(&q->file, request->iov, request->iov_count, e.host,
			request->length);
	else
		r = -EAGAIN;
	span_leave(q, &span);
	return r;
}
