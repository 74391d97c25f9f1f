/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is carried between two hosts, in pieces, each packed (zstd) or as it is, whichever has been measured to go faster: on a line
 * that is slower than this host packs, packed. A piece is a head, how many bytes follow and how many they are unpacked (32 bits
 * each, little endian; the same: they are not packed), and they.
 */
#ifndef DACH_PEER_PACK_H
#define DACH_PEER_PACK_H

#include <stddef.h>
#include <stdint.h>

#define PACK_HEAD 8u
#define PACK_PIECE (128u << 10) /* bytes of a piece, unpacked */

struct packer;

/* For both directions of one connection. NULL: out of memory. */
struct packer *packer_create(void);
void packer_destroy(struct packer *packer); /* NULL is allowed */

/*
 * The len bytes behind PACK_HEAD of piece, which is the caller's, as a piece: *out, piece itself or the packer's until the next call, and
 * its length. now: clock_now().
 */
size_t packer_pack(struct packer *packer, uint8_t *piece, size_t len, uint64_t now,
	const uint8_t **out);
/* Nothing is there to be sent: that time does not count. */
void packer_starves(struct packer *packer, uint64_t now);

/* -EPROTO: it is no head. */
int pack_read_head(const uint8_t head[PACK_HEAD], size_t *stored, size_t *len);
/* What follows it, of those lengths: *out is body or the packer's until the next call. -EPROTO. */
int packer_unpack(struct packer *packer, const uint8_t *body, size_t stored, size_t len,
	const uint8_t **out);

#endif
