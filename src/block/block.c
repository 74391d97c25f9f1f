/* SPDX-License-Identifier: Apache-2.0 */
#include "block/block.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/container.h"
#include "block/copying.h"
#include "block/device.h"

#define THREADS 4
/*
 * Up to this size a read that the page cache can answer is done on the caller's thread: copying
 * costs less than waking another one (13 to 130 us).
 */
#define READ_NOW_MAX (16u << 10)

static bool request_valid(const struct block_image *image, const struct block_request *request)
{
	uint64_t total = 0;

	if (request->op == BLOCK_FLUSH)
		return true;
	if (request->op == BLOCK_CALL)
		return false;
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

const char *block_op_name(enum block_op op)
{
	static const char *const names[] = {[BLOCK_READ] = "a read",
		[BLOCK_WRITE] = "a write",
		[BLOCK_FLUSH] = "a flush",
		[BLOCK_DISCARD] = "a discard",
		[BLOCK_WRITE_ZEROES] = "writing zeroes"};

	return names[op];
}

/* The host's user is told of the first failure; the guest of each. */
static void complain(struct block_device *block, enum block_op op, int r)
{
	if (!__atomic_exchange_n(&block->complained, true, __ATOMIC_RELAXED))
		fprintf(stderr,
			"dach: %s: %s failed: %s; its guest gets errors, of which no more is said here\n",
			block_name(block), block_op_name(op), strerror(-r));
}

/* The request ends, and then counts no more: until it is told, a guest's memory does not have all of it. */
static void end(struct block_device *block, struct block_request *request, int r)
{
	request->done(request, r);
	hold_leave(block);
}

/* What is not a guest's, or not any more: see block_call() and block_flush_held(). */
struct waited {
	struct block_request request;
	int (*run)(void *ctx);
	void *ctx;
	struct mutex lock;
	pthread_cond_t ended;
	bool is_ended, alone; /* alone: nobody waits for it any more */
	int result;
};

static void block_work(void *ctx, struct block_request *request)
{
	struct block_device *block = ctx;
	struct block_copy *copy;
	struct copy_range *range;
	int r;

	if (request->op == BLOCK_CALL) {
		struct waited *waited = container_of(request, struct waited, request);

		request->done(request, waited->run(waited->ctx));
		return;
	}
	copy = block->copy;
	range = copy ? copying_write(copy, request) : NULL;
	if (block->dirty.count && request_changes(request))
		dirty_mark_all(&block->dirty, request->offset, request->length);
	r = patience_perform(block, request);
	if (range)
		copying_written(copy, range);
	if (copy && copy->in_step)
		r = copying_performed(copy, request, r);
	if (r)
		complain(block, request->op, r);
	if (request->uncounted)
		request->done(request, r);
	else
		end(block, request, r);
}

static void count(uint64_t *counter, uint64_t value)
{
	__atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
}

static void count_request(struct block_device *block, const struct block_request *request)
{
	if (request->op == BLOCK_READ) {
		count(&block->counters.reads, 1);
		count(&block->counters.read_bytes, request->length);
	} else if (request->op == BLOCK_WRITE) {
		count(&block->counters.writes, 1);
		count(&block->counters.written_bytes, request->length);
	}
}

void block_submit(struct block_device *block, struct block_request *request)
{
	struct block_image *image;

	request->uncounted = false;
	if (!hold_enter(block, request))
		return;
	image = block->image;
	if (!request_valid(image, request)) {
		end(block, request, -EINVAL);
		return;
	}
	if (image->read_only && request->op != BLOCK_READ && request->op != BLOCK_FLUSH) {
		end(block, request, -EROFS);
		return;
	}
	count_request(block, request);
	if (request->op == BLOCK_READ && !request->background && request->length <= READ_NOW_MAX &&
		image->driver->read_now) {
		int r = image->driver->read_now(image, request);

		if (r != -EAGAIN) {
			end(block, request, r);
			return;
		}
	}
	pool_add(block->pool, request);
}

struct block_label *block_label_make(const char *name)
{
	size_t size = strlen(name) + 1;
	struct block_label *label = malloc(sizeof *label + size);

	if (label) {
		label->former = NULL;
		memcpy(label->text, name, size);
	}
	return label;
}

static struct block_device *block_make(const struct disk_spec *spec)
{
	struct block_device *block = calloc(1, sizeof *block);

	if (!block)
		return NULL;
	block->label = block_label_make(spec->file[0].name);
	if (!block->label) {
		free(block);
		return NULL;
	}
	block->cache = spec->cache;
	block->waits = spec->errors == DISK_ERRORS_WAIT;
	block->files = spec->files;
	hold_init(block);
	return block;
}

/* The formats. */
static const struct block_driver *const drivers[DISK_FORMATS] = {
	[DISK_RAW] = &raw_driver,
	[DISK_QCOW2] = &qcow2_driver,
};

void block_files_close(const struct disk_spec *spec, unsigned n)
{
	for (; n < spec->files; n++)
		if (spec->file[n].fd >= 0)
			close(spec->file[n].fd);
}

int block_image_open(const struct disk_spec *spec, unsigned n, struct block_image **image,
	struct error *err)
{
	return drivers[spec->file[n].format]->open(spec, n, image, err);
}

int block_open(const struct disk_spec *spec, struct block_device **out, struct error *err)
{
	struct block_device *block = block_make(spec);
	int r;

	if (!block) {
		block_files_close(spec, 0);
		return error_nomem(err);
	}
	r = spec->later ? handover_open(block, spec, err)
			: block_image_open(spec, 0, &block->image, err);
	if (!r)
		r = pool_create(THREADS, block_work, block, &block->pool, err);
	if (r) {
		block_close(block);
		return r;
	}
	block->size = block->image->size;
	block->read_only = spec->readonly;
	block->can_discard = !spec->readonly;
	block->keeps_back = block->image->driver->keeps_back;
	if (block->image->driver->load_dirty && !spec->later)
		r = block->image->driver->load_dirty(block->image, &block->dirty);
	if (r) {
		block_close(block);
		return error_nomem(err);
	}
	*out = block;
	return 0;
}

/* Nothing is written any more but what was asked for before. */
static int keep_checkpoints(void *ctx)
{
	struct block_device *block = ctx;
	struct block_image *image = block->image;
	int r = 0;

	if (image->driver->store_dirty)
		r = image->driver->store_dirty(image, &block->dirty);
	if (r)
		fprintf(stderr,
			"dach: %s: its checkpoints could not be kept: %s; the next backup has to be a full one\n",
			block_name(block), strerror(-r));
	return r;
}

static void nobody_waits(struct block_request *request, int result)
{
}

void block_close(struct block_device *block)
{
	struct block_request last = {.op = BLOCK_FLUSH,
		.uncounted = true,
		.internal = true,
		.done = nobody_waits};
	struct block_label *label;

	if (!block)
		return;
	block_give_up_begin(block);
	/* On a thread of the disk's, which may write: who closes it may not. */
	if (block->pool && !block->image->read_only && !block->given) {
		pool_add(block->pool, &last);
		block_call(block, keep_checkpoints, block);
	}
	dirty_clear(&block->dirty);
	pool_destroy(block->pool);
	if (block->image)
		block->image->driver->close(block->image);
	handover_close(block);
	while ((label = block->label)) {
		block->label = label->former;
		free(label);
	}
	hold_destroy(block);
	free(block);
}

static void waited_end(struct waited *waited)
{
	pthread_cond_destroy(&waited->ended);
	mutex_destroy(&waited->lock);
}

static void waited_done(struct block_request *request, int result)
{
	struct waited *waited = container_of(request, struct waited, request);
	bool alone;

	mutex_lock(&waited->lock);
	waited->is_ended = true;
	waited->result = result;
	alone = waited->alone;
	pthread_cond_signal(&waited->ended);
	mutex_unlock(&waited->lock);
	if (alone) {
		waited_end(waited);
		free(waited);
	}
}

static void waited_init(struct waited *waited, enum block_op op)
{
	*waited = (struct waited){
		.request = {.op = op, .uncounted = true, .internal = true, .done = waited_done}};
	mutex_init(&waited->lock);
	pthread_cond_init(&waited->ended, NULL);
}

/*
 * *ended false, and -ETIMEDOUT: it has been left alone, and is gone when it has ended; so it has to be malloc'd. Its own
 * result may be that, too.
 */
static int waited_for(struct waited *waited, uint64_t until, bool *ended)
{
	int r = 0;

	mutex_lock(&waited->lock);
	while (!waited->is_ended && !r)
		r = mutex_wait_until(&waited->lock, &waited->ended, until);
	*ended = waited->is_ended;
	waited->alone = !*ended;
	r = *ended ? waited->result : -ETIMEDOUT;
	mutex_unlock(&waited->lock);
	if (*ended)
		waited_end(waited);
	return r;
}

int block_call(struct block_device *block, int (*run)(void *ctx), void *ctx)
{
	struct waited waited;
	bool ended;

	waited_init(&waited, BLOCK_CALL);
	waited.run = run;
	waited.ctx = ctx;
	pool_add(block->pool, &waited.request);
	return waited_for(&waited, UINT64_MAX, &ended);
}

int block_flush_held(struct block_device *block, uint64_t until)
{
	struct waited *waited = malloc(sizeof *waited);
	bool ended;
	int r;

	if (!waited)
		return -ENOMEM;
	waited_init(waited, BLOCK_FLUSH);
	pool_add(block->pool, &waited->request);
	r = waited_for(waited, until, &ended);
	if (ended)
		free(waited);
	return r;
}

int block_settle(struct block_device *block)
{
	return __atomic_load_n(&block->keeps_back, __ATOMIC_RELAXED) ? block_flush(block) : 0;
}

int block_flush(struct block_device *block)
{
	struct waited waited;
	bool ended;

	waited_init(&waited, BLOCK_FLUSH);
	block_submit(block, &waited.request);
	return waited_for(&waited, UINT64_MAX, &ended);
}

int block_write(struct block_device *block, uint64_t offset, uint64_t length, void *bytes)
{
	struct iovec iov = {bytes, length};
	struct waited waited;
	bool ended;

	waited_init(&waited, bytes ? BLOCK_WRITE : BLOCK_WRITE_ZEROES);
	waited.request.offset = offset;
	waited.request.length = length;
	waited.request.unmap = !bytes;
	waited.request.iov = &iov;
	waited.request.iov_count = bytes ? 1 : 0;
	block_submit(block, &waited.request);
	return waited_for(&waited, UINT64_MAX, &ended);
}

uint64_t block_size(const struct block_device *block)
{
	return __atomic_load_n(&block->size, __ATOMIC_RELAXED);
}

bool block_read_only(const struct block_device *block)
{
	return block->read_only;
}

bool block_can_discard(const struct block_device *block)
{
	return block->can_discard;
}

const char *block_name(const struct block_device *block)
{
	return __atomic_load_n(&block->label, __ATOMIC_ACQUIRE)->text;
}

static uint64_t counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void block_counters(const struct block_device *block, struct block_counters *counters)
{
	*counters = (struct block_counters){
		.reads = counted(&block->counters.reads),
		.read_bytes = counted(&block->counters.read_bytes),
		.writes = counted(&block->counters.writes),
		.written_bytes = counted(&block->counters.written_bytes),
	};
}

static int cannot(const struct block_device *block, struct error *err)
{
	return error_set(err, ENOTSUP, "%s: its format cannot do that; qcow2 can",
		block_name(block));
}

int block_resize(struct block_device *block, uint64_t size, bool shrink, struct error *err)
{
	const struct block_driver *driver = block->image->driver;

	int r = driver->resize ? driver->resize(block->image, size, shrink, err)
			       : cannot(block, err);

	block->size = block->image->size;
	dirty_resize(&block->dirty, block->size);
	return r;
}

int block_snapshot(struct block_device *block, enum block_snapshot what, const char *name,
	struct error *err)
{
	const struct block_driver *driver = block->image->driver;

	int r = driver->snapshot ? driver->snapshot(block->image, what, name, err)
				 : cannot(block, err);

	block->size = block->image->size;
	if (what == BLOCK_SNAPSHOT_APPLY) {
		dirty_resize(&block->dirty, block->size);
		dirty_mark_all(&block->dirty, 0, block->size);
	}
	return r;
}

int block_snapshots(struct block_device *block,
	int (*visit)(void *ctx, const struct block_snapshot_info *info), void *ctx,
	struct error *err)
{
	const struct block_driver *driver = block->image->driver;

	return driver->snapshots ? driver->snapshots(block->image, visit, ctx, err) : 0;
}

int block_check(struct block_device *block, struct block_faults *faults, struct error *err)
{
	const struct block_driver *driver = block->image->driver;

	return driver->check ? driver->check(block->image, faults, err) : cannot(block, err);
}
