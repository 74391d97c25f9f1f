/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an export of an NBD server is named (NetworkBlockDevice/nbd, doc/uri.md): nbd://HOST[:PORT]/EXPORT over TCP,
 * nbd+unix:///EXPORT?socket=PATH. Text from people and from files of theirs.
 */
#ifndef DACH_NBD_ADDRESS_H
#define DACH_NBD_ADDRESS_H

#include "base/error.h"

#define NBD_PORT "10809"
#define NBD_EXPORT_MAX 4096 /* bytes of an export's name */

struct nbd_address {
	char host[256];                  /* a name or an address; "": it is a Unix socket */
	char port[6];                    /* a number */
	char socket[108];                /* its path, absolute */
	char export[NBD_EXPORT_MAX + 1]; /* "": the server's default */
};

int nbd_address_parse(const char *text, struct nbd_address *address, struct error *err);
/*
 * A connected socket that blocks, and notices by itself when the other host has gone; within about that time for each
 * of the host's addresses.
 */
int nbd_connect(const struct nbd_address *address, unsigned timeout_ms, int *fd, struct error *err);

#endif
