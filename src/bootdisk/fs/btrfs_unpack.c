/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "bootdisk/fs/btrfs.h"

enum { ZLIB = 1, LZO = 2, ZSTD = 3 };

/* Both end before the sector does that they are in. */

static const char *unpack_zlib(const uint8_t *from, size_t packed, uint8_t *to, size_t size)
{
	z_stream stream = {.next_in = (uint8_t *)from,
		.avail_in = (uInt)packed,
		.next_out = to,
		.avail_out = (uInt)size};
	int r;

	if (inflateInit(&stream) != Z_OK)
		return "out of memory";
	r = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	return r == Z_STREAM_END || (r == Z_BUF_ERROR && !stream.avail_out)
		? NULL
		: "a packed extent (zlib) is damaged";
}

static const char *unpack_zstd(const uint8_t *from, size_t packed, uint8_t *to, size_t size)
{
	ZSTD_DStream *stream = ZSTD_createDStream();
	ZSTD_inBuffer in = {from, packed, 0};
	ZSTD_outBuffer out = {to, size, 0};
	size_t left = 1;

	if (!stream)
		return "out of memory";
	ZSTD_initDStream(stream);
	ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 20);
	while (left && !ZSTD_isError(left) && out.pos < out.size) {
		size_t before = in.pos + out.pos;

		left = ZSTD_decompressStream(stream, &out, &in);
		if (in.pos + out.pos == before)
			break;
	}
	ZSTD_freeDStream(stream);
	return ZSTD_isError(left) || (left && out.pos < out.size)
		? "a packed extent (zstd) is damaged"
		: NULL;
}

const char *btrfs_unpack(unsigned how, const uint8_t *from, size_t packed, uint8_t *to, size_t size)
{
	memset(to, 0, size);
	switch (how) {
	case ZLIB:
		return unpack_zlib(from, packed, to, size);
	case ZSTD:
		return unpack_zstd(from, packed, to, size);
	case LZO:
		return "it is packed by LZO, which is not read";
	}
	return "it is packed in a way that is not known";
}
