/* SPDX-License-Identifier: Apache-2.0 */
/* One connection's bytes. Private to nbd/. */
#ifndef DACH_NBD_WIRE_H
#define DACH_NBD_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nbd/server.h"

/* Its number on the wire is one more. */
enum nbd_context { CONTEXT_ALLOCATION, CONTEXT_DIRTY, CONTEXTS };

struct nbd_client {
	int fd;
	const struct nbd_source *source;
	uint64_t deadline; /* clock_now()'s, for each read; 0: none */
	bool no_zeroes;    /* the client's flag */
	bool structured;   /* negotiated: replies */
	unsigned contexts; /* and of which it is told: bits, by enum nbd_context */
	uint8_t *piece;    /* NBD_PIECE bytes, for whoever needs them */
};

/* All of it; false: the client has gone, or takes too long. */
bool wire_read(struct nbd_client *client, void *to, size_t size);
bool wire_skip(struct nbd_client *client, uint64_t size);
/* Both together, in one piece if that can be; the second may be empty. */
bool wire_write(struct nbd_client *client, const void *head, size_t head_size, const void *data,
	size_t size);

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

/* handshake.c: true: the client is in the transmission phase. */
bool nbd_handshake(struct nbd_client *client);
/* transmit.c: until it leaves. */
void nbd_transmit(struct nbd_client *client);

#endif
