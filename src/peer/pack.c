/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/pack.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL 1
#define WINDOW (2u << 20) /* bytes over which a way's speed is measured */
#define TRIAL 32 /* one window of so many goes the other way, which may be the faster one by now */

struct pieces {
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

struct pieces *pieces_create(void)
{
	struct pieces *pieces = calloc(1, sizeof *pieces);

	if (!pieces)
		return NULL;
	pieces->pack = ZSTD_createCCtx();
	pieces->unpack = ZSTD_createDCtx();
	if (!pieces->pack || !pieces->unpack) {
		pieces_destroy(pieces);
		return NULL;
	}
	ZSTD_CCtx_setParameter(pieces->pack, ZSTD_c_compressionLevel, LEVEL);
	return pieces;
}

void pieces_destroy(struct pieces *pieces)
{
	if (!pieces)
		return;
	ZSTD_freeCCtx(pieces->pack);
	ZSTD_freeDCtx(pieces->unpack);
	free(pieces);
}

static void put_head(uint8_t *piece, size_t stored, size_t len)
{
	const uint32_t head[] = {htole32((uint32_t)stored), htole32((uint32_t)len)};

	memcpy(piece, head, sizeof head);
}

/* Neither way may be better for long: what a guest has in its memory changes, and so does what else is on the line. */
static void choose(struct pieces *pieces, uint64_t now)
{
	double *own = &pieces->speed[pieces->packs], *speed = pieces->speed;
	const double measured = (double)pieces->bytes / (double)(now - pieces->since + 1);

	*own = *own > 0 ? (*own + measured) / 2 : measured;
	pieces->windows++;
	if (speed[!pieces->packs] <= 0 || pieces->windows % TRIAL == 0)
		pieces->packs = !pieces->packs;
	else
		pieces->packs = speed[true] > speed[false];
	pieces->since = now;
	pieces->bytes = 0;
}

void pieces_try(struct pieces *pieces, bool packs)
{
	pieces->packs = packs;
	pieces->bytes = 0;
	pieces->since = 0;
}

void pieces_starves(struct pieces *pieces, uint64_t now)
{
	if (!pieces->starved)
		pieces->starved = now;
}

size_t pieces_pack(struct pieces *pieces, uint8_t *piece, size_t len, uint64_t now,
	const uint8_t **out)
{
	size_t packed;

	if (!pieces->since)
		pieces->since = now;
	else if (pieces->starved)
		pieces->since += now - pieces->starved;
	pieces->starved = 0;
	if (pieces->bytes >= WINDOW)
		choose(pieces, now);
	pieces->bytes += len;
	if (pieces->packs) {
		packed = ZSTD_compress2(pieces->pack, pieces->packed + PACK_HEAD,
			sizeof pieces->packed - PACK_HEAD, piece + PACK_HEAD, len);
		if (!ZSTD_isError(packed) && packed < len) {
			put_head(pieces->packed, packed, len);
			*out = pieces->packed;
			return PACK_HEAD + packed;
		}
	}
	put_head(piece, len, len);
	*out = piece;
	return PACK_HEAD + len;
}

int pieces_read_head(const uint8_t head[PACK_HEAD], size_t *stored, size_t *len)
{
	uint32_t words[2];

	memcpy(words, head, sizeof words);
	*stored = le32toh(words[0]);
	*len = le32toh(words[1]);
	return *stored && *stored <= *len && *len <= PACK_PIECE ? 0 : -EPROTO;
}

int pieces_unpack(struct pieces *pieces, const uint8_t *body, size_t stored, size_t len,
	const uint8_t **out)
{
	if (stored == len) {
		*out = body;
		return 0;
	}
	*out = pieces->unpacked;
	return ZSTD_decompressDCtx(pieces->unpack, pieces->unpacked, sizeof pieces->unpacked, body,
		       stored) == len
		? 0
		: -EPROTO;
}
