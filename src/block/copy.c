/* SPDX-License-Identifier: Apache-2.0 */
#include "block/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/copying.h"

#define AT_ONCE 16u  /* units */
#define LEFT_MAX 64u /* units that are copied while requests are held */
#define SKIP_MAX (64u << 20)

/* The bitmap */

bool copying_is_todo(const struct block_copy *copy, uint64_t unit) REQUIRES(copy->lock)
{
	return copy->todo[unit / 64] >> unit % 64 & 1;
}

static void set_todo(struct block_copy *copy, uint64_t unit, bool on) REQUIRES(copy->lock)
{
	if (copying_is_todo(copy, unit) == on)
		return;
	copy->todo[unit / 64] ^= 1ull << unit % 64;
	copy->count += on ? 1 : -1ull;
}

static void set_range(struct block_copy *copy, uint64_t first, uint64_t last, bool on)
	REQUIRES(copy->lock)
{
	for (uint64_t unit = first; unit <= last; unit++)
		set_todo(copy, unit, on);
}

void copying_todo_since(struct block_copy *copy)
{
	const uint64_t size = block_size(copy->block);
	uint64_t length;

	memset(copy->todo, 0, (copy->units + 63) / 64 * 8);
	copy->count = 0;
	for (uint64_t at = 0; at < size; at += length) {
		length = size - at;
		if (dirty_at(copy->since, at, &length))
			set_range(copy, at >> COPY_UNIT_BITS, (at + length - 1) >> COPY_UNIT_BITS,
				true);
	}
}

/* The next run from *first on, up to last and as many units as are copied at once. */
static bool find_todo(const struct block_copy *copy, uint64_t *first, uint64_t last, uint64_t *end)
	REQUIRES(copy->lock)
{
	while (*first <= last && !copying_is_todo(copy, *first)) {
		if (*first % 64 == 0 && !copy->todo[*first / 64])
			*first += 64;
		else
			++*first;
	}
	if (*first > last)
		return false;
	for (*end = *first; *end < last && *end - *first + 1 < AT_ONCE; ++*end)
		if (!copying_is_todo(copy, *end + 1))
			break;
	return true;
}

/* Who is at which units */

static bool in_the_way(const struct block_copy *copy, const struct copy_range *own)
	REQUIRES(copy->lock)
{
	for (unsigned i = 0; i < COPY_RANGES; i++) {
		const struct copy_range *range = &copy->range[i];

		if (range != own && range->taken && range->first <= own->last &&
			own->first <= range->last &&
			(range->copies || (own->copies && copy->kind == BLOCK_STREAM)))
			return true;
	}
	return false;
}

struct copy_range *copying_enter(struct block_copy *copy, uint64_t first, uint64_t last,
	bool copies) REQUIRES(copy->lock)
{
	struct copy_range own = {first, last, true, copies}, *range = copy->range;

	while (in_the_way(copy, &own))
		mutex_wait(&copy->lock, &copy->left);
	while (range->taken)
		range++;
	*range = own;
	return range;
}

void copying_leave(struct block_copy *copy, struct copy_range *range) REQUIRES(copy->lock)
{
	range->taken = false;
	pthread_cond_broadcast(&copy->left);
}

/* Copying, on a disk's thread */

static bool is_zero(const void *bytes, size_t size)
{
	const uint64_t *word = bytes;

	for (size_t i = 0; i < size / sizeof *word; i++)
		if (word[i])
			return false;
	return true;
}

static int move_bytes(struct block_image *from, struct block_image *to, uint64_t offset,
	uint64_t length, void *bytes, bool new)
{
	struct iovec iov = {bytes, length};
	struct block_request request = {.op = BLOCK_READ,
		.offset = offset,
		.length = length,
		.iov = &iov,
		.iov_count = 1};
	int r = from->driver->perform(from, &request);

	if (r)
		return r;
	iov = (struct iovec){bytes, length};
	request.iov_count = 1;
	request.op = BLOCK_WRITE;
	if (is_zero(bytes, length)) {
		if (new)
			return 0;
		request.op = BLOCK_WRITE_ZEROES;
		request.unmap = true;
	}
	return to->driver->perform(to, &request);
}

/* What the top leaves out of the range comes into it. */
static int pull(struct block_copy *copy, uint64_t offset, uint64_t end, char *bytes)
{
	struct block_image *top = copy->block->image;
	int r = 0;

	while (!r && offset < end) {
		uint64_t length = end - offset;
		bool own;

		r = top->driver->find_own(top, offset, &length, &own);
		if (!r && !own)
			r = move_bytes(top, top, offset, length, bytes, false);
		offset += length;
	}
	return r;
}

