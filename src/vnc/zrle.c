/* SPDX-License-Identifier: Apache-2.0 */
/* ZRLE (RFC 6143, 7.7.6): tiles of a few colours as indices, others as runs or as they are; packed by zlib. */
#include <stdlib.h>
#include <string.h>

#include "vnc/internal.h"

#define SIDE 64u
#define PALETTE 16u
#define PLAIN_RLE 128u
#define ENCODED_MAX (1 + 5 * SIDE * SIDE) /* a tile's: each pixel its run */
#define CHUNK 65536u

struct zrle_tile {
	unsigned width, height, colours; /* of the palette; PALETTE + 1: more */
	unsigned runs;
	uint32_t palette[PALETTE];
	uint32_t pixel[SIDE * SIDE];
};

static unsigned index_of(const struct zrle_tile *tile, uint32_t pixel)
{
	unsigned i = 0;

	while (i < tile->colours && tile->palette[i] != pixel)
		i++;
	return i;
}

static void look(struct zrle_tile *tile)
{
	unsigned count = tile->width * tile->height;

	tile->colours = tile->runs = 0;
	for (unsigned i = 0; i < count; i++) {
		if (i && tile->pixel[i] == tile->pixel[i - 1])
			continue;
		tile->runs++;
		if (tile->colours > PALETTE || index_of(tile, tile->pixel[i]) < tile->colours)
			continue;
		if (tile->colours < PALETTE)
			tile->palette[tile->colours] = tile->pixel[i];
		tile->colours++;
	}
}

static uint8_t *put_pixel(const struct vnc_format *format, uint32_t colour, uint8_t *to)
{
	uint8_t whole[4];

	vnc_pixel(format, colour, whole);
	memcpy(to, whole + format->skipped, format->packed);
	return to + format->packed;
}

static uint8_t *put_indices(const struct zrle_tile *tile, uint8_t *to)
{
	unsigned bits = tile->colours <= 2 ? 1 : tile->colours <= 4 ? 2 : 4;

	for (unsigned y = 0; y < tile->height; y++) {
		unsigned filled = 0;

		for (unsigned x = 0; x < tile->width; x++) {
			if (!filled)
				*to = 0;
			filled += bits;
			*to |= index_of(tile, tile->pixel[y * tile->width + x]) << (8 - filled);
			if (filled == 8) {
				to++;
				filled = 0;
			}
		}
		to += filled != 0;
	}
	return to;
}

static uint8_t *put_runs(const struct vnc_format *format, const struct zrle_tile *tile, uint8_t *to)
{
	unsigned count = tile->width * tile->height;

	for (unsigned i = 0, end; i < count; i = end) {
		unsigned length;

		for (end = i + 1; end < count && tile->pixel[end] == tile->pixel[i];)
			end++;
		to = put_pixel(format, tile->pixel[i], to);
		for (length = end - i - 1; length >= 255; length -= 255)
			*to++ = 255;
		*to++ = length;
	}
	return to;
}

/* How many bytes. */
static size_t encode(const struct vnc_format *format, struct zrle_tile *tile,
	uint8_t bytes[ENCODED_MAX])
{
	unsigned count = tile->width * tile->height;
	uint8_t *to = bytes + 1;

	look(tile);
	if (tile->colours <= PALETTE) {
		bytes[0] = tile->colours;
		for (unsigned i = 0; i < tile->colours; i++)
			to = put_pixel(format, tile->palette[i], to);
		if (tile->colours > 1)
			to = put_indices(tile, to);
	} else if (tile->runs * (format->packed + 1) < count * format->packed) {
		bytes[0] = PLAIN_RLE;
		to = put_runs(format, tile, to);
	} else {
		bytes[0] = 0;
		for (unsigned i = 0; i < count; i++)
			to = put_pixel(format, tile->pixel[i], to);
	}
	return to - bytes;
}

/* Bytes through the client's one stream; flush with the last ones, so that all can be read. */
static void pack(struct vnc_client *client, const uint8_t *bytes, size_t len, int flush)
{
	uint8_t packed[CHUNK];

	client->zlib.next_in = (uint8_t *)bytes;
	client->zlib.avail_in = len;
	do {
		client->zlib.next_out = packed;
		client->zlib.avail_out = sizeof packed;
		if (deflate(&client->zlib, flush) == Z_STREAM_ERROR)
			client->out.lost = true;
		vnc_put(&client->out, packed, sizeof packed - client->zlib.avail_out);
	} while (!client->zlib.avail_out && !client->out.lost);
}

static void copy_tile(struct zrle_tile *tile, const struct vga_picture *picture, unsigned x,
	unsigned y)
{
	for (unsigned line = 0; line < tile->height; line++)
		memcpy(tile->pixel + line * tile->width,
			picture->pixels + (size_t)(y + line) * picture->width + x, 4 * tile->width);
}

void vnc_zrle(struct vnc_client *client, const struct vnc_rect *rect)
{
	struct zrle_tile tile;
	uint8_t bytes[ENCODED_MAX];
	size_t at = client->out.len, len;

	if (!client->zlib_ready) {
		if (deflateInit(&client->zlib, 2) != Z_OK) {
			client->out.lost = true;
			return;
		}
		client->zlib_ready = true;
	}
	vnc_put_number(&client->out, 0, 4);
	for (unsigned y = 0; y < rect->height; y += SIDE)
		for (unsigned x = 0; x < rect->width; x += SIDE) {
			tile.width = rect->width - x < SIDE ? rect->width - x : SIDE;
			tile.height = rect->height - y < SIDE ? rect->height - y : SIDE;
			copy_tile(&tile, &client->screen->shown, rect->x + x, rect->y + y);
			pack(client, bytes, encode(&client->format, &tile, bytes), Z_NO_FLUSH);
		}
	pack(client, bytes, 0, Z_SYNC_FLUSH);
	if (client->out.lost)
		return;
	len = client->out.len - at - 4;
	for (unsigned i = 0; i < 4; i++)
		client->out.data[at + i] = len >> (24 - 8 * i);
}
