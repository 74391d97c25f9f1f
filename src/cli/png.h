/* SPDX-License-Identifier: Apache-2.0 */
/* A picture as PNG (RFC 2083): the least of it, 8 bits each of red, green and blue. */
#ifndef DACH_CLI_PNG_H
#define DACH_CLI_PNG_H

#include <stdint.h>
#include <stdio.h>

/* 3 bytes a pixel, lines from the top. 0, -ENOMEM, or -EIO: errno says why it cannot be written. */
int png_write(FILE *out, const uint8_t *pixels, unsigned width, unsigned height);

#endif
