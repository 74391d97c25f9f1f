/* SPDX-License-Identifier: Apache-2.0 */
/* New images. */
#ifndef DACH_BLOCK_CREATE_H
#define DACH_BLOCK_CREATE_H

#include <stdint.h>

#include "base/error.h"

struct qcow2_make {
	uint64_t size;       /* of the guest's disk, bytes */
	const char *backing; /* NULL: none; the name as it is to stand in the image */
	const char *backing_format;
};

/* An image of version 3 in clusters of 64 KiB, into an empty file. It need not be stable. */
int qcow2_create(int fd, const char *name, const struct qcow2_make *make, struct error *err);

/* How long such a file is while nothing has been written to it. */
uint64_t qcow2_new_size(uint64_t size);

#endif
