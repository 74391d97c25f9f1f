/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers for folders and files that make an image. */
#ifndef DACH_IMAGE_TREE_H
#define DACH_IMAGE_TREE_H

#include <sys/types.h>

#include "base/error.h"

/* Makes dir and what is missing above it (mode 0755). */
int tree_make(const char *dir, struct error *err);

/*
 * Writes text (printf style) to the file name below dir, making the folders on the way (mode
 * 0755). The file gets exactly this mode, whatever the umask.
 */
int tree_write(const char *dir, const char *name, mode_t mode, struct error *err, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));

/* Removes path and all below it, following no link and leaving no file system. */
int tree_remove(const char *path);

#endif
