/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is an export of an NBD server. Its descriptor is a socket (SOCK_SEQPACKET) to who makes connections: it gets
 * one byte and answers with that byte and, with a descriptor, nothing, or the reason why there is none. Requests that a
 * connection is lost under are made again on the next one; when none answers for REMOTE_PATIENCE from then on they fail. What a
 * server has taken may be gone after that unless it was flushed: the next flush fails then. Private to block/.
 */
#ifndef DACH_BLOCK_REMOTE_H
#define DACH_BLOCK_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

#define REMOTE_PATIENCE 10000000000ull /* ns */

struct remote;

bool remote_is_socket(int fd);
/*
 * Connects. through: what is written is stable when it is done, if the server knows how, and then nothing is lost with a
 * connection. fd stays the caller's, and is used until remote_close(); *size: bytes. name: as nbd/address.h has it.
 */
int remote_open(int fd, const char *name, bool read_only, bool through, struct remote **remote,
	uint64_t *size, struct error *err);
void remote_close(struct remote *remote); /* NULL is allowed */

/* As file.h has them. The arrays are changed. Several threads at once. */
int remote_transfer(struct remote *remote, bool write, struct iovec *iov, unsigned count,
	uint64_t offset, uint64_t length);
int remote_flush(struct remote *remote);
int remote_discard(struct remote *remote, uint64_t offset, uint64_t length);
/* -EOPNOTSUPP: the server does not know how. */
int remote_write_zeroes(struct remote *remote, uint64_t offset, uint64_t length, bool unmap);

#endif
