/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of a disk that stands still. Who comes counts himself before he looks whether it is held, and who
 * holds it says so before he looks whether anybody is counted: one of the two sees the other.
 */
#include "block/device.h"

void hold_init(struct block_device *block)
{
	mutex_init(&block->lock);
	pthread_cond_init(&block->idle, NULL);
	pthread_cond_init(&block->given_up, NULL);
	block->waiting_last = &block->waiting;
}

void hold_destroy(struct block_device *block)
{
	pthread_cond_destroy(&block->idle);
	pthread_cond_destroy(&block->given_up);
	mutex_destroy(&block->lock);
}

void hold_leave(struct block_device *block)
{
	if (__atomic_sub_fetch(&block->active, 1, __ATOMIC_SEQ_CST) ||
		!__atomic_load_n(&block->held, __ATOMIC_SEQ_CST))
		return;
	mutex_lock(&block->lock);
	pthread_cond_broadcast(&block->idle);
	mutex_unlock(&block->lock);
}

bool hold_enter(struct block_device *block, struct block_request *request)
{
	for (;;) {
		bool held;

		__atomic_add_fetch(&block->active, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&block->held, __ATOMIC_SEQ_CST))
			return true;
		hold_leave(block);
		mutex_lock(&block->lock);
		held = block->held;
		if (held) {
			request->next = NULL;
			*block->waiting_last = request;
			block->waiting_last = &request->next;
		}
		mutex_unlock(&block->lock);
		if (held)
			return false;
	}
}

int hold_begin(struct block_device *block, uint64_t until)
{
	int r = 0;

	mutex_lock(&block->lock);
	while (block->held && !r)
		r = mutex_wait_until(&block->lock, &block->idle, until);
	if (!r)
		__atomic_store_n(&block->held, true, __ATOMIC_SEQ_CST);
	mutex_unlock(&block->lock);
	return r;
}

int hold_wait(struct block_device *block, uint64_t until)
{
	int r = 0;

	mutex_lock(&block->lock);
	while (__atomic_load_n(&block->active, __ATOMIC_SEQ_CST) && !r)
		r = mutex_wait_until(&block->lock, &block->idle, until);
	mutex_unlock(&block->lock);
	return r;
}

void hold_end(struct block_device *block)
{
	struct block_request *request, *next;

	mutex_lock(&block->lock);
	__atomic_store_n(&block->held, false, __ATOMIC_SEQ_CST);
	next = block->waiting;
	block->waiting = NULL;
	block->waiting_last = &block->waiting;
	pthread_cond_broadcast(&block->idle); /* others may want to hold it */
	mutex_unlock(&block->lock);
	while ((request = next)) {
		next = request->next;
		/* Who ends the hold has other things to do than to read. */
		request->background = true;
		block_submit(block, request);
	}
}
