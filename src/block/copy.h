/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is copied of a disk while it is in use:
 *
 *   stream  what the disk reads from its bases comes into its top, which then stands alone
 *   commit  what the top has comes into the base below it, which then is the disk
 *   merge   what an image below the top leaves out, and the one that it stands on has, comes into it; then it stands on what is below
 *   backup  the disk as it was at the begin comes into a file of its own
 *   mirror  the disk comes into a file of its own, is kept in step there (block_copy_pledge()), and goes on in that
 *   follow  the disk goes elsewhere, in pieces that its owner takes there (block_copy_next()), those that are written meanwhile again
 *   export  the disk as it was at the begin can be read (block_copy_read()); what the guest writes over is kept in a file
 *
 * One engine. The disk is divided in units, and a bitmap has those that are still to be copied. A worker copies them;
 * a write of the guest waits for a copy of the same unit to end. Of a backup, what is about to be written over is copied
 * first; of a commit and a mirror, what is written is to be copied again, and once all has been copied is at once, so that the rest
 * does not grow. The end is short: requests are held (block/layer.h) while what is left is copied.
 *
 * Should the process be killed at any point, the disk's files are what they were or, by one write at the end, what
 * they are to be: what a stream brings is what showed through, as is what a merge brings; what a commit brings is hidden by the top until the top
 * is emptied, which is done piece by piece but makes no difference to what the disk reads; a backup is not the disk's, and a
 * mirror is only once its owner notes it as the disk, which is when it is in step.
 *
 * One thread, not a disk's own; one copy of a disk at a time.
 */
#ifndef DACH_BLOCK_COPY_H
#define DACH_BLOCK_COPY_H

#include "block/block.h"

enum block_copy_kind {
	BLOCK_STREAM,
	BLOCK_COMMIT,
	BLOCK_MERGE,
	BLOCK_BACKUP,
	BLOCK_EXPORT,
	BLOCK_MIRROR,
	BLOCK_FOLLOW,
};

struct block_copy;

#define BLOCK_COPY_PIECE (256u << 10)

/*
 * Of a backup and an export (block/checkpoint.h), each may be NULL: since, only what has been written since then is
 * copied into a backup (its file is opened without what it stands on), or told of an export; the begin of the copy
 * becomes a checkpoint of that name, which goes again if a backup comes to nothing.
 */
struct block_copy_points {
	const char *since, *checkpoint;
};

/*
 * file: of a backup or a mirror, the new image, empty and of the disk's size; of an export likewise, and raw; of a commit, the base, open for reading and writing
 * (its name is the disk's afterwards); of a merge likewise the image of the chain, which is of qcow2, as is the one that it stands on. Its descriptor is the copy's from here on, on failure too. of a stream and a follow NULL.
 * points: NULL: none. timeout: ns for which requests may be held.
 */
int block_copy_begin(struct block_device *block, enum block_copy_kind kind,
	const struct disk_file *file, const struct block_copy_points *points, uint64_t timeout,
	struct block_copy **copy, struct error *err);
/*
 * Of an export, instead of all that follows but the close: the disk as it was at the begin. Any threads, several at
 * once; offset and length are whole sectors within it. What cannot be kept (a full file system) is an error from then
 * on, to who reads: the guest goes on.
 */
int block_copy_read(struct block_copy *copy, uint64_t offset, uint64_t length, void *to);
/* Whether it reads as zeroes there, as far as can be told without reading, and for how many of the bytes that is so. */
int block_copy_find_zero(struct block_copy *copy, uint64_t offset, uint64_t *length, bool *zero);
/* Whether it has been written to since then, and for how many of the bytes that is so; all has, if no since was given. */
bool block_copy_changed(const struct block_copy *copy, uint64_t offset, uint64_t *length);
/*
 * Of a follow, instead of all that follows but the progress and the close: the next piece that is to be taken elsewhere, at most
 * BLOCK_COPY_PIECE bytes, into `to`, unless it is zero. 1: that is it; 0: the end of the disk, and what was written behind
 * this comes when it is asked anew; or a negative errno.
 */
int block_copy_next(struct block_copy *copy, uint64_t *offset, uint64_t *length, void *to,
	bool *zero, struct error *err);
/* A piece, of at most a mebibyte. 1: there is more; 0: block_copy_finish() is next; or a negative errno. */
int block_copy_step(struct block_copy *copy, struct error *err);
/* Bytes of the disk: those that are not to be copied any more, and all. */
void block_copy_progress(const struct block_copy *copy, uint64_t *done, uint64_t *total);
/* Bytes that have been read for it, the guest's writes included. */
uint64_t block_copy_moved(const struct block_copy *copy);
/*
 * Of a mirror, once block_copy_step() returns 0: from now on whatever the guest has been told is written, or stable, is so in
 * the file as well; what cannot be is an error to the guest. So either may be noted as the disk until block_copy_finish()
 * or block_copy_close().
 */
int block_copy_pledge(struct block_copy *copy, struct error *err);
/* What is to be in the end is so, or else it is as before. The copy is still to be closed. */
int block_copy_finish(struct block_copy *copy, struct error *err);
/* Whatever became of it; what was not finished is given up. */
void block_copy_close(struct block_copy *copy);

#endif
