/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is open, from inside. Private to block/. */
#ifndef DACH_BLOCK_DEVICE_H
#define DACH_BLOCK_DEVICE_H

#include "base/thread.h"
#include "block/dirty.h"
#include "block/driver.h"
#include "block/pool.h"

/* What it is called, and was: names that were given out stay until it is closed. */
struct block_label {
	struct block_label *former;
	char text[];
};

struct block_device {
	struct block_image *image; /* changes while it is held and nothing is under way */
	struct block_pool *pool;
	enum disk_cache cache;
	/* Of the first image; of those that come later the same is so. */
	uint64_t size; /* atomic */
	bool read_only, can_discard;
	bool keeps_back;                /* one of the images does; atomic */
	unsigned files;                 /* of the chain */
	struct block_counters counters; /* any thread */
	struct block_copy *copy;        /* as image: what is made of it meanwhile; or NULL */
	struct dirty_set dirty;         /* changes as image does, and under the lock */
	struct block_later *later;      /* handover.c: another process has it; as image */
	bool given;                     /* likewise, and it is not to be touched here */
	bool complained;                /* any thread, only ever set */
	struct block_label *label;      /* any thread (block_name()) */

	/* Requests that have come and not ended; those that found it held do not count. Any thread. */
	uint64_t active;
	bool held; /* read without the lock, changed under it */
	struct mutex lock;
	pthread_cond_t idle; /* held, and active is 0; or not held any more */
	/* patience.c */
	bool waits;                          /* for a host that fails requests */
	bool stuck GUARDED_BY(lock);         /* some wait, of which a line has told */
	unsigned giving_up GUARDED_BY(lock); /* so many want that none waits */
	pthread_cond_t given_up;
	struct block_request *waiting, **waiting_last GUARDED_BY(lock);
};

/* block.c: runs it on one of the disk's threads, held or not, and waits. What run() returns. */
int block_call(struct block_device *block, int (*run)(void *ctx), void *ctx);
/* block.c: a request past those that wait, done by the disk's threads. */
int block_flush_held(struct block_device *block, uint64_t until);
/* checkpoint.c: on a disk's thread, while it is held. */
int checkpoint_may_come(const struct block_device *block, const char *name, struct error *err);
int checkpoint_find(const struct block_device *block, const char *name, struct dirty_map **map,
	struct error *err);
void checkpoint_put(struct block_device *block, struct dirty_map *map);
void checkpoint_drop(struct block_device *block, struct dirty_map *map);
/* block.c: NULL: out of memory. */
struct block_label *block_label_make(const char *name);
/* handover.c: a disk that another process has as yet; spec's descriptors are the disk's, on failure too. */
int handover_open(struct block_device *block, const struct disk_spec *spec, struct error *err);
void handover_close(struct block_device *block);
/* patience.c: the request, and again if the disk's errors=wait says so. */
int patience_perform(struct block_device *block, struct block_request *request);
/* block.c: for messages. */
const char *block_op_name(enum block_op op);
/* hold.c */
void hold_init(struct block_device *block);
void hold_destroy(struct block_device *block);
/* Whether the request may go on; otherwise it is kept, and submitted again later. */
bool hold_enter(struct block_device *block, struct block_request *request);
void hold_leave(struct block_device *block);
/* From now on requests wait, for one holder at a time; and until no other is under way; or -ETIMEDOUT. */
int hold_begin(struct block_device *block, uint64_t until);
int hold_wait(struct block_device *block, uint64_t until);
void hold_end(struct block_device *block);

#endif
