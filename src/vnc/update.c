/* SPDX-License-Identifier: Apache-2.0 */
/* What has changed since a client was told. */
#include <string.h>

#include "vnc/internal.h"

#define ENCODING_RAW 0
#define ENCODING_HEXTILE 5
#define ENCODING_ZRLE 16
#define ENCODING_SIZE -223
#define ENCODING_CODES -258
#define ENCODING_SIZE_EXTENDED -308
#define PIXELS_AT_ONCE (1u << 20) /* the rest comes with the next update */

void vnc_mark(struct vnc_client *client, const struct vnc_rect *rect)
{
	unsigned bottom = rect->y + rect->height, right = rect->x + rect->width;

	for (unsigned y = rect->y / VNC_TILE; y * VNC_TILE < bottom; y++)
		for (unsigned x = rect->x / VNC_TILE; x * VNC_TILE < right; x++)
			client->dirty[y * VNC_TILES_ACROSS + x] = 1;
}

/* What both have of the picture. */
static unsigned common_width(const struct vnc_client *client)
{
	unsigned there = client->screen->shown.width;

	return client->width < there ? client->width : there;
}

static unsigned common_height(const struct vnc_client *client)
{
	unsigned there = client->screen->shown.height;

	return client->height < there ? client->height : there;
}

static bool has_new_size(const struct vnc_client *client)
{
	return (client->resizes || client->resizes_extended) &&
		(client->tell_size || client->width != client->screen->shown.width ||
			client->height != client->screen->shown.height);
}

bool vnc_wants_update(const struct vnc_client *client)
{
	if (client->state != VNC_NORMAL || client->out.len ||
		!(client->requested || client->continuous))
		return false;
	if (has_new_size(client) || client->tell_codes)
		return true;
	for (unsigned y = 0; y * VNC_TILE < common_height(client); y++)
		if (memchr(client->dirty + y * VNC_TILES_ACROSS, 1,
			    (common_width(client) + VNC_TILE - 1) / VNC_TILE))
			return true;
	return false;
}

static void put_head(struct vnc_client *client, const struct vnc_rect *rect, int32_t encoding)
{
	vnc_put_number(&client->out, rect->x, 2);
	vnc_put_number(&client->out, rect->y, 2);
	vnc_put_number(&client->out, rect->width, 2);
	vnc_put_number(&client->out, rect->height, 2);
	vnc_put_number(&client->out, encoding, 4);
}

static void put_size(struct vnc_client *client)
{
	const struct vnc_rect rect = {.width = client->screen->shown.width,
		.height = client->screen->shown.height};

	client->tell_size = false;
	client->width = rect.width;
	client->height = rect.height;
	memset(client->dirty, 1, sizeof client->dirty);
	if (!client->resizes_extended) {
		put_head(client, &rect, ENCODING_SIZE);
		return;
	}
	put_head(client, &rect, ENCODING_SIZE_EXTENDED);
	vnc_put_number(&client->out, 1 << 24, 4); /* one screen: its number, place and flags */
	vnc_put_number(&client->out, 0, 4);
	vnc_put_number(&client->out, 0, 4);
	vnc_put_number(&client->out, rect.width << 16 | rect.height, 4);
	vnc_put_number(&client->out, 0, 4);
}

static void put_raw(struct vnc_client *client, const struct vnc_rect *rect)
{
	const struct vga_picture *picture = &client->screen->shown;
	uint8_t line[4 * 4096];

	for (unsigned y = 0; y < rect->height; y++) {
		const uint32_t *from =
			picture->pixels + (size_t)(rect->y + y) * picture->width + rect->x;
		unsigned len = 0;

		for (unsigned x = 0; x < rect->width; x++)
			len += vnc_pixel(&client->format, from[x], line + len);
		vnc_put(&client->out, line, len);
	}
}

static void put_rect(struct vnc_client *client, const struct vnc_rect *rect)
{
	put_head(client, rect, client->encoding);
	if (client->encoding == ENCODING_ZRLE)
		vnc_zrle(client, rect);
	else if (client->encoding == ENCODING_HEXTILE)
		vnc_hextile(client, rect);
	else
		put_raw(client, rect);
}

/* Tiles from (x, y) on as far to the right, and then down, as all are marked; not any more. */
static struct vnc_rect take_rect(struct vnc_client *client, unsigned x, unsigned y,
	unsigned columns, unsigned rows)
{
	uint8_t *line = client->dirty + y * VNC_TILES_ACROSS;
	unsigned right = x, bottom = y;
	struct vnc_rect rect = {x * VNC_TILE, y * VNC_TILE, 0, 0};

	while (right < columns && line[right])
		right++;
	for (; bottom < rows; bottom++, line += VNC_TILES_ACROSS) {
		unsigned at = x;

		while (at < right && line[at])
			at++;
		if (at < right)
			break;
		memset(line + x, 0, right - x);
	}
	rect.width = right * VNC_TILE - rect.x;
	rect.height = bottom * VNC_TILE - rect.y;
	if (rect.x + rect.width > common_width(client))
		rect.width = common_width(client) - rect.x;
	if (rect.y + rect.height > common_height(client))
		rect.height = common_height(client) - rect.y;
	return rect;
}

static unsigned put_changes(struct vnc_client *client)
{
	unsigned columns = (common_width(client) + VNC_TILE - 1) / VNC_TILE;
	unsigned rows = (common_height(client) + VNC_TILE - 1) / VNC_TILE, count = 0, pixels = 0;

	for (unsigned y = 0; y < rows; y++)
		for (unsigned x = 0; x < columns && pixels < PIXELS_AT_ONCE; x++) {
			struct vnc_rect rect;

			if (!client->dirty[y * VNC_TILES_ACROSS + x])
				continue;
			rect = take_rect(client, x, y, columns, rows);
			put_rect(client, &rect);
			pixels += rect.width * rect.height;
			count++;
		}
	return count;
}

void vnc_send_update(struct vnc_client *client)
{
	size_t at = client->out.len;
	unsigned count = 0;

	client->requested = false;
	vnc_put_number(&client->out, 0, 4); /* its kind, and how many rectangles: below */
	if (client->tell_codes) {
		put_head(client, &(struct vnc_rect){0}, ENCODING_CODES);
		client->tell_codes = false;
		count++;
	}
	/* Many clients take nothing else together with a new size. */
	if (has_new_size(client)) {
		put_size(client);
		count++;
	} else {
		count += put_changes(client);
	}
	if (client->out.lost)
		return;
	client->out.data[at + 2] = count >> 8;
	client->out.data[at + 3] = count;
}