/* What the image below the target has there, and the target has not, comes into that. */
static int pull_lower(struct block_copy *copy, uint64_t offset, uint64_t end, char *bytes)
{
	struct block_image *to = copy->target, *lower = to->driver->base(to);
	int r = 0;

	while (!r && offset < end) {
		uint64_t length = end - offset;
		bool wanted, own = true;

		r = lower->driver->find_own(lower, offset, &length, &wanted);
		if (!r && wanted)
			r = to->driver->find_own(to, offset, &length, &own);
		if (!r && !own)
			r = move_bytes(to, to, offset, length, bytes, false);
		offset += length;
	}
	return r;
}

/* Units first to last, a few of them. */
static int copy_units(struct block_copy *copy, uint64_t first, uint64_t last)
{
	struct block_image *from = copy->block->image;
	uint64_t offset = first << COPY_UNIT_BITS, end = (last + 1) << COPY_UNIT_BITS;
	char *bytes;
	int r;

	if (end > from->size)
		end = from->size;
	bytes = aligned_alloc(4096, AT_ONCE << COPY_UNIT_BITS);
	if (!bytes)
		return -ENOMEM;
	if (copy->kind == BLOCK_STREAM)
		r = pull(copy, offset, end, bytes);
	else if (copy->kind == BLOCK_MERGE)
		r = pull_lower(copy, offset, end, bytes);
	else
		r = move_bytes(from, copy->target, offset, end - offset, bytes,
			copying_keeps(copy->kind) && !(copy->kind == BLOCK_BACKUP && copy->since));
	__atomic_add_fetch(&copy->moved, end - offset, __ATOMIC_RELAXED);
	free(bytes);
	return r;
}

void copying_todo(struct block_copy *copy, uint64_t first, uint64_t last) REQUIRES(copy->lock)
{
	uint64_t end;

	while (!copy->failed && find_todo(copy, &first, last, &end)) {
		struct copy_range *range = copying_enter(copy, first, end, true);
		int r = 0;

		/* Others may have been faster. */
		if (find_todo(copy, &first, end, &end)) {
			set_range(copy, first, end, false);
			mutex_unlock(&copy->lock);
			r = copy_units(copy, first, end);
			mutex_lock(&copy->lock);
		}
		if (r) {
			set_range(copy, first, end, true);
			copy->failed = r;
		}
		copying_leave(copy, range);
	}
}

/* The guest's writes (block.c), on a disk's thread */

static uint64_t last_unit(const struct block_request *request)
{
	return (request->offset + request->length - 1) >> COPY_UNIT_BITS;
}

struct copy_range *copying_write(struct block_copy *copy, const struct block_request *request)
{
	const uint64_t first = request->offset >> COPY_UNIT_BITS;
	struct copy_range *range;

	if (!request_changes(request))
		return NULL;
	mutex_lock(&copy->lock);
	if (copying_keeps(copy->kind))
		copying_todo(copy, first, last_unit(request));
	range = copying_enter(copy, first, last_unit(request), false);
	mutex_unlock(&copy->lock);
	return range;
}

void copying_written(struct block_copy *copy, struct copy_range *range)
{
	if (!range)
		return;
	mutex_lock(&copy->lock);
	copying_leave(copy, range);
	if (copying_follows(copy->kind)) {
		const uint64_t first = range->first, last = range->last;

		set_range(copy, first, last, true);
		if (copy->in_step || (copy->follows && last - first < AT_ONCE))
			copying_todo(copy, first, last);
		/* Another thread may be about to have copied it. */
		if (copy->in_step)
			copying_leave(copy, copying_enter(copy, first, last, true));
	}
	mutex_unlock(&copy->lock);
}

int copying_performed(struct block_copy *copy, const struct block_request *request, int r)
{
	struct block_request flush = {.op = BLOCK_FLUSH, .internal = true};
	int other = 0;

	if (request->op == BLOCK_READ)
		return r;
	if (request->op == BLOCK_FLUSH)
		other = copy->target->driver->perform(copy->target, &flush);
	mutex_lock(&copy->lock);
	if (!copy->failed)
		copy->failed = other;
	other = copy->failed;
	mutex_unlock(&copy->lock);
	return r ? r : other;
}

/* The worker */

/* What the image has not that is left out in the end needs no copy: a way that is far where all of a table is empty. */
static int skip_empty(struct block_copy *copy)
{
	struct block_image *top = copy->kind == BLOCK_MERGE
		? copy->target->driver->base(copy->target)
		: copy->block->image;
	bool own = false;
	int r = 0;

	while (!r && !own && copy->next < copy->units) {
		const uint64_t first = copy->next, offset = first << COPY_UNIT_BITS;
		uint64_t length = top->size - offset < SKIP_MAX ? top->size - offset : SKIP_MAX;
		const uint64_t last = (offset + length - 1) >> COPY_UNIT_BITS;
		uint64_t skipped = 0;

		/* Before the look: a write that is under way marks it again when it has ended. */
		mutex_lock(&copy->lock);
		set_range(copy, first, last, false);
		mutex_unlock(&copy->lock);
		r = top->driver->find_own(top, offset, &length, &own);
		if (!r && !own)
			skipped = offset + length == top->size ? last + 1 - first
							       : length >> COPY_UNIT_BITS;
		mutex_lock(&copy->lock);
		if (first + skipped <= last)
			set_range(copy, first + skipped, last, true);
		mutex_unlock(&copy->lock);
		copy->next = first + skipped;
		own |= !skipped;
	}
	return r;
}

