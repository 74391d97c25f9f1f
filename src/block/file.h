/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the host that holds an image, a block device, or an export of an NBD server (remote.h): what every format
 * reads from and writes to. Functions block; several threads may be in them at once. Private to block/.
 */
#ifndef DACH_BLOCK_FILE_H
#define DACH_BLOCK_FILE_H

#include <pthread.h>

#include "block/block.h"

struct remote;

struct file {
	int fd;
	struct remote *remote; /* NULL: it is on this host */
	bool read_only;
	bool device;      /* a block device or remote: it does not grow */
	bool grows;       /* what lies behind the end reads as zeroes; otherwise it is an error */
	bool no_read_now; /* it has no way to read without waiting; any thread, only ever set */
	bool lost;        /* a flush has failed, and no guest's has told of it yet; any thread */
	unsigned align;   /* of addresses, offsets and lengths; 1: any (the page cache is used) */
	uint64_t size;    /* any thread (file_size()) */
	pthread_rwlock_t
		edges; /* align > 1: written, what is not aligned is written; read, other writes */
};

/*
 * File n of a disk's chain, by its name or by its descriptor, which is the file's from then on, on failure
 * too. Locks it as block_open() says.
 */
int file_open(struct file *file, const struct disk_spec *spec, unsigned n, struct error *err);
void file_close(struct file *file);
/* Locks as block_open() says; none of them, or all. -EBUSY. And gives them all up. */
int file_lock(const struct file *file, const char *name, struct error *err);
void file_unlock(const struct file *file);
/* Nobody writes to it here any more, which its locks then say. */
void file_freeze(struct file *file);
/* Whether it is this one. */
bool file_is(const struct file *file, int fd);
/* It is written to by this descriptor, which is the file's, on failure too; nobody is in any function of it. */
int file_thaw(struct file *file, int fd, const char *name, struct error *err);

static inline uint64_t file_size(const struct file *file)
{
	return __atomic_load_n(&file->size, __ATOMIC_RELAXED);
}

/* Moves exactly length bytes; the array is changed. 0 or a negative errno. */
int file_transfer(struct file *file, bool write, struct iovec *iov, unsigned count, uint64_t offset,
	uint64_t length);
int file_read(struct file *file, void *to, size_t size, uint64_t offset);
int file_write(struct file *file, const void *from, size_t size, uint64_t offset);
/* A read, if it needs not wait for a disk; otherwise -EAGAIN, and nothing is changed. */
int file_read_now(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset,
	uint64_t length);

/* Whether it is a hole there, and for how many of the bytes that is so, or not. What cannot be told is none. */
void file_find_hole(const struct file *file, uint64_t offset, uint64_t *length, bool *hole);
/* Looks again how large it is. */
int file_measure(struct file *file, const char *name, struct error *err);
int file_flush(struct file *file);
/*
 * The result of a request to flush, whose flush returned r. A flush that failed within a write is told of once by the
 * kernel, and the write may have been done again since: so the guest's next one fails, and until then all internal ones.
 */
int file_flush_result(struct file *file, const struct block_request *request, int r);
/* Gives the space back; what was there reads as zeroes or as before. Where that cannot be done it is no error. */
int file_discard(struct file *file, uint64_t offset, uint64_t length);
/* unmap: the space may be given back. */
int file_write_zeroes(struct file *file, uint64_t offset, uint64_t length, bool unmap);

/* Steps over the first done bytes. */
void file_iov_advance(struct iovec **iov, unsigned *count, size_t done);

#endif
