/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk image as it was downloaded, which is not written to: what its guest changes is kept beside it.
 *
 *   debian-12.qcow2              the download
 *   debian-12.overlay.qcow2      what differs from it
 *   debian-12.overlay.id         "instance UUID": which guest that is, for cloud-init; and
 *                                "base SIZE NANOSECONDS": the download's size and time, as they were
 */
#ifndef DACH_IMAGE_KEEP_H
#define DACH_IMAGE_KEEP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/convert.h"
#include "protocol/disk.h"

struct keep {
	char overlay[PATH_MAX];
	char instance[37];
	bool fresh; /* it was made just now */
};

/*
 * Whether a word means a file, not an image of the store: it has a slash or the ending of an image's file,
 * and is a file or block device.
 */
bool keep_is_file(const char *word);

/*
 * The disk in a file (source.h), read-only. What is not raw or qcow2 is converted first, to FILE.qcow2 beside
 * it, which is taken from then on.
 */
int keep_parse(const char *word, const struct convert_watch *watch, struct disk_spec *spec,
	struct error *err);

/*
 * Finds what is kept of base, or makes it: at overlay, or beside base (NULL). size: of the disk, when it is
 * made; 0: as large as the base.
 */
int keep_open(const struct disk_spec *base, const char *overlay, uint64_t size, struct keep *keep,
	struct error *err);

#endif
