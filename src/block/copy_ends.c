/* SPDX-License-Identifier: Apache-2.0 */
/* How copies of a disk in use begin and end: requests are held meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "block/copying.h"
#include "block/file.h"

static int begin_commit(struct block_copy *copy, const struct disk_file *file)
{
	struct block_image *top = copy->block->image;
	struct block_image *base = top->driver->base ? top->driver->base(top) : NULL;
	int r = 0;

	if (!base || !top->driver->may_empty(top))
		r = error_set(copy->err, EINVAL, "%s: %s", block_name(copy->block),
			base ? "has snapshots inside, which would be lost"
			     : "stands on nothing that it could come into");
	else if (base->size != top->size)
		r = error_set(copy->err, EINVAL, "%s: is not as large as the disk", file->name);
	if (r) {
		close(file->fd);
		return r;
	}
	r = base->driver->thaw(base, file->fd, file->name, copy->err);
	copy->target = r ? NULL : base;
	return r;
}

static struct block_image *base_of(const struct block_image *image)
{
	return image->driver->base ? image->driver->base(image) : NULL;
}

static int begin_merge(struct block_copy *copy, const struct disk_file *file)
{
	struct block_image *image = base_of(copy->block->image), *lower;
	int r = 0;

	while (image && !file_is(image->driver->file(image), file->fd))
		image = base_of(image);
	lower = image ? base_of(image) : NULL;
	if (!lower || !image->driver->skip_base || !base_of(lower))
		r = error_set(copy->err, EINVAL,
			"%s: is no image of the disk %s that stands on two others", file->name,
			block_name(copy->block));
	else if (lower->size != image->size || image->size != block_size(copy->block))
		r = error_set(copy->err, EINVAL, "%s: is not as large as what it stands on",
			file->name);
	if (r) {
		close(file->fd);
		return r;
	}
	r = image->driver->thaw(image, file->fd, file->name, copy->err);
	copy->target = r ? NULL : image;
	return r;
}

struct beginning {
	struct block_copy *copy;
	const struct disk_file *file;
	struct disk_spec spec;
};

static int open_target(void *ctx)
{
	struct beginning *beginning = ctx;
	struct block_copy *copy = beginning->copy;

	return block_image_open(&beginning->spec, 0, &copy->target, copy->err);
}

static int may_begin(const struct block_device *block, enum block_copy_kind kind, struct error *err)
{
	const struct block_image *image = block->image;

	if (block->copy)
		return error_set(err, EBUSY, "%s: is being copied already", block_name(block));
	if (!copying_keeps(kind) && image->read_only)
		return error_set(err, EINVAL, "%s: is only read", block_name(block));
	if ((kind == BLOCK_STREAM || copying_thaws(kind)) && block->files < 2)
		return error_set(err, EINVAL, "%s: stands on no other image", block_name(block));
	return 0;
}

/* The disk is held: what was written since, and from now on. */
static int take_points(struct block_copy *copy)
{
	const struct block_copy_points *points = copy->points;
	struct block_device *block = copy->block;
	struct dirty_map *since = NULL, *made = NULL;
	int r = 0;

	if (points->since)
		r = checkpoint_find(block, points->since, &since, copy->err);
	if (!r && since && since->lost)
		return error_set(copy->err, EINVAL,
			"%s: what was written since the checkpoint '%s' is not known, as its guest was killed: make a "
			"full backup with a new checkpoint, and delete this one",
			block_name(block), since->name);
	if (!r && points->checkpoint)
		r = checkpoint_may_come(block, points->checkpoint, copy->err);
	if (r)
		return r;
	if (since && !(copy->since = dirty_copy(since)))
		return error_nomem(copy->err);
	if (points->checkpoint && !(made = dirty_new(points->checkpoint, 0, block_size(block))))
		return error_nomem(copy->err);
	if (made)
		checkpoint_put(block, made);
	copy->made = made;
	if (since && copy->kind == BLOCK_BACKUP) {
		mutex_lock(&copy->lock);
		copying_todo_since(copy);
		mutex_unlock(&copy->lock);
	}
	return 0;
}

static int attach(void *ctx)
{
	struct beginning *beginning = ctx;
	struct block_copy *copy = beginning->copy;
	/* Another may have begun since it was asked. */
	int r = may_begin(copy->block, copy->kind, copy->err);

	if (r && beginning->file->fd >= 0 && copying_thaws(copy->kind))
		close(beginning->file->fd);
	if (!r && copy->kind == BLOCK_COMMIT)
		r = begin_commit(copy, beginning->file);
	if (!r && copy->kind == BLOCK_MERGE)
		r = begin_merge(copy, beginning->file);
	if (!r && copy->points)
		r = take_points(copy);
	if (!r) {
		copy->attached = true;
		copy->block->copy = copy;
	}
	return r;
}

