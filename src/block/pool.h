/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that do an image's blocking work. Private to block/. They block every
 * signal, so that RLIMIT_FSIZE ends in EFBIG and not in SIGXFSZ.
 */
#ifndef DACH_BLOCK_POOL_H
#define DACH_BLOCK_POOL_H

#include "block/block.h"

struct block_pool;

int pool_create(unsigned threads, void (*work)(void *ctx, struct block_request *request), void *ctx,
	struct block_pool **pool, struct error *err);
/* Finishes everything that was added, then ends the threads. */
void pool_destroy(struct block_pool *pool);
void pool_add(struct block_pool *pool, struct block_request *request);

#endif
