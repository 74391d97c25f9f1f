/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/pack.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 1
#define WINDOW (2u << 20) /* bytes over which a way's speed is measured */
#define TRIAL 32 /* one window of so many goes the other way, which may be the faster one by now */

struct packer {
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
	bool packs;
	double speed[2]; /* bytes in a ns as they are, and packed; 0: not measured yet */
	uint64_t
		since; /* when this window began, without the time in which nothing was to be sent */
	uint64_t starved; /* since when nothing is; 0: something */
	size_t bytes;     /* in the window */
	unsigned windows;
	uint8_t packed[PACK_HEAD + ZSTD_COMPRESSBOUND(PACK_PIECE)];
	uint8_t unpacked[PACK_PIECE];
};

struct packer *packer_create(void)
{
	struct packer *packer = calloc(1, sizeof *packer);

	if (!packer)
		return NULL;
	packer->pack = ZSTD_createCCtx();
	packer->unpack = ZSTD_createDCtx();
	if (!packer->pack || !packer->unpack) {
		packer_destroy(packer);
		return NULL;
	}
	ZSTD_CCtx_setParameter(packer->pack, ZSTD_c_compressionLevel, LEVEL);
	return packer;
}

void packer_destroy(struct packer *packer)
{
	if (!packer)
		return;
	ZSTD_freeCCtx(packer->pack);
	ZSTD_freeDCtx(packer->unpack);
	free(packer);
}

static void put_head(uint8_t *piece, size_t stored, size_t len)
{
	const uint32_t head[] = {htole32((uint32_t)stored), htole32((uint32_t)len)};

	memcpy(piece, head, sizeof head);
}

/* Neither way may be better for long: what a guest has in its memory changes, and so does what else is on the line. */
static void choose(struct packer *packer, uint64_t now)
{
	double *own = &packer->speed[packer->packs], *speed = packer->speed;
	const double measured = (double)packer->bytes / (double)(now - packer->since + 1);

	*own = *own > 0 ? (*own + measured) / 2 : measured;
	packer->windows++;
	if (speed[!packer->packs] <= 0 || packer->windows % TRIAL == 0)
		packer->packs = !packer->packs;
	else
		packer->packs = speed[true] > speed[false];
	packer->since = now;
	packer->bytes = 0;
}

void packer_starves(struct packer *packer, uint64_t now)
{
	if (!packer->starved)
		packer->starved = now;
}

size_t packer_pack(struct packer *packer, uint8_t *piece, size_t len, uint64_t now,
	const uint8_t **out)
{
	size_t packed;

	if (!packer->since)
		packer->since = now;
	else if (packer->starved)
		packer->since += now - packer->starved;
	packer->starved = 0;
	if (packer->bytes >= WINDOW)
		choose(packer, now);
	packer->bytes += len;
	if (packer->packs) {
		packed = ZSTD_compress2(packer->pack, packer->packed + PACK_HEAD,
			sizeof packer->packed - PACK_HEAD, piece + PACK_HEAD, len);
		if (!ZSTD_isError(packed) && packed < len) {
			put_head(packer->packed, packed, len);
			*out = packer->packed;
			return PACK_HEAD + packed;
		}
	}
	put_head(piece, len, len);
	*out = piece;
	return PACK_HEAD + len;
}

int pack_read_head(const uint8_t head[PACK_HEAD], size_t *stored, size_t *len)
{
	uint32_t words[2];

	memcpy(words, head, sizeof words);
	*stored = le32toh(words[0]);
	*len = le32toh(words[1]);
	return *stored && *stored <= *len && *len <= PACK_PIECE ? 0 : -EPROTO;
}

int packer_unpack(struct packer *packer, const uint8_t *body, size_t stored, size_t len,
	const uint8_t **out)
{
	if (stored == len) {
		*out = body;
		return 0;
	}
	*out = packer->unpacked;
	return ZSTD_decompressDCtx(packer->unpack, packer->unpacked, sizeof packer->unpacked, body,
		       stored) == len
		? 0
		: -EPROTO;
}
