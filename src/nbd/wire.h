/* SPDX-License-Identifier: Apache-2.0 */
/* One connection's bytes, for the server and the client. Private to nbd/. */
#ifndef DACH_NBD_WIRE_H
#define DACH_NBD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/big_endian.h"

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

#endif
