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
	struct block_image
		*target; /* of a commit the disk's own base, of a merge one of its images */
	struct block_label *label; /* of the target */
	struct error *err;         /* while a disk's thread works for us */
	uint64_t timeout, units;
	bool attached;
	bool in_step; /* block_copy_pledge(); changes while the disk is held */
	const struct block_copy_points *points; /* while it begins */
	struct dirty_map *since;                /* as it was at the begin; or NULL */
	struct dirty_map *made;                 /* the begin's checkpoint, of the disk; or NULL */
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

static inline bool request_changes(const struct block_request *request)
{
	return request->op != BLOCK_READ && request->op != BLOCK_FLUSH && request->length;
}

/* Around each request that a disk's thread performs. */
struct copy_range *copying_write(struct block_copy *copy, const struct block_request *request);
void copying_written(struct block_copy *copy, struct copy_range *range);
/* What the request comes to, that was performed with this result. */
int copying_performed(struct block_copy *copy, const struct block_request *request, int r);

/* The disk as it was at the begin: what is about to be written over is copied first. */
/* The target is a file of the copy's own. */
static inline bool copying_opens(enum block_copy_kind kind)
{
	return kind == BLOCK_BACKUP || kind == BLOCK_EXPORT || kind == BLOCK_MIRROR;
}

/* The target is one of the disk's own images, which is written to meanwhile. */
static inline bool copying_thaws(enum block_copy_kind kind)
{
	return kind == BLOCK_COMMIT || kind == BLOCK_MERGE;
}

/* What is written is to be copied again. */
static inline bool copying_follows(enum block_copy_kind kind)
{
	return kind == BLOCK_COMMIT || kind == BLOCK_MIRROR || kind == BLOCK_FOLLOW;
}

static inline bool copying_keeps(enum block_copy_kind kind)
{
	return kind == BLOCK_BACKUP || kind == BLOCK_EXPORT;
}

bool copying_is_todo(const struct block_copy *copy, uint64_t unit) REQUIRES(copy->lock);
/*
 * Units that a disk's thread is at, once no other is that is in the way; the lock may be let go meanwhile. There is a
 * place: each of the threads has one at most.
 */
struct copy_range *copying_enter(struct block_copy *copy, uint64_t first, uint64_t last,
	bool copies) REQUIRES(copy->lock);
void copying_leave(struct block_copy *copy, struct copy_range *range) REQUIRES(copy->lock);

/* Instead of all: what was written since. */
void copying_todo_since(struct block_copy *copy) REQUIRES(copy->lock);
/* Those of the range that are still to be copied, by who has none of its own there. */
void copying_todo(struct block_copy *copy, uint64_t first, uint64_t last) REQUIRES(copy->lock);

#endif
