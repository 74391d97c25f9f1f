/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that comes from a saved guest's file when it is first touched, and that a thread reads ahead
 * meanwhile. Each chunk is read whole and checked before any of it is seen. For memory_pages.c and the machine.
 */
#ifndef DACH_MACHINE_MEMORY_LAZY_H
#define DACH_MACHINE_MEMORY_LAZY_H

#include "machine/memory.h"
#include "state/state.h"

#define CHUNK_PAGES 16u
#define CHUNK (CHUNK_PAGES * REGION_PAGE)

/* As a state's "memory-map" has it: by address, and no page twice. */
struct chunk_entry {
	uint32_t chunk; /* guest address / CHUNK */
	uint16_t pages; /* a bit each */
	uint16_t
		size; /* they are packed (memory_pack.h): bytes, at the first one's place; 0: each at its own */
	uint32_t crc; /* CRC-32C of the bytes of these pages, unpacked */
};

/* Where the first of them is: what is packed is there. */
static inline uint64_t chunk_entry_gpa(const struct chunk_entry *entry)
{
	return (uint64_t)entry->chunk * CHUNK + (unsigned)__builtin_ctz(entry->pages) * REGION_PAGE;
}

/*
 * Its pages, read, unpacked and checked, to their places in a chunk. 0; -EBADMSG: they are damaged; or what
 * pages->read() has returned. On any thread.
 */
int chunk_entry_read(const struct chunk_entry *entry, const struct state_pages *pages,
	uint8_t *chunk);

/* From now on these pages of RAM, of which nothing is there yet, come so. The list is taken. No vCPU runs. */
int memory_lazy_begin(struct memory *mem, const struct state_pages *pages,
	struct chunk_entry *entry, size_t count, struct error *err);
/* Reads ahead; over(ctx) on that thread, once: all is there, or some of it cannot be had. */
int memory_lazy_start(struct memory *mem, void (*over)(void *ctx), void *ctx, struct error *err);
/* Since over(). 0, or a negative errno and what was wrong. */
int memory_lazy_result(struct memory *mem, struct error *err);
bool memory_lazy_is_over(const struct memory *mem);
/*
 * What is not here is lost. Nobody touches memory meanwhile, and the engine is there. Nothing happens where
 * nothing was begun.
 */
void memory_lazy_end(struct memory *mem);

#endif
