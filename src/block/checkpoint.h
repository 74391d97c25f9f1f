/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: moments of a disk, by name, since which it is known what has been written (block/dirty.h). A copy that
 * is made since one (block/copy.h) has only that. Those of a qcow2 image are kept in it as its persistent dirty
 * bitmaps, those of others for as long as the disk is open. One that cannot be relied upon, since whoever wrote to the
 * image did not come to note what, is lost: it can only be deleted.
 */
#ifndef DACH_BLOCK_CHECKPOINT_H
#define DACH_BLOCK_CHECKPOINT_H

#include "block/block.h"
#include "protocol/limits.h"

#define CHECKPOINT_NAME_MAX LIMIT_CHECKPOINT
#define CHECKPOINTS_MAX 16u /* of a disk */

struct block_checkpoint_info {
	const char *name;
	bool lost;
	uint64_t granularity, dirty; /* bytes: what a bit stands for, and what is marked */
};
/* Calls visit for each; ends when that returns other than 0, and with that. Any thread but a disk's own. */
int block_checkpoints(struct block_device *block,
	int (*visit)(void *ctx, const struct block_checkpoint_info *info), void *ctx);

/*
 * This moment gets that name, or the name goes. -EEXIST, -ENOENT, -EINVAL, -ENOSPC and the sentence. timeout: ns for
 * which requests may be held. Not on a disk's own thread.
 */
int block_checkpoint_create(struct block_device *block, const char *name, uint64_t timeout,
	struct error *err);
int block_checkpoint_delete(struct block_device *block, const char *name, uint64_t timeout,
	struct error *err);

#endif
