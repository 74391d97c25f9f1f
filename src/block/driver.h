/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a format of images gives to block.c: blocking functions, called on worker threads, several at once.
 * A format is a file with one of these and a row in block.c. Private to block/.
 */
#ifndef DACH_BLOCK_DRIVER_H
#define DACH_BLOCK_DRIVER_H

#include "block/block.h"

struct block_image {
	const struct block_driver *driver;
	uint64_t size;
	bool read_only;
	bool can_discard;
};

struct dirty_set;
struct file;

struct block_driver {
	enum disk_format format;
	bool keeps_back; /* what is written is not all in the file before a flush */
	/*
	 * Opens file n of the disk's chain, by its name or by its descriptor, which is the image's then; and
	 * what lies below it, if the format has that, by block_image_open(spec, n + 1). On failure none of the
	 * descriptors from n on is open any more.
	 */
	int (*open)(const struct disk_spec *spec, unsigned n, struct block_image **image,
		struct error *err);
	/* Does the request, whose range and buffers are checked already. 0 or a negative errno. */
	int (*perform)(struct block_image *image, struct block_request *request);
	/*
	 * A read, if it needs not wait for a disk; -EAGAIN if it would have to, and then the
	 * request is as it was. May be NULL.
	 */
	int (*read_now)(struct block_image *image, const struct block_request *request);
	/* Nothing is made stable: who closes has flushed. */
	void (*close)(struct block_image *image);
	/* It is only read from now on. Nothing is under way, and all is stable. */
	void (*freeze)(struct block_image *image);
	/*
	 * One that was opened with spec.bare: whether it may stand on an image of that format and size, and
	 * then that it does so. NULL: the format stands on nothing.
	 */
	int (*check_base)(struct block_image *image, enum disk_format format, uint64_t size,
		struct error *err);
	void (*set_base)(struct block_image *image, struct block_image *base);
	/* The file that it is in, without what it stands on. */
	struct file *(*file)(struct block_image *image);
	/* Of copy.c: what it stands on, or NULL. */
	struct block_image *(*base)(const struct block_image *image);
	/* Whether the image has it itself, and for how many of the bytes that is so, or not. */
	int (*find_own)(struct block_image *image, uint64_t offset, uint64_t *length, bool *own);
	/*
	 * Whether it reads as zeroes, and for how many of the bytes that is so, or not, as far as can be told without
	 * reading them. Bases count.
	 */
	int (*find_zero)(struct block_image *image, uint64_t offset, uint64_t *length, bool *zero);
	/* It names no base any more; all is stable, and nothing of the base shows through. */
	int (*leave_base)(struct block_image *image);
	/*
	 * It stands on what its base stands on, of which nothing shows through that would not otherwise; all is stable. By one
	 * write; in this process set_base() follows. NULL: the format cannot.
	 */
	int (*skip_base)(struct block_image *image);
	/* What it has is its base's, too: it has nothing any more, stably, and is closed next. */
	bool (*may_empty)(const struct block_image *image);
	int (*empty)(struct block_image *image);
	/* It is written to from now on, by this descriptor of its file, which is the image's, on failure too. */
	int (*thaw)(struct block_image *image, int fd, const char *name, struct error *err);
	/*
	 * Checkpoints that are kept in it, those that are lost among them; and what is to be in it instead, by who writes to
	 * it no more. NULL: it keeps none.
	 */
	int (*load_dirty)(struct block_image *image, struct dirty_set *set);
	int (*store_dirty)(struct block_image *image, const struct dirty_set *set);
	/* As block.h has them; each may be NULL. */
	int (*resize)(struct block_image *image, uint64_t size, bool shrink, struct error *err);
	/* The file is larger than it was, and so is the image: up to size. NULL: resize() does it. */
	int (*grow)(struct block_image *image, uint64_t size, struct error *err);
	int (*snapshot)(struct block_image *image, enum block_snapshot what, const char *name,
		struct error *err);
	int (*snapshots)(struct block_image *image,
		int (*visit)(void *ctx, const struct block_snapshot_info *info), void *ctx,
		struct error *err);
	int (*check)(struct block_image *image, struct block_faults *faults, struct error *err);
};

/* File n of the chain, with what lies below it, by the driver of its format. */
int block_image_open(const struct disk_spec *spec, unsigned n, struct block_image **image,
	struct error *err);
/* Only the first of a chain is written to. */
static inline bool block_file_read_only(const struct disk_spec *spec, unsigned n)
{
	return spec->readonly || n > 0;
}
/* Closes the descriptors of the chain from file n on. */
void block_files_close(const struct disk_spec *spec, unsigned n);

extern const struct block_driver raw_driver, qcow2_driver;

#endif
