/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that the host failed and that wait, on their threads, until it does better: a disk's errors=wait. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/loop.h"
#include "block/device.h"

#define AGAIN_NS 1000000000ull
#define PATIENT_IOV 256u /* what is in more buffers fails at once */

/* What no host will ever do. */
static bool is_final(int r)
{
	return r == -EINVAL || r == -EROFS || r == -EOPNOTSUPP;
}

/* For a while; false: somebody wants its end. */
static bool wait_again(struct block_device *block, enum block_op op, int r)
{
	bool goes_on;

	mutex_lock(&block->lock);
	if (!block->stuck)
		fprintf(stderr,
			"dach: %s: %s failed: %s; its guest's requests wait until that is mended\n",
			block_name(block), block_op_name(op), strerror(-r));
	block->stuck = true;
	if (!block->giving_up)
		mutex_wait_until(&block->lock, &block->given_up, clock_now() + AGAIN_NS);
	goes_on = !block->giving_up;
	mutex_unlock(&block->lock);
	return goes_on;
}

static void tell_end(struct block_device *block, int r)
{
	mutex_lock(&block->lock);
	if (block->stuck && !r)
		fprintf(stderr, "dach: %s: goes on\n", block_name(block));
	block->stuck = false;
	mutex_unlock(&block->lock);
}

/*
 * A flush is none: what it could not write the kernel does not write again (fsync(2)), so that a second one, which succeeds, would
 * say of lost bytes that they are on the disk.
 */
static bool can_wait(const struct block_device *block, const struct block_request *request)
{
	return block->waits && request->patient && request->op != BLOCK_FLUSH &&
		request->iov_count <= PATIENT_IOV;
}

int patience_perform(struct block_device *block, struct block_request *request)
{
	const struct block_driver *driver = block->image->driver;
	struct iovec iov[PATIENT_IOV]; /* which the image changes */
	bool waited = false;
	int r;

	if (!can_wait(block, request))
		return driver->perform(block->image, request);
	for (unsigned i = 0; i < request->iov_count; i++)
		iov[i] = request->iov[i];
	while ((r = driver->perform(block->image, request)) && !is_final(r) &&
		wait_again(block, request->op, r)) {
		for (unsigned i = 0; i < request->iov_count; i++)
			request->iov[i] = iov[i];
		waited = true;
	}
	if (waited)
		tell_end(block, r);
	return r;
}

void block_give_up_begin(struct block_device *block)
{
	mutex_lock(&block->lock);
	block->giving_up++;
	pthread_cond_broadcast(&block->given_up);
	mutex_unlock(&block->lock);
}

void block_give_up_end(struct block_device *block)
{
	mutex_lock(&block->lock);
	block->giving_up--;
	mutex_unlock(&block->lock);
}
