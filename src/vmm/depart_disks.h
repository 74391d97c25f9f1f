/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disks of a guest that goes away, when they go along (migrate/wire.h, DISK): all that is in them, as it reads to the guest, and
 * then what it has written meanwhile, until it stands and there is no more. They are left as they are here. The job's thread,
 * but for the first and the last.
 */
#ifndef DACH_VMM_DEPART_DISKS_H
#define DACH_VMM_DEPART_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/limits.h"

struct block_copy;
struct block_device;
struct vmm;
struct wire;

/* Starts zeroed, and stays so where disks do not go along. */
struct depart_disks {
	struct block_device *disk[LIMIT_DISKS]; /* NULL: it does not go along */
	struct block_copy *copy[LIMIT_DISKS];
	unsigned count; /* of the array */
	bool again;     /* all was sent once */
	void *piece;
};

/* Those that the guest may write to stay as they are until depart_disks_leave(). The loop's thread, as that one. */
int depart_disks_use(struct depart_disks *disks, struct vmm *vmm, struct error *err);
/* From now on what is written is noted. */
int depart_disks_begin(struct depart_disks *disks, struct error *err);
/* Bytes that are still to be sent. */
uint64_t depart_disks_left(const struct depart_disks *disks);
/*
 * Sends what is to be sent now. A negative errno without a sentence is the wire's, or seen()'s, which is called for each piece.
 * last: the guest stands, and nothing more comes.
 */
int depart_disks_send(struct depart_disks *disks, struct wire *wire,
	int (*seen)(void *ctx, uint64_t bytes), void *ctx, bool last, struct error *err);
/* What comes of it is known. Again does nothing. */
void depart_disks_end(struct depart_disks *disks);
void depart_disks_leave(struct depart_disks *disks, struct vmm *vmm);

#endif
