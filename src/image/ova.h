/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An OVA: a tar archive (POSIX ustar) with a description (OVF, DSP0243) and disks. Of the description only what is
 * needed here is taken, wherever it stands, by a look at names and numbers; nobody trusts it.
 */
#ifndef DACH_IMAGE_OVA_H
#define DACH_IMAGE_OVA_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct ova {
	uint64_t disk_offset, disk_size; /* of its disk in the file, bytes */
	unsigned vcpus;                  /* 0: it does not say */
	uint64_t memory;                 /* bytes; 0 likewise */
};

/* One with several disks, or a packed one, is refused. */
int ova_read(int fd, const char *name, struct ova *ova, struct error *err);

/* Of the description's text, with a 0 behind it. */
void ova_read_description(const char *text, struct ova *ova);

#endif
