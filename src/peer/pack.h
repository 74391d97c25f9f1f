/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is carried between two hosts, in pieces, each packed (zstd) or as it is, whichever has been measured to go faster: on a line
 * that is slower than this host packs, packed. A piece is a head, how many bytes follow and how many they are unpacked (32 bits
 * each, little endian; the same: they are not packed), and they.
 */
#ifndef DACH_PEER_PACK_H
#define DACH_PEER_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_HEAD 8u
#define PACK_PIECE (128u << 10) /* bytes of a piece, unpacked */

struct pieces;

/* For both directions of one connection. NULL: out of memory. */
struct pieces *pieces_create(void);
void pieces_destroy(struct pieces *pieces); /* NULL is allowed */

/*
 * The len bytes behind PACK_HEAD of piece, which is the caller's, as a piece: *out, piece itself or ours until the next call, and
 * its length. now: clock_now().
 */
size_t pieces_pack(struct pieces *pieces, uint8_t *piece, size_t len, uint64_t now,
	const uint8_t **out);
/* Packs what follows, or does not, for as long as a measurement takes. */
void pieces_try(struct pieces *pieces, bool packs);
/* Nothing is there to be sent: that time does not count. */
void pieces_starves(struct pieces *pieces, uint64_t now);

/* -EPROTO: it is no head. */
int pieces_read_head(const uint8_t head[PACK_HEAD], size_t *stored, size_t *len);
/* What follows it, of those lengths: *out is body or ours until the next call. -EPROTO. */
int pieces_unpack(struct pieces *pieces, const uint8_t *body, size_t stored, size_t len,
	const uint8_t **out);

#endif
