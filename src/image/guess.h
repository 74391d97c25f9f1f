/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kind of image a file is that somebody has downloaded, by its first bytes. Never for a file that a guest
 * writes to, which could make of it what it likes.
 */
#ifndef DACH_IMAGE_GUESS_H
#define DACH_IMAGE_GUESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum guess {
	GUESS_RAW, /* nothing else */
	GUESS_QCOW2,
	GUESS_VMDK,
	GUESS_VHD,
	GUESS_VHDX,
	GUESS_VDI,
	GUESS_QED,
	GUESS_OVA,    /* a tar archive */
	GUESS_PACKED, /* gzip, xz, zstd, bzip2, zip: to be unpacked first */
	GUESS_KINDS,
};

/* Of bytes that are the file's first; tail: its last 512, or NULL. */
enum guess guess_bytes(const uint8_t *head, size_t size, const uint8_t *tail);
#define GUESS_HEAD 4096u /* bytes that are enough */

int guess_file(int fd, const char *name, enum guess *guess, struct error *err);

/* "VMDK"; for people. */
const char *guess_name(enum guess guess);
/* What qemu-img calls it, or NULL. */
const char *guess_driver(enum guess guess);

#endif
