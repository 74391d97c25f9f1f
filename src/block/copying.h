/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a disk in use, from inside; and what a disk's own threads do for it. Private to block/. */
#ifndef DACH_BLOCK_COPYING_H
#define DACH_BLOCK_COPYING_H

#include "block/copy.h"
#include "block/device.h"

#define COPY_UNIT_BITS 16u
#define COPY_UNIT (1ull << COPY_UNIT_BITS)
#define COPY_RANGES 16u /* more than a disk has threads */

struct copy_range {
	uint64_t first, last; /* units */
	bool taken, copies;
};

struct block_copy {
	struct block_device *block;
	enum block_copy_kind kind;
	struct block_image *target; /* of a commit the disk's own base */
	struct block_label *label;  /* of the target */
	struct error *err;          /* while a disk's thread works for us */
	uint64_t timeout, units;
	bool attached, ended;
	struct mutex lock;
	pthread_cond_t left; /* a range has been */
	/* By it: */
	uint64_t *todo, count; /* bits, and how many are set */
	uint64_t next;         /* where the worker looks; the worker's */
	struct copy_range range[COPY_RANGES];
	bool follows; /* all was copied once; of a commit: what is written is copied at once. Set by the worker */
	int failed;     /* of a copy that a write made */
	uint64_t moved; /* atomic, bytes */
};

/* Around each request that a disk's thread performs. */
struct copy_range *copying_write(struct block_copy *copy, const struct block_request *request);
void copying_written(struct block_copy *copy, struct copy_range *range);

/* Those of the range that are still to be copied, by who has none of its own there. */
void copying_todo(struct block_copy *copy, uint64_t first, uint64_t last) REQUIRES(copy->lock);

#endif
