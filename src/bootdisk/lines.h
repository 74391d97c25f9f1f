/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a configuration that is read line by line: GRUB legacy's, extlinux's. Hostile. */
#ifndef DACH_BOOTDISK_LINES_H
#define DACH_BOOTDISK_LINES_H

#include <stddef.h>

#include "base/error.h"

#define LINES_MAX_BYTES 4096u

struct lines {
	const char *at, *end;       /* what is still to be read */
	unsigned number;            /* of the line that was read last, from 1 */
	char text[LINES_MAX_BYTES]; /* it, without the blanks around it; the reader may cut it up */
};

void lines_init(struct lines *lines, const char *text, size_t size);
/*
 * The next line that is neither empty nor a comment (#). 1: there it is; 0: there is none; -EINVAL and a
 * sentence: it is too long, or has a zero byte in it.
 */
int lines_next(struct lines *lines, struct error *err);

#endif
