/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection between two hosts' daemons, of either end: TLS 1.3 over a socket, at the beginning two lines, each with a
 * deadline, then bytes as they come (protocol/peer.h). One thread; nothing is believed of the other side before its
 * certificate's fingerprint is looked at, which is the caller's to do.
 */
#ifndef DACH_PEER_TLS_H
#define DACH_PEER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/peer.h"

struct tls;

/*
 * socket: connected; it stays the caller's, and does not block from now on. owner: a socket at whose other end's end nothing is
 * waited for any more, up to tls_carry(). pem: identity.h.
 */
int tls_create(int socket, int owner, bool caller, const char *pem, struct tls **tls,
	struct error *err);
void tls_destroy(struct tls *tls); /* NULL is allowed */
/*
 * Until both sides have shown their certificates; the other's fingerprint. deadline here and below: clock_now(). What the other end
 * does wrong is -EPROTO.
 */
int tls_handshake(struct tls *tls, uint64_t deadline, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	struct error *err);
int tls_write(struct tls *tls, const void *data, size_t len, uint64_t deadline, struct error *err);
/* A line of at most max bytes, without its newline and with a zero in its place; the caller's to free(). */
int tls_read_line(struct tls *tls, size_t max, uint64_t deadline, char **line, size_t *len,
	struct error *err);
/* Bytes go between it, in pieces (pack.h), and line, another socket, each direction until its end, which is passed on; -1: only the end is. */
void tls_carry(struct tls *tls, int line);

#endif
