/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed clusters. The one read last is kept: the next bytes of it are asked for next. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "block/qcow2/internal.h"

struct packed {
	struct mutex lock;
	uint64_t word GUARDED_BY(lock); /* of the cluster in `bytes`; 0: none */
	uint8_t *bytes GUARDED_BY(lock);
};

int packed_create(struct qcow2 *q)
{
	q->packed = calloc(1, sizeof *q->packed);
	if (!q->packed)
		return -ENOMEM;
	mutex_init(&q->packed->lock);
	return 0;
}

void packed_destroy(struct packed *packed)
{
	if (!packed)
		return;
	free(packed->bytes);
	mutex_destroy(&packed->lock);
	free(packed);
}

void packed_forget(struct qcow2 *q)
{
	mutex_lock(&q->packed->lock);
	q->packed->word = 0;
	mutex_unlock(&q->packed->lock);
}

/* The lower bits of the entry are the offset, of which `bits` there are; the rest counts sectors. */
static unsigned offset_bits(const struct qcow2 *q)
{
	return 62 - (q->cluster_bits - 8);
}

static uint64_t packed_offset(const struct qcow2 *q, uint64_t word)
{
	return word & ((1ull << offset_bits(q)) - 1);
}

void packed_range(const struct qcow2 *q, uint64_t word, uint64_t *offset, uint64_t *size)
{
	uint64_t further = (word & (ENTRY_PACKED - 1)) >> offset_bits(q);

	*offset = packed_offset(q, word) & ~(BLOCK_SECTOR - 1ull);
	*size = (further + 1) * BLOCK_SECTOR;
}

/* Whatever follows what is needed is somebody else's. */
static int unpack_zlib(void *from, size_t size, void *to, size_t room)
{
	z_stream stream = {.next_in = from,
		.avail_in = (uInt)size,
		.next_out = to,
		.avail_out = (uInt)room};
	int r;

	if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
		return -ENOMEM;
	r = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return (r == Z_STREAM_END || r == Z_BUF_ERROR || r == Z_OK) && !stream.avail_out ? 0 : -EIO;
}

static int unpack_zstd(const void *from, size_t size, void *to, size_t room)
{
	ZSTD_inBuffer in = {from, size, 0};
	ZSTD_outBuffer out = {to, room, 0};
	ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t before, r = 0;

	if (!context)
		return -ENOMEM;
	/* A window is no larger than a cluster; more is made to take the host's memory. */
	ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, QCOW2_CLUSTER_BITS_MAX + 1);
	do {
		before = in.pos + out.pos;
		r = ZSTD_decompressStream(context, &out, &in);
	} while (!ZSTD_isError(r) && out.pos < room && in.pos + out.pos > before);
	ZSTD_freeDCtx(context);
	return ZSTD_isError(r) || out.pos < room ? -EIO : 0;
}

static int load(struct qcow2 *q, uint64_t word) REQUIRES(q->packed->lock)
{
	struct packed *packed = q->packed;
	uint64_t start, size, skip;
	uint8_t *from;
	int r;

	packed_range(q, word, &start, &size);
	skip = packed_offset(q, word) - start;
	if (start < q->cluster_size || start >= file_size(&q->file))
		return -EIO;
	from = malloc(size);
	if (!packed->bytes)
		packed->bytes = malloc(q->cluster_size);
	packed->word = 0;
	r = from && packed->bytes ? file_read(&q->file, from, size, start) : -ENOMEM;
	if (!r && q->header.compression == QCOW2_ZSTD)
		r = unpack_zstd(from + skip, size - skip, packed->bytes, q->cluster_size);
	else if (!r)
		r = unpack_zlib(from + skip, size - skip, packed->bytes, q->cluster_size);
	if (!r)
		packed->word = word;
	free(from);
	return r;
}

int packed_read(struct qcow2 *q, uint64_t word, uint64_t skip, const struct iovec *iov,
	unsigned count)
{
	int r;

	mutex_lock(&q->packed->lock);
	r = q->packed->word == word ? 0 : load(q, word);
	for (unsigned i = 0; !r && i < count; i++) {
		memcpy(iov[i].iov_base, q->packed->bytes + skip, iov[i].iov_len);
		skip += iov[i].iov_len;
	}
	mutex_unlock(&q->packed->lock);
	return r;
}
