/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that is only looked at, while another of our processes has it: no locks, no threads, and nothing of
 * it stays in memory once it is closed. What the other has written and not flushed may be missing.
 */
#ifndef DACH_BLOCK_READER_H
#define DACH_BLOCK_READER_H

#include "block/block.h"

struct block_image;

/* fd: one for each file of the chain, which stay the caller's. */
int block_reader_open(const struct disk_spec *spec, const int *fd, struct block_image **image,
	struct error *err);
uint64_t block_reader_size(const struct block_image *image);
/* Any range. 0 or a negative errno. */
int block_reader_read(struct block_image *image, uint64_t offset, void *to, size_t size);
void block_reader_close(struct block_image *image);

#endif
