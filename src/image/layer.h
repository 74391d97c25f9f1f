/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that stand on others: a qcow2 image on top, which holds only what differs. */
#ifndef DACH_IMAGE_LAYER_H
#define DACH_IMAGE_LAYER_H

#include <stdint.h>

#include "base/error.h"
#include "protocol/disk.h"

/*
 * A new image at path, which must not exist, over the file `backing`; the name is put into it as it is
 * given, so one without a / in front is meant from path's folder. Its size is that of what is below it, or
 * size (0: no other).
 */
int layer_create(const char *path, const char *backing, enum disk_format format, uint64_t size,
	struct error *err);

/* How large the disk in a file is for its guest. */
int layer_size(const char *path, enum disk_format format, uint64_t *size, struct error *err);

/*
 * Puts a layer on top of a disk whose chain is resolved, which nobody sees and which is gone with the
 * process: nothing below it is written to any more. It lies in $TMPDIR, or in /var/tmp, /tmp or memory, the first that
 * takes it. size as above.
 */
int layer_ephemeral(struct disk_spec *spec, uint64_t size, struct error *err);

#endif