static int hold(struct block_copy *copy, uint64_t until, struct error *err)
{
	int r = hold_begin(copy->block, until);

	if (r)
		return error_set(err, -r, "%s: is being changed", block_name(copy->block));
	r = hold_wait(copy->block, until);
	if (!r)
		return 0;
	hold_end(copy->block);
	return error_set(err, -r, "%s: its requests do not end in time", block_name(copy->block));
}

static struct block_copy *copy_make(struct block_device *block, enum block_copy_kind kind,
	const struct disk_file *file)
{
	struct block_copy *copy = calloc(1, sizeof *copy);

	if (!copy)
		return NULL;
	copy->block = block;
	copy->kind = kind;
	copy->units = (block_size(block) + COPY_UNIT - 1) >> COPY_UNIT_BITS;
	mutex_init(&copy->lock);
	pthread_cond_init(&copy->left, NULL);
	copy->todo = malloc((copy->units + 63) / 64 * 8);
	copy->label = file ? block_label_make(file->name) : NULL;
	if (!copy->todo || (file && !copy->label)) {
		block_copy_close(copy);
		return NULL;
	}
	memset(copy->todo, 0xff, (copy->units + 63) / 64 * 8);
	if (copy->units % 64)
		copy->todo[copy->units / 64] = (1ull << copy->units % 64) - 1;
	copy->count = copy->units;
	return copy;
}

int block_copy_begin(struct block_device *block, enum block_copy_kind kind,
	const struct disk_file *file, const struct block_copy_points *points, uint64_t timeout,
	struct block_copy **out, struct error *err)
{
	struct disk_file own = file ? *file : (struct disk_file){.fd = -1};
	struct beginning beginning = {.file = &own,
		.spec = {.file = &own,
			.files = 1,
			.cache = kind == BLOCK_EXPORT ? DISK_WRITEBACK : block->cache,
			.bare = points && points->since}};
	struct block_copy *copy = NULL;
	int r = may_begin(block, kind, err);

	*out = NULL;
	if (!r && !(copy = copy_make(block, kind, file)))
		r = error_nomem(err);
	if (r) {
		if (own.fd >= 0)
			close(own.fd);
		return r;
	}
	copy->timeout = timeout;
	copy->err = err;
	copy->points = points;
	beginning.copy = copy;
	if (copying_opens(kind))
		r = block_call(block, open_target, &beginning);
	if (!r && copying_opens(kind) && copy->target->size != block_size(block))
		r = error_set(err, EINVAL, "%s: is not as large as the disk", own.name);
	if (!r) {
		r = hold(copy, clock_now() + timeout, err);
		if (r && copying_thaws(kind))
			close(own.fd);
	}
	if (!r) {
		r = block_call(block, attach, &beginning);
		hold_end(block);
	}
	copy->err = NULL;
	copy->points = NULL;
	if (r) {
		block_copy_close(copy);
		return r;
	}
	*out = copy;
	return 0;
}

static int flush(void *ctx)
{
	struct block_request request = {.op = BLOCK_FLUSH, .internal = true};
	struct block_image *image = ctx;

	return image->driver->perform(image, &request);
}

static void take_label(struct block_copy *copy)
{
	struct block_device *block = copy->block;

	copy->label->former = block->label;
	__atomic_store_n(&block->label, copy->label, __ATOMIC_RELEASE);
	copy->label = NULL;
}

/* The base is the disk; nothing is in the top any more, so that it is the same disk still. */
static int drop_top(struct block_copy *copy)
{
	struct block_device *block = copy->block;
	struct block_image *top = block->image;
	int r = top->driver->empty(top);

	if (r)
		return r;
	top->driver->set_base(top, NULL);
	block->image = copy->target;
	block->files--;
	take_label(copy);
	top->driver->close(top);
	copy->target = NULL;
	return 0;
}

/* What is below the target has come into it, and is the disk's no more. */
static int drop_lower(struct block_copy *copy)
{
	struct block_image *image = copy->target, *lower = base_of(image);
	int r = image->driver->skip_base(image);

	if (r)
		return r;
	image->driver->set_base(image, base_of(lower));
	image->driver->freeze(image);
	copy->block->files--;
	lower->driver->set_base(lower, NULL);
	lower->driver->close(lower);
	copy->target = NULL;
	return 0;
}

