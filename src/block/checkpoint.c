/* SPDX-License-Identifier: Apache-2.0 */
#include "block/checkpoint.h"

#include <errno.h>
#include <string.h>

#include "base/loop.h"
#include "block/device.h"
#include "protocol/disk.h"

/* What a disk's thread is to do, while the disk is held. */
struct checkpoint_call {
	struct block_device *block;
	const char *name;
	struct error *err;
	int (*visit)(void *ctx, const struct block_checkpoint_info *info);
	void *ctx;
};

/* The disk's lock is held: nobody changes them. */
static int visit(const struct checkpoint_call *call)
{
	const struct dirty_set *set = &call->block->dirty;
	int r = 0;

	for (unsigned i = 0; !r && i < set->count; i++) {
		const struct dirty_map *map = set->map[i];
		struct block_checkpoint_info info = {.name = map->name,
			.lost = map->lost,
			.granularity = 1ull << map->bits,
			.dirty = dirty_count(map) << map->bits};

		if (info.dirty > block_size(call->block))
			info.dirty = block_size(call->block);
		r = call->visit(call->ctx, &info);
	}
	return r;
}

static int held(struct checkpoint_call *call, int (*run)(void *ctx), uint64_t timeout)
{
	struct block_device *block = call->block;
	const uint64_t until = clock_now() + timeout;
	int r = hold_begin(block, until);

	if (r)
		return error_set(call->err, -r, "%s: is being changed", block_name(block));
	r = hold_wait(block, until);
	if (r)
		error_set(call->err, -r, "%s: its requests do not end in time", block_name(block));
	else
		r = block_call(block, run, call);
	hold_end(block);
	return r;
}

int block_checkpoints(struct block_device *block,
	int (*visitor)(void *ctx, const struct block_checkpoint_info *info), void *ctx)
{
	struct checkpoint_call call = {.block = block, .visit = visitor, .ctx = ctx};

	int r;

	mutex_lock(&block->lock);
	r = visit(&call);
	mutex_unlock(&block->lock);
	return r;
}

int checkpoint_may_come(const struct block_device *block, const char *name, struct error *err)
{
	if (!checkpoint_name_valid(name))
		return error_set(err, EINVAL,
			"a checkpoint's name has at most %u letters, digits and ._:-, the first of them a letter, digit or _",
			CHECKPOINT_NAME_MAX);
	if (block->image->read_only)
		return error_set(err, EINVAL, "%s: is only read, so nothing changes in it",
			block_name(block));
	if (dirty_find(&block->dirty, name))
		return error_set(err, EEXIST, "%s: has a checkpoint '%s' already",
			block_name(block), name);
	if (block->dirty.count == CHECKPOINTS_MAX)
		return error_set(err, ENOSPC,
			"%s: has %u checkpoints, which are the most: delete one of them",
			block_name(block), CHECKPOINTS_MAX);
	return 0;
}

static int create(void *ctx)
{
	const struct checkpoint_call *call = ctx;
	struct block_device *block = call->block;
	struct dirty_map *map;
	int r = checkpoint_may_come(block, call->name, call->err);

	if (r)
		return r;
	map = dirty_new(call->name, 0, block_size(block));
	if (!map)
		return error_nomem(call->err);
	checkpoint_put(block, map);
	return 0;
}

void checkpoint_put(struct block_device *block, struct dirty_map *map)
{
	mutex_lock(&block->lock);
	dirty_put(&block->dirty, map);
	mutex_unlock(&block->lock);
}

void checkpoint_drop(struct block_device *block, struct dirty_map *map)
{
	mutex_lock(&block->lock);
	dirty_drop(&block->dirty, map);
	mutex_unlock(&block->lock);
}

int checkpoint_find(const struct block_device *block, const char *name, struct dirty_map **map,
	struct error *err)
{
	*map = dirty_find(&block->dirty, name);
	return *map ? 0
		    : error_set(err, ENOENT, "%s: has no checkpoint '%.*s'", block_name(block),
			      (int)CHECKPOINT_NAME_MAX, name);
}

static int delete (void *ctx)
{
	const struct checkpoint_call *call = ctx;
	struct dirty_map *map;
	int r = checkpoint_find(call->block, call->name, &map, call->err);

	if (!r)
		checkpoint_drop(call->block, map);
	return r;
}

int block_checkpoint_create(struct block_device *block, const char *name, uint64_t timeout,
	struct error *err)
{
	struct checkpoint_call call = {.block = block, .name = name, .err = err};

	return held(&call, create, timeout);
}

int block_checkpoint_delete(struct block_device *block, const char *name, uint64_t timeout,
	struct error *err)
{
	struct checkpoint_call call = {.block = block, .name = name, .err = err};

	return held(&call, delete, timeout);
}
