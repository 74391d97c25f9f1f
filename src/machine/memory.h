/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: one memfd, mapped shared (or private memory, where shared memory gets no
 * huge pages), seen by the guest at 0..3 GiB and, what
 * does not fit there, from 4 GiB up. Nobody touches guest memory but through
 * memory_ptr() and what is built on it: a guest physical address comes from the
 * guest and is not to be trusted.
 *
 * Addresses and sizes are in bytes. All functions may be called by any thread
 * once memory_create() has returned.
 */
#ifndef DACH_MACHINE_MEMORY_H
#define DACH_MACHINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define MEMORY_LOW_END 0xc0000000ull /* below it RAM, from it to 4 GiB devices */
#define MEMORY_HIGH_START 0x100000000ull

struct memory_region {
	uint64_t gpa, size;
	uint8_t *host;   /* where gpa is mapped in this process */
	uint64_t offset; /* where gpa is in the memfd */
};

struct memory {
	int fd; /* the memfd; -1 for private memory */
	uint64_t size, room;
	bool collapses; /* somebody makes huge pages of it, see memory_create() */
	uint8_t *host;  /* all of it, in memfd order */
	struct memory_region region[2];
	unsigned regions;
	/* Told of each write that is not a vCPU's; set once before the guest runs. */
	void (*written)(void *ctx, uint64_t gpa, uint64_t size);
	void *written_ctx;
};

/*
 * size is what the guest has, a multiple of 1 MiB. room is RAM behind it that the guest
 * is told to leave alone: what its kernel needs to unpack itself (a multiple of 1 MiB; none is made
 * where devices would be in its way). collapses: somebody makes huge pages of it where it
 * is used (engine.h). -ENOMEM with a sentence when it is more than the host's memory.
 */
int memory_create(struct memory *mem, uint64_t size, uint64_t room, bool collapses,
	struct error *err);
void memory_destroy(struct memory *mem);

/*
 * The host address of len bytes at gpa, or NULL unless all of them are RAM (of
 * one region; the two never touch). len 0 gives NULL. Valid until
 * memory_destroy(). Whoever writes through it calls memory_written() after.
 * The guest may change the bytes at any time: read each value once.
 */
void *memory_ptr(const struct memory *mem, uint64_t gpa, uint64_t len);

/*
 * Much is about to be written there: huge pages at once, where they would be made of it later and
 * the bytes copied once more.
 */
void memory_prepare(struct memory *mem, uint64_t gpa, uint64_t len);

/* Copies; -EFAULT and nothing copied when the range is not all RAM. len 0 succeeds. */
int memory_read(const struct memory *mem, uint64_t gpa, void *buf, uint64_t len);
int memory_write(struct memory *mem, uint64_t gpa, const void *buf, uint64_t len);
int memory_zero(struct memory *mem, uint64_t gpa, uint64_t len);

/* len bytes at gpa were written through memory_ptr() by somebody other than a vCPU. */
void memory_written(struct memory *mem, uint64_t gpa, uint64_t len);

/*
 * Gives whole pages back to the host: they read as zeros from then on. Nothing happens to what is
 * not RAM. The guest does not use them, or it is its own fault.
 */
void memory_discard(struct memory *mem, uint64_t gpa, uint64_t len);

/* Where the guest's own memory below 4 GiB ends: the room begins there. */
uint64_t memory_low_end(const struct memory *mem);

/* Empties all RAM (a reset): reads as zeros, host memory is given back. No vCPU runs. */
void memory_clear(struct memory *mem);

#endif
