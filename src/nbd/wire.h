/* SPDX-License-Identifier: Apache-2.0 */
/* One connection's bytes, for the server and the client. Private to nbd/. */
#ifndef DACH_NBD_WIRE_H
#define DACH_NBD_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* A connected stream socket that blocks. */
struct nbd_wire {
	int fd;
	uint64_t deadline; /* clock_now()'s, for each read; 0: none */
};

/* All of it; false: the other side has gone, breaks off, or takes too long. */
bool wire_read(const struct nbd_wire *wire, void *to, size_t size);
/* Both together, in one piece if that can be; the second may be empty. */
bool wire_write(const struct nbd_wire *wire, const void *head, size_t head_size, const void *data,
	size_t size);
/* Into all of these, out of all of these; the array is changed. */
bool wire_read_vector(const struct nbd_wire *wire, struct iovec *iov, unsigned count);
bool wire_write_vector(const struct nbd_wire *wire, struct iovec *iov, unsigned count);

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

#endif
