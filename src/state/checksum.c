/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "state/internal.h"

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t checksum_bits(uint32_t crc, const uint8_t *data, size_t len)
{
	while (len--) {
		crc ^= *data++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
	}
	return crc;
}

__attribute__((target("sse4.2"))) static uint32_t checksum_words(uint32_t crc, const uint8_t *data,
	size_t len)
{
	uint64_t wide = crc, word;

	for (; len >= 8; data += 8, len -= 8) {
		memcpy(&word, data, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	return checksum_bits(wide, data, len);
}

uint32_t state_checksum(uint32_t crc, const void *data, size_t len)
{
	crc = ~crc;
	if (__builtin_cpu_supports("sse4.2"))
		crc = checksum_words(crc, data, len);
	else
		crc = checksum_bits(crc, data, len);
	return ~crc;
}
