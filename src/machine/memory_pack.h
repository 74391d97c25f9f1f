/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of one chunk of guest memory (memory_lazy.h), packed together for a saved state's file (zstd, RFC 8878),
 * where they take the place of the first of them. What saves no page of the file is not packed.
 */
#ifndef DACH_MACHINE_MEMORY_PACK_H
#define DACH_MACHINE_MEMORY_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_packer;

struct chunk_packer *chunk_packer_make(void);        /* NULL: out of memory */
void chunk_packer_free(struct chunk_packer *packer); /* NULL is allowed */
/*
 * The pages that `pages` has a bit for, of a chunk whose first page would be at `chunk`: their bytes, packed, into
 * packed, which has room for a chunk. 0: they are better left as they are. A packer is for one thread at a time.
 */
size_t chunk_pack(struct chunk_packer *packer, const uint8_t *chunk, uint16_t pages,
	uint8_t *packed);

/*
 * The other way round, each page to its place in the chunk. Bytes are not trusted. 0; -EINVAL: they are not as many
 * pages, packed; -ENOMEM. On any thread.
 */
int chunk_unpack(const void *packed, size_t size, uint16_t pages, uint8_t *chunk);

#endif
