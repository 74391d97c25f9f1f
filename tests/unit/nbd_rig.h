/* SPDX-License-Identifier: Apache-2.0 */
/* What an NBD server says before the data, as the tests' servers put it together. */
#ifndef DACH_TESTS_UNIT_NBD_RIG_H
#define DACH_TESTS_UNIT_NBD_RIG_H

#include <string.h>

#include "nbd/client.h"

#define NAME "nbd://host/disk"
#define SIZE (1u << 20)

struct words {
	uint8_t bytes[65536];
	size_t size;
};

static inline void add(struct words *words, const void *data, size_t size)
{
	if (size)
		memcpy(words->bytes + words->size, data, size);
	words->size += size;
}

static inline void add_hello(struct words *words, uint16_t flags)
{
	uint8_t head[18];

	put16(put64(put64(head, NBD_MAGIC), NBD_OPTION_MAGIC), flags);
	add(words, head, sizeof head);
}

static inline void add_reply(struct words *words, uint32_t type, const void *data, uint32_t size)
{
	uint8_t head[20];

	put32(put32(put32(put64(head, NBD_REPLY_MAGIC), NBD_OPT_GO), type), size);
	add(words, head, sizeof head);
	add(words, data, size);
}

static inline void add_export(struct words *words, uint64_t size, uint16_t flags)
{
	uint8_t info[12];

	put16(put64(put16(info, NBD_INFO_EXPORT), size), flags);
	add_reply(words, NBD_REP_INFO, info, sizeof info);
}

static inline void add_blocks(struct words *words, uint32_t smallest, uint32_t most)
{
	uint8_t info[14];

	put32(put32(put32(put16(info, NBD_INFO_BLOCK_SIZE), smallest), 4096), most);
	add_reply(words, NBD_REP_INFO, info, sizeof info);
}

#endif
