/* SPDX-License-Identifier: Apache-2.0 */
/* The disk as it was when an export of it began: what has been written over since is in the copy's file. */
#include <errno.h>
#include <string.h>

#include "block/copying.h"

struct moment {
	struct block_copy *copy;
	uint64_t offset, length;
	char *to;
	bool zero;
};

/* The units from offset on that are, all of them, still the disk's own or all in the file; at most up to end. */
static struct copy_range *enter(struct block_copy *copy, uint64_t offset, uint64_t end, bool *own,
	uint64_t *until) REQUIRES(copy->lock)
{
	const uint64_t first = offset >> COPY_UNIT_BITS;
	uint64_t last = first;

	*own = copying_is_todo(copy, first);
	while (last + 1 <= (end - 1) >> COPY_UNIT_BITS && copying_is_todo(copy, last + 1) == *own)
		last++;
	*until = (last + 1) << COPY_UNIT_BITS;
	if (*until > end)
		*until = end;
	/* While this is there nobody copies any of them, nor writes to what was not copied. */
	return copying_enter(copy, first, last, true);
}

static bool is_still(const struct block_copy *copy, const struct copy_range *range, bool own)
	REQUIRES(copy->lock)
{
	for (uint64_t unit = range->first; unit <= range->last; unit++)
		if (copying_is_todo(copy, unit) != own)
			return false;
	return true;
}

static int read_image(struct block_image *image, uint64_t offset, uint64_t length, char *to)
{
	struct iovec iov = {to, length};
	struct block_request request = {.op = BLOCK_READ,
		.offset = offset,
		.length = length,
		.iov = &iov,
		.iov_count = 1};

	return image->driver->perform(image, &request);
}

static int look(struct block_copy *copy, bool own, uint64_t offset, uint64_t *length, bool *zero)
{
	struct block_image *image = own ? copy->block->image : copy->target;

	return image->driver->find_zero(image, offset, length, zero);
}

/* A piece at the moment's offset, on a disk's thread; the offset is behind it then. */
static int piece(struct moment *moment, uint64_t end, bool reads)
{
	struct block_copy *copy = moment->copy;
	const uint64_t offset = moment->offset;
	struct copy_range *range;
	uint64_t until, length;
	bool own;
	int r;

	mutex_lock(&copy->lock);
	for (;;) {
		range = enter(copy, offset, end, &own, &until);
		/* Others may have copied some of them meanwhile. */
		if (is_still(copy, range, own))
			break;
		copying_leave(copy, range);
	}
	r = copy->failed;
	mutex_unlock(&copy->lock);
	length = until - offset;
	if (!r && reads)
		r = read_image(own ? copy->block->image : copy->target, offset, length, moment->to);
	else if (!r)
		r = look(copy, own, offset, &length, &moment->zero);
	mutex_lock(&copy->lock);
	copying_leave(copy, range);
	mutex_unlock(&copy->lock);
	moment->offset += length;
	moment->to += reads ? length : 0;
	return r;
}

static int read_moment(void *ctx)
{
	struct moment *moment = ctx;
	const uint64_t end = moment->offset + moment->length;
	int r = 0;

	while (!r && moment->offset < end)
		r = piece(moment, end, true);
	return r;
}

static int look_at_moment(void *ctx)
{
	struct moment *moment = ctx;
	const uint64_t begin = moment->offset;
	int r = piece(moment, begin + moment->length, false);

	moment->length = moment->offset - begin;
	return r;
}

int block_copy_read(struct block_copy *copy, uint64_t offset, uint64_t length, void *to)
{
	struct moment moment = {copy, offset, length, to, false};

	return block_call(copy->block, read_moment, &moment);
}

int block_copy_find_zero(struct block_copy *copy, uint64_t offset, uint64_t *length, bool *zero)
{
	struct moment moment = {copy, offset, *length, NULL, false};
	int r = block_call(copy->block, look_at_moment, &moment);

	*length = moment.length;
	*zero = moment.zero;
	return r;
}
