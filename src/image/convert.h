/* SPDX-License-Identifier: Apache-2.0 */
/* Disks from one file, and format, to another. */
#ifndef DACH_IMAGE_CONVERT_H
#define DACH_IMAGE_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/guess.h"
#include "protocol/disk.h"

/* Told how far it is, in tenths of a percent; returns whether it is to go on. */
struct convert_watch {
	bool (*progress)(void *ctx, unsigned permille);
	void *ctx;
};

/*
 * A disk of ours to a new file at path, which must not exist. Zeroes take no room. On failure nothing is left.
 * size: of the new disk; 0: the same.
 */
int convert_own(const struct disk_spec *from, const char *path, enum disk_format format,
	const struct convert_watch *watch, struct error *err);

/*
 * A part of a file (size 0: all of it) in a format that is not ours, to such a new file, by qemu-img in a
 * process that can reach nothing else (confine.h).
 */
struct convert_foreign {
	const char *path; /* absolute */
	uint64_t offset, size;
	enum guess kind;
};
int convert_from(const struct convert_foreign *from, const char *path, enum disk_format format,
	const struct convert_watch *watch, struct error *err);
/* The same in the other direction, from a file of raw or qcow2 that stands on no other. */
int convert_to(const char *from, enum disk_format format, const char *path, enum guess kind,
	const struct convert_watch *watch, struct error *err);

#endif
