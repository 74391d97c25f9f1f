/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/arrive_disks.h"

#include <errno.h>
#include <string.h>

#include "block/block.h"
#include "block/handover.h"
#include "migrate/wire.h"

static int stabilize(struct arrive_disks *disks, struct block_device *disk, unsigned n)
{
	int r = block_flush(disk);

	disks->unstable[n] = 0;
	return r ? error_set(&disks->why, -r, "%s: cannot be made stable: %s", block_name(disk),
			   strerror(-r))
		 : 0;
}

static int put(struct arrive_disks *disks, struct block_device *disk, const struct wire_disk *piece,
	void *data)
{
	int r = block_write(disk, piece->offset, piece->length, data);

	if (r)
		return error_set(&disks->why, -r, "%s: cannot be written: %s", block_name(disk),
			strerror(-r));
	disks->unstable[piece->disk] += data ? piece->length : 0;
	return disks->unstable[piece->disk] < ARRIVE_UNSTABLE_MAX
		? 0
		: stabilize(disks, disk, piece->disk);
}

int arrive_disks_take(struct arrive_disks *disks, struct block_device *disk,
	const struct wire_disk *piece, void *data)
{
	const unsigned n = piece->disk;
	int r;

	if (disks->whole[n])
		return error_set(&disks->why, EPROTO, "%s: more comes of it than all",
			block_name(disk));
	switch (piece->what) {
	case WIRE_DISK_DATA:
		return put(disks, disk, piece, data);
	case WIRE_DISK_ZEROES:
		return put(disks, disk, piece, NULL);
	case WIRE_DISK_STABLE:
		return stabilize(disks, disk, n);
	case WIRE_DISK_WHOLE:
		if (piece->length != block_size(disk))
			return error_set(&disks->why, EPROTO,
				"%s: was made of another size than the disk has there",
				block_name(disk));
		r = stabilize(disks, disk, n);
		disks->whole[n] = !r;
		return r;
	default:
		return -EPROTO;
	}
}
