/* SPDX-License-Identifier: Apache-2.0 */
/* Images of the store out of disks that others have made. */
#ifndef DACH_IMAGE_IMPORT_H
#define DACH_IMAGE_IMPORT_H

#include "base/error.h"
#include "image/convert.h"
#include "image/store.h"

/*
 * A new image with the disk in the file (source.h), as qcow2. name: NULL for one that is made of the file's. Its
 * kernel is the disk's own.
 */
int import_image(const char *file, const char *name, const struct convert_watch *watch,
	struct image *image, struct error *err);

/* What an image of that file is called, if it can be. */
void import_name(const char *file, char name[IMAGE_NAME_MAX + 1]);

#endif
