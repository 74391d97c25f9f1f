/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that stands on frozen memory. Freezing takes no longer than forgetting addresses, whatever the
 * size of RAM: the file that RAM was is sealed, never to change again, and RAM goes on as a new, empty file,
 * into which a page comes from the sealed one when it is first touched. Another guest's RAM may stand on the
 * same files: a copy of the guest that costs the pages which it touches.
 *
 * A frozen file, a layer, is RAM as the memfd has it; behind that a bit for each page that is in it; and at
 * the end a struct memory_layer. What is in no layer is zeros. The last layer that has a page counts.
 */
#ifndef DACH_MACHINE_MEMORY_BASE_H
#define DACH_MACHINE_MEMORY_BASE_H

#include "machine/memory.h"

/* More are made one, all but the first, which costs what the guest has touched since that. */
#define MEMORY_LAYERS 3u

#define MEMORY_LAYER_MAGIC "dachram1"

struct memory_layer {
	char magic[8];
	uint64_t pages;
};

/*
 * RAM as it is now becomes a layer, and goes on from there. -ENOTSUP where it is private or the engine cannot have
 * it so; -EAGAIN while it still comes from a saved guest's file; -EBUSY while mem->readers are there, which who
 * calls this counts. After a failure it is as it was. No vCPU runs,
 * no device touches guest memory. whole: nobody else is to stand on it, and all of it is about to be brought.
 */
int memory_freeze(struct memory *mem, bool whole, struct error *err);
/* Whether it could be: 0, or its value. */
int memory_freeze_check(const struct memory *mem, struct error *err);
/*
 * Seals what was frozen, which may take a while and can be done while the guest runs, and says what RAM stands
 * on: descriptors that stay the memory's, open until the next memory_freeze(). On the thread that freezes.
 */
int memory_layers(struct memory *mem, int fd[MEMORY_LAYERS], unsigned *count, struct error *err);
/*
 * RAM, of which nothing has been touched yet, becomes what these layers hold. They may come from anywhere: what is not
 * sealed, or not of this form, is refused (-EINVAL). Copies of the descriptors are kept. No vCPU runs.
 */
int memory_stand_on(struct memory *mem, const int *fd, unsigned count, struct error *err);
/*
 * Pages of RAM that are as they would be brought again go: only read since, or what they were once more. So many of those that
 * are here are looked at, from where the last call has ended. No vCPU runs, no device touches guest memory, on the thread
 * that freezes. Nothing happens where RAM stands on nothing, all of it is about to be brought, or somebody reads it all.
 */
void memory_base_trim(struct memory *mem, uint64_t pages);
/* How many layers RAM stands on. On the thread that freezes. */
unsigned memory_base_layers(const struct memory *mem);
/* What is not here is lost. Nobody touches memory meanwhile. Nothing happens where it stands on nothing. */
void memory_base_end(struct memory *mem);

#endif
