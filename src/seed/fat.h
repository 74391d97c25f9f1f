/* SPDX-License-Identifier: Apache-2.0 */
/* A small FAT12 file system with a few files in its root folder (Microsoft's FAT specification, 1.03). */
#ifndef DACH_SEED_FAT_H
#define DACH_SEED_FAT_H

#include <stddef.h>

#include "base/error.h"

#define FAT_FILES_MAX 8u
#define FAT_DATA_MAX (8u << 20) /* bytes of all files */

/* A name has up to 26 characters, all of them ASCII. */
struct fat_file {
	const char *name;
	const void *bytes;
	size_t size;
};

/* Into an empty file. label: up to 11 characters. */
int fat_write(int fd, const char *label, const struct fat_file *file, unsigned files,
	struct error *err);

#endif
