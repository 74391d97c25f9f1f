/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of image gives to block.c: blocking functions, called on worker
 * threads, several at once. Private to block/.
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

struct block_driver {
	/* By its name, or by its descriptor, which is the image's then, also when this fails. */
	int (*open)(const struct disk_file *file, bool read_only, struct block_image **image,
		struct error *err);
	/* Does the request, whose range and buffers are checked already. 0 or a negative errno. */
	int (*perform)(struct block_image *image, struct block_request *request);
	/*
	 * A read, if it needs not wait for a disk; -EAGAIN if it would have to, and then the
	 * request is as it was. May be NULL.
	 */
	int (*read_now)(struct block_image *image, const struct block_request *request);
	void (*close)(struct block_image *image);
};

extern const struct block_driver raw_driver;

#endif
