/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as most protocols of networks have them, the highest byte first; anywhere in memory. Bounds are the caller's. */
#ifndef DACH_BASE_BIG_ENDIAN_H
#define DACH_BASE_BIG_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const void *from)
{
	uint16_t value;

	memcpy(&value, from, sizeof value);
	return be16toh(value);
}

static inline uint32_t get32(const void *from)
{
	uint32_t value;

	memcpy(&value, from, sizeof value);
	return be32toh(value);
}

static inline uint64_t get64(const void *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof value);
	return be64toh(value);
}

/* Each returns where the next goes. */
static inline uint8_t *put16(uint8_t *to, uint16_t value)
{
	value = htobe16(value);
	memcpy(to, &value, sizeof value);
	return to + sizeof value;
}

static inline uint8_t *put32(uint8_t *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof value);
	return to + sizeof value;
}

static inline uint8_t *put64(uint8_t *to, uint64_t value)
{
	value = htobe64(value);
	memcpy(to, &value, sizeof value);
	return to + sizeof value;
}

#endif
