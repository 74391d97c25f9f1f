/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/memory_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "machine/memory_lazy.h"

#define PAGE REGION_PAGE
#define LEVEL 1 /* of zstd's: half of a kernel's memory for a third of what writing it takes */

struct chunk_packer {
	ZSTD_CCtx *context;
	uint8_t pages[CHUNK];
};

struct chunk_packer *chunk_packer_make(void)
{
	struct chunk_packer *packer = malloc(sizeof *packer);

	if (packer && !(packer->context = ZSTD_createCCtx())) {
		free(packer);
		packer = NULL;
	}
	return packer;
}

void chunk_packer_free(struct chunk_packer *packer)
{
	if (!packer)
		return;
	ZSTD_freeCCtx(packer->context);
	free(packer);
}

/* Pages that have a bit, one behind the other. Returns their bytes. */
static size_t gather(const uint8_t *chunk, uint16_t pages, uint8_t *to)
{
	size_t size = 0;

	for (unsigned i = 0; i < CHUNK_PAGES; i++)
		if (pages >> i & 1) {
			memcpy(to + size, chunk + i * PAGE, PAGE);
			size += PAGE;
		}
	return size;
}

size_t chunk_pack(struct chunk_packer *packer, const uint8_t *chunk, uint16_t pages,
	uint8_t *packed)
{
	size_t size = gather(chunk, pages, packer->pages), most, got;

	/* A page less, or it is not worth the while. */
	if (size <= PAGE)
		return 0;
	most = size - PAGE < UINT16_MAX ? size - PAGE : UINT16_MAX;
	got = ZSTD_compressCCtx(packer->context, packed, most, packer->pages, size, LEVEL);
	return ZSTD_isError(got) ? 0 : got;
}

int chunk_unpack(const void *packed, size_t size, uint16_t pages, uint8_t *chunk)
{
	const size_t whole = (size_t)__builtin_popcount(pages) * PAGE;
	uint8_t *bytes = malloc(whole);
	size_t at = 0;

	if (!bytes)
		return -ENOMEM;
	if (ZSTD_decompress(bytes, whole, packed, size) != whole) {
		free(bytes);
		return -EINVAL;
	}
	for (unsigned i = 0; i < CHUNK_PAGES; i++)
		if (pages >> i & 1) {
			memcpy(chunk + i * PAGE, bytes + at, PAGE);
			at += PAGE;
		}
	free(bytes);
	return 0;
}
