/* SPDX-License-Identifier: Apache-2.0 */
/* A saved state in memory. */
#ifndef DACH_TESTS_BYTES_H
#define DACH_TESTS_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "state/state.h"

/* Bytes in memory, as a state's stream. */
struct bytes {
	uint8_t *data;
	size_t len, at, room;
};

static inline int bytes_write(void *ctx, const void *data, size_t len)
{
	struct bytes *b = ctx;

	if (b->len + len > b->room) {
		b->room = 2 * (b->len + len);
		b->data = realloc(b->data, b->room);
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

static inline long bytes_read(void *ctx, void *data, size_t len)
{
	struct bytes *b = ctx;

	if (len > b->len - b->at)
		len = b->len - b->at;
	memcpy(data, b->data + b->at, len);
	b->at += len;
	return len;
}

/* A stream to save to, or to load from. */
#define BYTES_TO(b) (&(const struct state_io){.write = bytes_write, .ctx = (b)})
#define BYTES_FROM(b) (&(const struct state_io){.read = bytes_read, .ctx = (b)})

#endif
