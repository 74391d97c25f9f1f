/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/png.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void number(uint8_t *to, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = value >> (24 - 8 * i);
}

static bool put_chunk(FILE *out, const char kind[4], const uint8_t *data, uint32_t len)
{
	uint8_t head[8], sum[4];

	number(head, len);
	memcpy(head + 4, kind, 4);
	number(sum, crc32(crc32(0, head + 4, 4), data, len));
	return fwrite(head, sizeof head, 1, out) == 1 && (!len || fwrite(data, len, 1, out) == 1) &&
		fwrite(sum, sizeof sum, 1, out) == 1;
}

/* Each line has a byte in front that says how it differs from the one above: 0, it does not. */
static uint8_t *pack(const uint8_t *pixels, unsigned width, unsigned height, uLongf *size)
{
	size_t line = 3 * (size_t)width, all = (line + 1) * height;
	uint8_t *lines = malloc(all), *packed = NULL;

	*size = compressBound(all);
	if (lines)
		packed = malloc(*size);
	for (unsigned y = 0; packed && y < height; y++) {
		lines[y * (line + 1)] = 0;
		memcpy(lines + y * (line + 1) + 1, pixels + y * line, line);
	}
	if (packed && compress(packed, size, lines, all) != Z_OK) {
		free(packed);
		packed = NULL;
	}
	free(lines);
	return packed;
}

int png_write(FILE *out, const uint8_t *pixels, unsigned width, unsigned height)
{
	uint8_t head[13] = {[8] = 8, 2};
	uLongf size;
	uint8_t *packed = pack(pixels, width, height, &size);
	bool good;

	if (!packed)
		return -ENOMEM;
	number(head, width);
	number(head + 4, height);
	good = fwrite("\x89PNG\r\n\x1a\n", 8, 1, out) == 1 &&
		put_chunk(out, "IHDR", head, sizeof head) && put_chunk(out, "IDAT", packed, size) &&
		put_chunk(out, "IEND", NULL, 0) && !fflush(out);
	free(packed);
	return good ? 0 : -EIO;
}
