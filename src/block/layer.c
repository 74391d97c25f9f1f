/* SPDX-License-Identifier: Apache-2.0 */
#include "block/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "block/device.h"
#include "protocol/limits.h"

struct block_layer {
	struct block_device *block;
	struct block_image *image; /* NULL: it is the disk's */
	struct block_label *label;
	uint64_t since; /* held, ns */
};

/* What a disk's thread is to do. */
struct layer_opening {
	struct disk_spec spec;
	struct block_layer *layer;
	struct error *err;
};

static int open_image(void *ctx)
{
	struct layer_opening *opening = ctx;
	struct block_layer *layer = opening->layer;
	const struct block_image *base = layer->block->image;
	int r = block_image_open(&opening->spec, 0, &layer->image, opening->err);

	if (r)
		return r;
	return layer->image->driver->check_base(layer->image, base->driver->format, base->size,
		opening->err);
}

static int close_image(void *ctx)
{
	struct block_image *image = ctx;

	image->driver->close(image);
	return 0;
}

void block_layer_close(struct block_layer *layer)
{
	if (!layer)
		return;
	if (layer->image)
		block_call(layer->block, close_image, layer->image);
	free(layer->label);
	free(layer);
}

static int may_have(const struct block_device *block, const struct disk_file *file,
	struct error *err)
{
	if (block->image->read_only)
		return error_set(err, EINVAL, "%s: is only read, so it needs no layer",
			block_name(block));
	if (block->files >= LIMIT_CHAIN)
		return error_set(err, EINVAL,
			"%s: stands on %d others, which are the most ('dach disk stream' makes a disk stand alone)",
			block_name(block), LIMIT_CHAIN - 1);
	if (file->format != DISK_QCOW2)
		return error_set(err, EINVAL, "%s: a layer is a qcow2 image", file->name);
	return 0;
}

int block_layer_open(struct block_device *block, const struct disk_file *file,
	struct block_layer **out, struct error *err)
{
	struct disk_file own = *file;
	struct block_layer *layer = calloc(1, sizeof *layer);
	struct layer_opening opening = {
		.spec = {.file = &own, .files = 1, .cache = block->cache, .bare = true},
		.layer = layer,
		.err = err,
	};
	int r = may_have(block, file, err);

	*out = NULL;
	if (!r && layer)
		layer->label = block_label_make(file->name);
	if (!r && (!layer || !layer->label))
		r = error_nomem(err);
	if (r) {
		free(layer);
		close(file->fd);
		return r;
	}
	layer->block = block;
	r = block_call(block, open_image, &opening);
	if (r) {
		block_layer_close(layer);
		return r;
	}
	*out = layer;
	return 0;
}

static void release(struct block_layer *const *layer, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		hold_end(layer[i]->block);
}

/* What the last of them wrote is stable, too. */
static int come_to_rest(struct block_device *block, uint64_t until, struct error *err)
{
	int r = hold_wait(block, until);

	if (!r)
		r = block_flush_held(block, until);
	/* It would go on with an image that is no longer the top. */
	if (!r && block->copy)
		return error_set(err, EBUSY, "%s: is being copied", block_name(block));
	if (r == -ETIMEDOUT)
		return error_set(err, ETIMEDOUT, "%s: its requests do not end in time",
			block_name(block));
	return r ? error_set(err, -r, "%s: cannot be made stable: %s", block_name(block),
			   strerror(-r))
		 : 0;
}

int block_layers_hold(struct block_layer *const *layer, unsigned count, uint64_t timeout,
	struct error *err)
{
	uint64_t until;
	int r = 0;

	/* Most of what is to be flushed is while the guest still goes on. */
	for (unsigned i = 0; !r && i < count; i++)
		r = block_flush_held(layer[i]->block, clock_now() + timeout);
	if (r)
		return error_set(err, -r, "the disks cannot be made stable: %s", strerror(-r));
	until = clock_now() + timeout;
	for (unsigned i = 0; i < count; i++) {
		layer[i]->since = until - timeout;
		r = hold_begin(layer[i]->block, until);
		if (!r)
			continue;
		release(layer, i);
		return error_set(err, -r, "%s: is being changed", block_name(layer[i]->block));
	}
	for (unsigned i = 0; !r && i < count; i++)
		r = come_to_rest(layer[i]->block, until, err);
	if (r)
		release(layer, count);
	return r;
}

uint64_t block_layer_since(const struct block_layer *layer)
{
	return layer->since;
}

static int put(void *ctx)
{
	struct block_layer *layer = ctx;
	struct block_device *block = layer->block;

	/* Checkpoints are the disk's: they go to the new top when that is closed, and no image below has them. */
	if (block->image->driver->store_dirty)
		block->image->driver->store_dirty(block->image, &(struct dirty_set){.count = 0});
	block->image->driver->freeze(block->image);
	layer->image->driver->set_base(layer->image, block->image);
	block->image = layer->image;
	block->files++;
	__atomic_store_n(&block->keeps_back, true, __ATOMIC_RELAXED);
	layer->label->former = block->label;
	__atomic_store_n(&block->label, layer->label, __ATOMIC_RELEASE);
	return 0;
}

void block_layers_put(struct block_layer *const *layer, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		block_call(layer[i]->block, put, layer[i]);
	release(layer, count);
	for (unsigned i = 0; i < count; i++)
		free(layer[i]);
}

struct growing {
	struct block_device *block;
	uint64_t size;
	struct error *err;
};

static int grow(void *ctx)
{
	struct growing *growing = ctx;
	struct block_device *block = growing->block;
	struct block_image *image = block->image;
	int r;

	if (block->copy)
		return error_set(growing->err, EBUSY, "%s: is being copied", block_name(block));
	if (image->read_only || growing->size < image->size || growing->size % BLOCK_SECTOR)
		return error_set(growing->err, EINVAL,
			"%s: can become larger, by whole sectors of %u bytes, if it is written to",
			block_name(block), BLOCK_SECTOR);
	r = image->driver->grow ? image->driver->grow(image, growing->size, growing->err)
				: image->driver->resize(image, growing->size, false, growing->err);
	if (!r) {
		__atomic_store_n(&block->size, growing->size, __ATOMIC_RELAXED);
		mutex_lock(&block->lock);
		dirty_resize(&block->dirty, growing->size);
		mutex_unlock(&block->lock);
	}
	return r;
}

int block_grow(struct block_device *block, uint64_t size, uint64_t timeout, struct error *err)
{
	struct growing growing = {block, size, err};
	const uint64_t until = clock_now() + timeout;
	int r;

	r = hold_begin(block, until);
	if (r)
		return error_set(err, -r, "%s: is being changed", block_name(block));
	r = hold_wait(block, until);
	if (r)
		error_set(err, -r, "%s: its requests do not end in time", block_name(block));
	else
		r = block_call(block, grow, &growing);
	hold_end(block);
	return r;
}

void block_layers_release(struct block_layer *const *layer, unsigned count)
{
	release(layer, count);
}
