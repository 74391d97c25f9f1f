/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_write(const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;

	if (!text)
		return NULL;
	for (size_t at = 0; at < size; at += 3) {
		const size_t left = size - at < 3 ? size - at : 3;
		uint32_t group = 0;

		for (size_t i = 0; i < 3; i++)
			group = group << 8 | (i < left ? from[at + i] : 0);
		for (size_t i = 0; i < 4; i++)
			*to++ = i <= left ? letters[group >> (18 - 6 * i) & 63] : '=';
	}
	*to = 0;
	return text;
}

/* -1: it is no letter. */
static int value_of(char letter)
{
	const char *at = letter ? strchr(letters, letter) : NULL;

	return at ? (int)(at - letters) : -1;
}

int base64_read(const char *text, size_t len, uint8_t **bytes, size_t *size)
{
	size_t padding = 0, used = 0;
	uint8_t *to;

	*bytes = NULL;
	*size = 0;
	if (len % 4)
		return -EINVAL;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	to = malloc(len / 4 * 3 + 1);
	if (!to)
		return -ENOMEM;
	for (size_t at = 0; at < len; at += 4) {
		uint32_t group = 0;

		for (size_t i = at; i < at + 4; i++) {
			int value = i < len - padding ? value_of(text[i]) : 0;

			if (value < 0) {
				free(to);
				return -EINVAL;
			}
			group = group << 6 | (uint32_t)value;
		}
		to[used++] = group >> 16;
		to[used++] = group >> 8;
		to[used++] = group;
	}
	*bytes = to;
	*size = used - padding;
	return 0;
}
