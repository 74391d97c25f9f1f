/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk images, asynchronously. An image is an array of bytes, a multiple of 512
 * long. Requests are taken on any thread and may finish in any order, on any
 * thread; what orders them is the caller waiting for one before it asks for the
 * next. A flush covers every write that was done before the flush was submitted.
 */
#ifndef DACH_BLOCK_BLOCK_H
#define DACH_BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "protocol/disk.h"

#define BLOCK_SECTOR 512u

struct block_device;

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,      /* the contents are not needed any more; they may stay */
	BLOCK_WRITE_ZEROES, /* reads as zeroes afterwards */
	BLOCK_CALL,         /* the image's own: refused */
};

struct block_request {
	enum block_op op;
	bool unmap;        /* WRITE_ZEROES: the space may be given back */
	bool patient;      /* waits for a host that fails it, if the disk's errors=wait says so */
	bool background;   /* never on the caller's thread, even if it would be quick */
	uint64_t offset;   /* bytes */
	uint64_t length;   /* bytes; 0 for FLUSH */
	struct iovec *iov; /* READ, WRITE: exactly length bytes; the image may change the array */
	unsigned iov_count;
	/*
	 * Called once, with 0 or a negative errno, possibly before block_submit() returns. The
	 * request and its buffers are the image's until then.
	 */
	void (*done)(struct block_request *request, int result);
	struct block_request *next; /* the image's, and the next */
	bool uncounted;
	bool internal; /* not a guest's; of a flush */
};

/*
 * Opens by name the files of a disk that have no descriptors yet: for who may not do so any more when the
 * disk is made. On failure those that were opened stay.
 */
int block_files_open(struct disk_spec *spec, struct error *err);
/*
 * Opens a disk's chain of files. A writable image is locked against every other writer and reader that
 * locks (open file description locks), a read-only one against writers. Descriptors of the specification
 * are the image's from here on, on failure too; all else in it stays the caller's.
 */
int block_open(const struct disk_spec *spec, struct block_device **block, struct error *err);
/* Waits for what is under way, makes it stable, closes. NULL is allowed. */
void block_close(struct block_device *block);

/*
 * What was written and this process keeps back is in the files when it returns: should it be killed then,
 * nothing is lost. Waits, so it is not for a disk's own thread. 0 or a negative errno.
 */
int block_settle(struct block_device *block);
/* All that was written is stable, as after a guest's flush. Waits likewise. */
int block_flush(struct block_device *block);
/* A write as a guest's, or of zeroes, whose space is given back, where there are no bytes. Waits likewise. */
int block_write(struct block_device *block, uint64_t offset, uint64_t length, void *bytes);
void block_submit(struct block_device *block, struct block_request *request);

/* Those that wait because the host failed them fail now, and others do not begin to before as many ends. Any thread. */
void block_give_up_begin(struct block_device *block);
void block_give_up_end(struct block_device *block);

uint64_t block_size(const struct block_device *block); /* bytes */
bool block_read_only(const struct block_device *block);
bool block_can_discard(const struct block_device *block);
const char *block_name(const struct block_device *block); /* for messages: the file's path */

/*
 * What is done to an image while nobody else uses it; -ENOTSUP for formats that cannot. A request that is
 * under way is waited for.
 */
int block_resize(struct block_device *block, uint64_t size, bool shrink, struct error *err);

/*
 * Makes a disk larger while it is in use: what comes is empty. A raw image's file has been made so long before. timeout:
 * ns for which requests may be held; it is refused while the disk is copied. Not on a disk's own thread.
 */
int block_grow(struct block_device *block, uint64_t size, uint64_t timeout, struct error *err);

enum block_snapshot { BLOCK_SNAPSHOT_CREATE, BLOCK_SNAPSHOT_APPLY, BLOCK_SNAPSHOT_DELETE };
struct block_snapshot_info {
	const char *id, *name;
	uint64_t size, state_size; /* bytes: of the disk, and of a guest's state beside it */
	uint64_t seconds;          /* since 1970: when it was made */
};
/* By its name or, failing that, its ID. Of a snapshot that is applied the disk's size may change. */
int block_snapshot(struct block_device *block, enum block_snapshot what, const char *name,
	struct error *err);
/* Calls visit for each; ends when that returns other than 0, and with that. */
int block_snapshots(struct block_device *block,
	int (*visit)(void *ctx, const struct block_snapshot_info *info), void *ctx,
	struct error *err);

struct block_faults {
	uint64_t leaks; /* clusters that nothing refers to: lost space, no more */
	uint64_t
		errors; /* clusters that are used more often than the image says, and wrong flags */
};
/* Only looks. */
int block_check(struct block_device *block, struct block_faults *faults, struct error *err);

/* What was asked for since it was opened. Any thread. */
struct block_counters {
	uint64_t reads, read_bytes, writes, written_bytes;
};
void block_counters(const struct block_device *block, struct block_counters *counters);

#endif
