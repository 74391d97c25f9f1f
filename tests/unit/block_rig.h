/* SPDX-License-Identifier: Apache-2.0 */
/* Disk images in tests. */
#ifndef DACH_TESTS_BLOCK_RIG_H
#define DACH_TESTS_BLOCK_RIG_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/block.h"
#include "chain/chain.h"

/* FILE[,ro]..., as behind --disk. */
static inline int rig_block_open(const char *words, struct block_device **block, struct error *err)
{
	struct disk_spec spec;
	int r = disk_spec_parse(words, &spec, err);

	if (r)
		return r;
	if (spec.file[0].format == DISK_QCOW2)
		r = chain_resolve(&spec, &chain_own_rights, false, err);
	if (!r)
		r = block_open(&spec, block, err);
	disk_spec_free(&spec);
	return r;
}

/* The same, where nothing speaks against it. */
static inline struct block_device *rig_disk(const char *words)
{
	struct block_device *block = NULL;
	struct error err = {""};

	if (rig_block_open(words, &block, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return block;
}

struct rig_waiting {
	struct block_request request;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool finished;
	int result;
};

static inline void rig_done(struct block_request *request, int result)
{
	struct rig_waiting *w = (struct rig_waiting *)request;

	pthread_mutex_lock(&w->lock);
	w->result = result;
	w->finished = true;
	pthread_cond_signal(&w->done);
	pthread_mutex_unlock(&w->lock);
}

static inline int rig_waited(struct rig_waiting *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->finished)
		pthread_cond_wait(&w->done, &w->lock);
	pthread_mutex_unlock(&w->lock);
	return w->result;
}

/* One request, waited for. */
static inline int rig_block_run(struct block_device *block, enum block_op op, uint64_t offset,
	void *bytes, uint64_t length)
{
	struct iovec iov = {bytes, length};
	struct rig_waiting w = {
		.request = {.op = op,
			.offset = offset,
			.length = length,
			.iov = &iov,
			.iov_count = 1,
			.unmap = true,
			.done = rig_done},
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER,
	};

	block_submit(block, &w.request);
	return rig_waited(&w);
}

#endif
