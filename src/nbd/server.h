/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NBD server of one export that is only read, for one client: nbdcopy, nbdinfo, qemu-img and the like. A client may
 * send anything: what it says is bounded and checked, and memory that it costs is NBD_PIECE bytes.
 */
#ifndef DACH_NBD_SERVER_H
#define DACH_NBD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#define NBD_PIECE (1u << 20)
#define NBD_SECTOR 512u

/* What is exported. Functions block, and return 0 or a negative errno; several clients call them at once. */
struct nbd_source {
	void *ctx;
	const char *name; /* a client asks for it by this or by "" */
	uint64_t size;    /* bytes, whole sectors */
	/* Whole sectors within the size. */
	int (*read)(void *ctx, uint64_t offset, uint64_t length, void *to);
	/* Whether it reads as zeroes there, as far as is known, and for how many of the bytes that is so: at least one sector. */
	int (*find_zero)(void *ctx, uint64_t offset, uint64_t *length, bool *zero);
	/*
	 * The name by which a client asks for what has changed: as "qemu:dirty-bitmap:" and this. NULL: it cannot be told.
	 * changed(): as find_zero().
	 */
	const char *bitmap;
	bool (*changed)(void *ctx, uint64_t offset, uint64_t *length);
};

/*
 * Serves whoever is at the other end of a connected stream socket, which blocks and stays the caller's, until that one
 * leaves or breaks the rules. shutdown() of the socket ends it, from any thread. handshake_ms: within that a client has
 * to have said what it wants.
 */
void nbd_serve(int fd, const struct nbd_source *source, unsigned handshake_ms);

#endif