static int stand_alone(struct block_copy *copy)
{
	struct block_device *block = copy->block;
	struct block_image *top = block->image, *base = top->driver->base(top);
	int r = top->driver->leave_base(top);

	if (r)
		return r;
	top->driver->set_base(top, NULL);
	base->driver->close(base);
	block->files = 1;
	return 0;
}

/* What the disk was is left as it is now. */
static int go_on_there(struct block_copy *copy)
{
	struct block_device *block = copy->block;
	struct block_image *was = block->image;
	int r = flush(was);

	if (r)
		return r;
	/* Its checkpoints are the disk's. */
	if (was->driver->store_dirty)
		was->driver->store_dirty(was, &(struct dirty_set){.count = 0});
	block->image = copy->target;
	block->files = 1;
	if (copy->target->driver->keeps_back)
		__atomic_store_n(&block->keeps_back, true, __ATOMIC_RELAXED);
	copy->target = NULL;
	take_label(copy);
	was->driver->close(was);
	return 0;
}

static int pledge(void *ctx)
{
	struct block_copy *copy = ctx;
	int r;

	mutex_lock(&copy->lock);
	copying_todo(copy, 0, copy->units - 1);
	r = copy->failed;
	mutex_unlock(&copy->lock);
	if (!r)
		r = flush(copy->target);
	copy->in_step = !r;
	return r;
}

int block_copy_pledge(struct block_copy *copy, struct error *err)
{
	int r = hold(copy, clock_now() + copy->timeout, err);

	if (r)
		return r;
	r = block_call(copy->block, pledge, copy);
	hold_end(copy->block);
	return r ? error_set(err, -r, "%s: cannot be kept in step: %s", copy->label->text,
			   strerror(-r))
		 : 0;
}

static int finish(void *ctx)
{
	struct block_copy *copy = ctx;
	struct block_image *image = copy->kind == BLOCK_STREAM ? copy->block->image : copy->target;
	int r;

	mutex_lock(&copy->lock);
	copying_todo(copy, 0, copy->units - 1);
	r = copy->failed;
	mutex_unlock(&copy->lock);
	if (!r)
		r = flush(image);
	if (!r && copy->kind == BLOCK_COMMIT)
		r = drop_top(copy);
	else if (!r && copy->kind == BLOCK_MERGE)
		r = drop_lower(copy);
	else if (!r && copy->kind == BLOCK_STREAM)
		r = stand_alone(copy);
	else if (!r && copy->kind == BLOCK_MIRROR)
		r = go_on_there(copy);
	if (!r) {
		copy->block->copy = NULL;
		copy->attached = false;
	}
	return r;
}

int block_copy_finish(struct block_copy *copy, struct error *err)
{
	struct block_device *block = copy->block;
	int r = 0;

	/* Most of what is to be flushed is while the guest goes on. */
	if (copy->kind == BLOCK_STREAM)
		r = block_flush_held(block, clock_now() + copy->timeout);
	else
		r = block_call(block, flush, copy->target);
	if (r)
		return error_set(err, -r, "%s: cannot be made stable: %s", block_name(block),
			strerror(-r));
	r = hold(copy, clock_now() + copy->timeout, err);
	if (r)
		return r;
	r = block_call(block, finish, copy);
	hold_end(block);
	return r ? error_set(err, -r, "%s: cannot be finished: %s", block_name(block), strerror(-r))
		 : 0;
}

static int detach(void *ctx)
{
	struct block_copy *copy = ctx;

	if (copy->target && (copying_follows(copy->kind) || copying_thaws(copy->kind)) &&
		!flush(copy->target) && copying_thaws(copy->kind))
		copy->target->driver->freeze(copy->target);
	copy->block->copy = NULL;
	if (copy->kind == BLOCK_BACKUP && copy->made)
		checkpoint_drop(copy->block, copy->made);
	return 0;
}

static int close_target(void *ctx)
{
	struct block_image *target = ctx;

	target->driver->close(target);
	return 0;
}

void block_copy_close(struct block_copy *copy)
{
	if (!copy)
		return;
	if (copy->attached) {
		hold_begin(copy->block, UINT64_MAX);
		hold_wait(copy->block, UINT64_MAX);
		block_call(copy->block, detach, copy);
		hold_end(copy->block);
	}
	if (copying_opens(copy->kind) && copy->target)
		block_call(copy->block, close_target, copy->target);
	pthread_cond_destroy(&copy->left);
	mutex_destroy(&copy->lock);
	dirty_free(copy->since);
	free(copy->label);
	free(copy->todo);
	free(copy);
}