/* A follow's next piece */

struct copy_piece {
	struct block_copy *copy;
	uint64_t *offset, *length;
	struct iovec to;
	bool *zero;
};

/* Nobody writes to it meanwhile that is not noted afterwards. */
static int read_piece(const struct copy_piece *piece)
{
	struct block_image *from = piece->copy->block->image;
	struct iovec iov = {piece->to.iov_base, *piece->length};
	struct block_request request = {.op = BLOCK_READ,
		.offset = *piece->offset,
		.length = *piece->length,
		.iov = &iov,
		.iov_count = 1};
	uint64_t length = *piece->length;
	int r = from->driver->find_zero(from, *piece->offset, &length, piece->zero);

	if (r || (*piece->zero && length == *piece->length))
		return r;
	r = from->driver->perform(from, &request);
	*piece->zero = !r && is_zero(piece->to.iov_base, *piece->length);
	return r;
}

static int next(void *ctx)
{
	const struct copy_piece *piece = ctx;
	struct block_copy *copy = piece->copy;
	struct copy_range *range;
	uint64_t first, end;
	int r;

	mutex_lock(&copy->lock);
	if (!find_todo(copy, &copy->next, copy->units - 1, &end)) {
		copy->next = 0;
		mutex_unlock(&copy->lock);
		return 0;
	}
	first = copy->next;
	if (end - first >= BLOCK_COPY_PIECE / COPY_UNIT)
		end = first + BLOCK_COPY_PIECE / COPY_UNIT - 1;
	range = copying_enter(copy, first, end, true);
	set_range(copy, first, end, false);
	mutex_unlock(&copy->lock);
	*piece->offset = first << COPY_UNIT_BITS;
	*piece->length = (end - first + 1) << COPY_UNIT_BITS;
	if (*piece->length > copy->block->image->size - *piece->offset)
		*piece->length = copy->block->image->size - *piece->offset;
	r = read_piece(piece);
	mutex_lock(&copy->lock);
	if (r)
		set_range(copy, first, end, true);
	copying_leave(copy, range);
	copy->next = end + 1;
	mutex_unlock(&copy->lock);
	__atomic_add_fetch(&copy->moved, *piece->length, __ATOMIC_RELAXED);
	return r ? r : 1;
}

int block_copy_next(struct block_copy *copy, uint64_t *offset, uint64_t *length, void *to,
	bool *zero, struct error *err)
{
	struct copy_piece piece = {copy, offset, length, {to, BLOCK_COPY_PIECE}, zero};
	int r = block_call(copy->block, next, &piece);

	return r < 0 ? error_set(err, -r, "%s: cannot be read: %s", block_name(copy->block),
			       strerror(-r))
		     : r;
}

static int step(void *ctx)
{
	struct block_copy *copy = ctx;
	uint64_t end;
	int r = 0;

	if (copying_thaws(copy->kind) && !copy->follows)
		r = skip_empty(copy);
	if (r)
		return r;
	mutex_lock(&copy->lock);
	if (find_todo(copy, &copy->next, copy->units - 1, &end)) {
		copying_todo(copy, copy->next, end);
		copy->next = end + 1;
	} else {
		copy->next = 0;
		copy->follows = true;
	}
	r = copy->failed ? copy->failed : copy->count > LEFT_MAX || !copy->follows;
	mutex_unlock(&copy->lock);
	return r;
}

int block_copy_step(struct block_copy *copy, struct error *err)
{
	int r = block_call(copy->block, step, copy);

	return r < 0
		? error_set(err, -r, "%s: copying failed: %s",
			  copy->label ? copy->label->text : block_name(copy->block), strerror(-r))
		: r;
}

void block_copy_progress(const struct block_copy *copy, uint64_t *done, uint64_t *total)
{
	struct block_copy *own = (struct block_copy *)(uintptr_t)copy;
	uint64_t left;

	mutex_lock(&own->lock);
	left = own->count << COPY_UNIT_BITS;
	mutex_unlock(&own->lock);
	*total = copy->units << COPY_UNIT_BITS;
	*done = *total - left;
}

bool block_copy_changed(const struct block_copy *copy, uint64_t offset, uint64_t *length)
{
	return !copy->since || dirty_at(copy->since, offset, length);
}

uint64_t block_copy_moved(const struct block_copy *copy)
{
	return __atomic_load_n(&copy->moved, __ATOMIC_RELAXED);
}
