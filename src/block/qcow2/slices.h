/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of an image in memory, in slices of at most 4 KiB, of which one goes that was not used for a while. The
 * image's lock is held in each function. A slice is good until the next call for the same cache.
 */
#ifndef DACH_BLOCK_QCOW2_SLICES_H
#define DACH_BLOCK_QCOW2_SLICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/file.h"

struct slice {
	uint64_t offset; /* in the file, a multiple of the size */
	bool dirty, being_written;
	bool used;                   /* since it was last looked at for a place for another */
	struct slice *hashed;        /* next with the same hash */
	struct slice *newer, *older; /* in the order of that look */
	uint8_t *data;
};

struct slices {
	struct file *file;
	size_t size;  /* of a slice */
	size_t limit; /* slices; more only while none is clean */
	size_t count, dirty;
	size_t buckets;
	struct slice **bucket;
	struct slice *newest, *oldest, *last; /* last: found by the last call */
};

int slices_init(struct slices *cache, struct file *file, size_t size, size_t limit);
void slices_free(struct slices *cache); /* all zero is allowed */
/* The slice at offset, read if need be. 0 or a negative errno. */
int slices_get(struct slices *cache, uint64_t offset, struct slice **slice);
struct slice *slices_find(struct slices *cache, uint64_t offset); /* NULL: not here */
void slices_dirty(struct slices *cache, struct slice *slice);
/* Forgets what it has of these bytes, dirty or not; none is being written. */
void slices_drop(struct slices *cache, uint64_t offset, uint64_t length);

/*
 * Copies of what is dirty, for the file. They are clean from then on, but stay until the batch has ended, and
 * are dirty again if it has failed. One batch at a time.
 */
struct batch {
	size_t count, size;
	struct slice **slice;
	uint8_t *data;
};
int batch_take(struct batch *batch, struct slices *cache);
/* Without the lock. */
int batch_write(const struct batch *batch, struct file *file);
void batch_end(struct batch *batch, struct slices *cache, bool written);

#endif
