/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "vnc/internal.h"

#define BYTES_MAX (32u << 20)

void vnc_put(struct vnc_bytes *bytes, const void *data, size_t len)
{
	if (bytes->lost || len > BYTES_MAX - bytes->len) {
		bytes->lost = true;
		return;
	}
	if (bytes->len + len > bytes->room) {
		size_t room = 2 * (bytes->len + len);
		uint8_t *larger = realloc(bytes->data, room);

		if (!larger) {
			bytes->lost = true;
			return;
		}
		bytes->data = larger;
		bytes->room = room;
	}
	memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
}

void vnc_put_number(struct vnc_bytes *bytes, uint32_t value, unsigned size)
{
	uint8_t big[4] = {value >> 24, value >> 16, value >> 8, value};

	vnc_put(bytes, big + 4 - size, size);
}

const struct vnc_format vnc_format_own = {.bytes = 4,
	.max = {255, 255, 255},
	.shift = {16, 8, 0},
	.packed = 3};

static bool is_mask(uint32_t max)
{
	return max && !(max & (max + 1));
}

/* Three bytes do where the fourth has no colour (RFC 6143, 7.7.5). */
static void find_packed(struct vnc_format *format)
{
	uint32_t used = 0;

	for (unsigned i = 0; i < 3; i++)
		used |= format->max[i] << format->shift[i];
	format->packed = format->bytes;
	format->skipped = 0;
	if (format->bytes != 4)
		return;
	if (!(used & 0xff000000) || !(used & 0xff))
		format->packed = 3;
	if (format->packed == 3)
		format->skipped = !(used & 0xff000000) ? format->big : !format->big;
}

bool vnc_format_read(struct vnc_format *format, const uint8_t from[16])
{
	struct vnc_format read = {.bytes = from[0] / 8, .big = from[2]};

	if (from[0] != 8 && from[0] != 16 && from[0] != 32)
		return false;
	if (!from[3]) /* colours by a table of the client's */
		return false;
	for (unsigned i = 0; i < 3; i++) {
		read.max[i] = from[4 + 2 * i] << 8 | from[5 + 2 * i];
		read.shift[i] = from[10 + i];
		if (!is_mask(read.max[i]) || read.shift[i] >= from[0] ||
			(uint64_t)read.max[i] << read.shift[i] > (1ull << from[0]) - 1)
			return false;
	}
	find_packed(&read);
	*format = read;
	return true;
}

unsigned vnc_pixel(const struct vnc_format *format, uint32_t colour, uint8_t to[4])
{
	uint32_t value = 0;

	for (unsigned i = 0; i < 3; i++) {
		uint32_t part = colour >> (16 - 8 * i) & 0xff;

		value |= (part * format->max[i] + 127) / 255 << format->shift[i];
	}
	for (unsigned i = 0; i < format->bytes; i++)
		to[i] = value >> (8 * (format->big ? format->bytes - 1 - i : i));
	return format->bytes;
}
