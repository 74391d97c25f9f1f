/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon is known by to those of other hosts: a key (ECDSA, P-256) and a certificate that it signs itself, as PEM.
 * Nothing in the certificate counts but the key; who knows it knows its fingerprint (protocol/peer.h).
 */
#ifndef DACH_PEER_IDENTITY_H
#define DACH_PEER_IDENTITY_H

#include <stddef.h>

#include "base/error.h"
#include "protocol/peer.h"

/* Those in the file; it is made, for this user alone, if it is not there. *pem is the caller's to free(). */
int identity_open(const char *path, char **pem, struct error *err);
int identity_fingerprint(const char *pem, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	struct error *err);
/* Of a certificate as it comes over TLS (DER). */
int identity_fingerprint_of(const void *der, size_t size,
	char fingerprint[PEER_FINGERPRINT_LEN + 1]);
/* A secret that nobody guesses. */
int identity_secret(char secret[PEER_SECRET_LEN + 1], struct error *err);

#endif
