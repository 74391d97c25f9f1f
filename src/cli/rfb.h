/* SPDX-License-Identifier: Apache-2.0 */
/* A client of a guest's screen (RFC 6143), as far as a picture and some keys need it. What the other side says is not trusted. */
#ifndef DACH_CLI_RFB_H
#define DACH_CLI_RFB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct rfb {
	int fd;
	unsigned width, height;
};

/* fd: connected to a server that asks for no password; stays the caller's. */
int rfb_begin(struct rfb *rfb, int fd, struct error *err);
/* All that is seen: 3 bytes a pixel, red first, lines from the top; the caller's to free(). */
int rfb_picture(struct rfb *rfb, uint8_t **pixels, struct error *err);
/* A key by its keysym. */
int rfb_key(struct rfb *rfb, uint32_t keysym, bool down, struct error *err);
/* All that was sent has been dealt with. */
int rfb_settle(struct rfb *rfb, struct error *err);

#endif
