/* SPDX-License-Identifier: Apache-2.0 */
/* Hextile (RFC 6143, 7.7.4): tiles of one or two colours by rectangles, others as they are. */
#include <string.h>

#include "vnc/internal.h"

#define RAW 1u
#define BACKGROUND 2u
#define FOREGROUND 4u
#define SUBRECTS 8u

struct tile {
	unsigned width, height;
	const uint32_t *pixels; /* of its first line */
	size_t stride;
};

/* How many colours there are, up to three; the first two of them. */
static unsigned count_colours(const struct tile *tile, uint32_t colour[2])
{
	unsigned count = 1;

	colour[0] = colour[1] = tile->pixels[0];
	for (unsigned y = 0; y < tile->height; y++)
		for (unsigned x = 0; x < tile->width; x++) {
			uint32_t pixel = tile->pixels[y * tile->stride + x];

			if (pixel == colour[0] || (count == 2 && pixel == colour[1]))
				continue;
			if (count == 2)
				return 3;
			colour[count++] = pixel;
		}
	return count;
}

/* The runs of the second colour, a rectangle each; how many. */
static unsigned find_runs(const struct tile *tile, uint32_t colour, uint8_t runs[][2])
{
	unsigned count = 0;

	for (unsigned y = 0; y < tile->height; y++)
		for (unsigned x = 0, end; x < tile->width; x = end + 1) {
			const uint32_t *line = tile->pixels + y * tile->stride;

			for (end = x; end < tile->width && line[end] == colour;)
				end++;
			if (end == x)
				continue;
			runs[count][0] = x << 4 | y;
			runs[count++][1] = (end - x - 1) << 4;
		}
	return count;
}

static void put_raw(struct vnc_client *client, const struct tile *tile)
{
	uint8_t bytes[1 + 4 * VNC_TILE * VNC_TILE] = {RAW}, *to = bytes + 1;

	for (unsigned y = 0; y < tile->height; y++)
		for (unsigned x = 0; x < tile->width; x++)
			to += vnc_pixel(&client->format, tile->pixels[y * tile->stride + x], to);
	vnc_put(&client->out, bytes, to - bytes);
}

static void put_tile(struct vnc_client *client, const struct tile *tile)
{
	uint8_t head[16], runs[VNC_TILE * VNC_TILE / 2][2];
	uint32_t colour[2];
	unsigned colours = count_colours(tile, colour), len = 1, count;

	if (colours > 2) {
		put_raw(client, tile);
		return;
	}
	head[0] = BACKGROUND;
	len += vnc_pixel(&client->format, colour[0], head + len);
	if (colours == 1) {
		vnc_put(&client->out, head, len);
		return;
	}
	count = find_runs(tile, colour[1], runs);
	head[0] |= FOREGROUND | SUBRECTS;
	len += vnc_pixel(&client->format, colour[1], head + len);
	head[len++] = count;
	if (len + 2 * count > tile->width * tile->height * client->format.bytes) {
		put_raw(client, tile);
		return;
	}
	vnc_put(&client->out, head, len);
	vnc_put(&client->out, runs, 2 * count);
}

void vnc_hextile(struct vnc_client *client, const struct vnc_rect *rect)
{
	const struct vga_picture *picture = &client->screen->shown;

	for (unsigned y = 0; y < rect->height; y += VNC_TILE)
		for (unsigned x = 0; x < rect->width; x += VNC_TILE) {
			struct tile tile = {.width = rect->width - x,
				.height = rect->height - y,
				.stride = picture->width};

			tile.width = tile.width < VNC_TILE ? tile.width : VNC_TILE;
			tile.height = tile.height < VNC_TILE ? tile.height : VNC_TILE;
			tile.pixels = picture->pixels + (rect->y + y) * tile.stride + rect->x + x;
			put_tile(client, &tile);
		}
}
