/* SPDX-License-Identifier: Apache-2.0 */
#include "block/block.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/pool.h"

#define THREADS 4
/*
 * Up to this size a read that the page cache can answer is done on the caller's thread: copying
 * costs less than waking another one (13 to 130 us).
 */
#define READ_NOW_MAX (16u << 10)

struct block {
	struct block_image *image;
	struct block_pool *pool;
	struct {
		_Atomic uint64_t reads, read_bytes, writes, written_bytes;
	} counters;
	char name[];
};

static bool request_valid(const struct block_image *image, const struct block_request *request)
{
	uint64_t total = 0;

	if (request->op == BLOCK_FLUSH)
		return true;
	if (request->offset % BLOCK_SECTOR || request->length % BLOCK_SECTOR)
		return false;
	if (request->offset > image->size || request->length > image->size - request->offset)
		return false;
	if (request->op != BLOCK_READ && request->op != BLOCK_WRITE)
		return true;
	for (unsigned i = 0; i < request->iov_count; i++)
		if (__builtin_add_overflow(total, request->iov[i].iov_len, &total))
			return false;
	return total == request->length;
}

static void block_work(void *ctx, struct block_request *request)
{
	struct block *block = ctx;

	request->done(request, block->image->driver->perform(block->image, request));
}

static void count_request(struct block *block, const struct block_request *request)
{
	if (request->op == BLOCK_READ) {
		atomic_fetch_add_explicit(&block->counters.reads, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&block->counters.read_bytes, request->length,
			memory_order_relaxed);
	} else if (request->op == BLOCK_WRITE) {
		atomic_fetch_add_explicit(&block->counters.writes, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&block->counters.written_bytes, request->length,
			memory_order_relaxed);
	}
}

void block_submit(struct block *block, struct block_request *request)
{
	struct block_image *image = block->image;

	if (!request_valid(image, request)) {
		request->done(request, -EINVAL);
		return;
	}
	if (image->read_only && request->op != BLOCK_READ && request->op != BLOCK_FLUSH) {
		request->done(request, -EROFS);
		return;
	}
	count_request(block, request);
	if (request->op == BLOCK_READ && !request->background && request->length <= READ_NOW_MAX &&
		image->driver->read_now) {
		int r = image->driver->read_now(image, request);

		if (r != -EAGAIN) {
			request->done(request, r);
			return;
		}
	}
	pool_add(block->pool, request);
}

static struct block *block_make(const char *name)
{
	size_t length = strlen(name);
	struct block *block = calloc(1, sizeof(*block) + length + 1);

	if (block)
		memcpy(block->name, name, length + 1);
	return block;
}

static const struct block_driver *const drivers[DISK_FORMATS] = {
	[DISK_RAW] = &raw_driver,
};

static void close_files(const struct disk_spec *spec)
{
	for (unsigned i = 0; i < spec->files; i++)
		if (spec->file[i].fd >= 0)
			close(spec->file[i].fd);
}

int block_open(const struct disk_spec *spec, struct block **out, struct error *err)
{
	struct block *block = block_make(spec->file[0].name);
	int r;

	if (!block) {
		close_files(spec);
		return error_set(err, ENOMEM, "out of memory");
	}
	if (spec->files == 1) {
		r = drivers[spec->file[0].format]->open(&spec->file[0], spec->readonly,
			&block->image, err);
	} else {
		/* No format that is there has anything below it. */
		close_files(spec);
		r = error_set(err, EINVAL, "%s: a raw image has no other below it", block->name);
	}
	if (!r)
		r = pool_create(THREADS, block_work, block, &block->pool, err);
	if (r) {
		block_close(block);
		return r;
	}
	*out = block;
	return 0;
}

void block_close(struct block *block)
{
	if (!block)
		return;
	pool_destroy(block->pool);
	if (block->image)
		block->image->driver->close(block->image);
	free(block);
}

uint64_t block_size(const struct block *block)
{
	return block->image->size;
}

bool block_read_only(const struct block *block)
{
	return block->image->read_only;
}

bool block_can_discard(const struct block *block)
{
	return block->image->can_discard;
}

const char *block_name(const struct block *block)
{
	return block->name;
}

void block_counters(const struct block *block, struct block_counters *counters)
{
	*counters = (struct block_counters){
		.reads = block->counters.reads,
		.read_bytes = block->counters.read_bytes,
		.writes = block->counters.writes,
		.written_bytes = block->counters.written_bytes,
	};
}
