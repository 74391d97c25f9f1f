/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in a row, added behind and dropped in front. All zero is none. One thread, or its owner's lock. */
#ifndef DACH_VMM_BYTES_H
#define DACH_VMM_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	uint8_t *at;
	size_t start, end, room; /* they are from start to end */
};

/* Puts size bytes behind; false: there would be more than max, or no memory. */
bool bytes_add(struct bytes *bytes, const void *from, size_t size, size_t max);
/* At most as many as there are. */
void bytes_drop(struct bytes *bytes, size_t size);
static inline size_t bytes_size(const struct bytes *bytes)
{
	return bytes->end - bytes->start;
}
void bytes_free(struct bytes *bytes);

#endif
