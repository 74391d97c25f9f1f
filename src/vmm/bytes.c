/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/bytes.h"

#include <stdlib.h>
#include <string.h>

bool bytes_add(struct bytes *bytes, const void *from, size_t size, size_t max)
{
	const size_t used = bytes_size(bytes);
	size_t room = bytes->room ? bytes->room : 4096;
	uint8_t *at;

	if (used > max || size > max - used)
		return false;
	if (size > bytes->room - bytes->end) {
		while (room < used + size)
			room *= 2;
		at = malloc(room);
		if (!at)
			return false;
		if (used)
			memcpy(at, bytes->at + bytes->start, used);
		free(bytes->at);
		*bytes = (struct bytes){at, 0, used, room};
	}
	if (size)
		memcpy(bytes->at + bytes->end, from, size);
	bytes->end += size;
	return true;
}

void bytes_drop(struct bytes *bytes, size_t size)
{
	bytes->start += size;
	if (bytes->start == bytes->end)
		bytes->start = bytes->end = 0;
}

void bytes_free(struct bytes *bytes)
{
	free(bytes->at);
	*bytes = (struct bytes){NULL, 0, 0, 0};
}
