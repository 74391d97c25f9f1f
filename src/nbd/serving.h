/* SPDX-License-Identifier: Apache-2.0 */
/* A client that is served. Private to nbd/. */
#ifndef DACH_NBD_SERVING_H
#define DACH_NBD_SERVING_H

#include "nbd/server.h"
#include "nbd/wire.h"

/* Its number on the wire is one more. */
enum nbd_context { CONTEXT_ALLOCATION, CONTEXT_DIRTY, CONTEXTS };

struct nbd_client {
	struct nbd_wire wire;
	const struct nbd_source *source;
	bool no_zeroes;    /* the client's flag */
	bool structured;   /* negotiated: replies */
	unsigned contexts; /* and of which it is told: bits, by enum nbd_context */
	uint8_t *piece;    /* NBD_PIECE bytes, for whoever needs them */
};

/* server.c: so many bytes are nobody's. */
bool nbd_skip(struct nbd_client *client, uint64_t size);
/* handshake.c: true: the client is in the transmission phase. */
bool nbd_handshake(struct nbd_client *client);
/* transmit.c: until it leaves. */
void nbd_transmit(struct nbd_client *client);

#endif
