/* SPDX-License-Identifier: Apache-2.0 */
/* Disks that a guest brings along: what comes of them (migrate/wire.h, DISK) is written here as it comes. The loop's thread. */
#ifndef DACH_VMM_ARRIVE_DISKS_H
#define DACH_VMM_ARRIVE_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/limits.h"

struct block_device;
struct wire_disk;

/* So many bytes of a disk come before they are made stable: few are to be when the guest stands. */
#define ARRIVE_UNSTABLE_MAX (64u << 20)

/* Starts zeroed. By the disks' numbers in the machine. */
struct arrive_disks {
	uint64_t unstable[LIMIT_DISKS]; /* bytes */
	bool whole[LIMIT_DISKS];        /* nothing more comes, and all is stable */
	struct error why;               /* one cannot be brought along */
};

/*
 * piece->disk is below LIMIT_DISKS and that disk; the rest is as it came. data: of WIRE_DISK_DATA, piece->length bytes. 0, or a negative
 * errno with disks->why.
 */
int arrive_disks_take(struct arrive_disks *disks, struct block_device *disk,
	const struct wire_disk *piece, void *data);

#endif
