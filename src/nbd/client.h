/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of the NBD protocol, of which it uses the simple half: an export, requests, and answers that bear a
 * cookie and come in any order. A server may send anything: what it says is bounded and checked, and only what was asked
 * for is written to memory. Functions block; the socket is the caller's, and blocks.
 */
#ifndef DACH_NBD_CLIENT_H
#define DACH_NBD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "nbd/nbd.h"
#include "nbd/wire.h"

struct nbd_export {
	uint64_t size;     /* bytes */
	uint32_t most;     /* bytes that one request may move */
	uint32_t smallest; /* what offsets and lengths are multiples of, at most 512 */
	uint16_t flags;    /* NBD_READ_ONLY, NBD_SEND_FLUSH, ... */
};

/* What comes before the data: until wire->deadline. server: for messages. */
int nbd_begin(const struct nbd_wire *wire, const char *export_name, const char *server,
	struct nbd_export *export, struct error *err);

/* Of the disk at that address (address.h), for who wants to know no more of it. */
int nbd_ask_size(const char *name, uint64_t *size, struct error *err);

#define NBD_REQUEST_SIZE 28u
/* The head of a request; data of a write follow it. */
void nbd_put_request(uint8_t to[NBD_REQUEST_SIZE], enum nbd_command command, uint16_t flags,
	uint64_t cookie, uint64_t offset, uint32_t length);
/* The head of the next answer; data of a read follow it if result, 0 or a negative errno, is 0. False: it is none. */
bool nbd_read_answer(const struct nbd_wire *wire, uint64_t *cookie, int *result);

#endif
