/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: the guest's RAM, one memfd mapped shared (or private memory, where
 * shared memory gets no huge pages), seen by the guest at 0..3 GiB and, what does not
 * fit there, from 4 GiB up; and whatever else is added: ROM, video memory, flash,
 * memory plugged in later. Nobody touches it but through memory_ptr() and what is
 * built on that: a guest physical address comes from the guest and is not to be trusted.
 *
 * Addresses and sizes are in bytes. All functions may be called by any thread
 * once memory_create() has returned, but for those that change what is where.
 */
#ifndef DACH_MACHINE_MEMORY_H
#define DACH_MACHINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cpu/engine.h"
#include "cpu/region.h"

#define MEMORY_LOW_END 0xc0000000ull /* below it RAM, from it to 4 GiB devices */
#define MEMORY_HIGH_START 0x100000000ull

struct memory {
	int fd;                   /* RAM's memfd; -1 for private memory */
	uint64_t size, room, low; /* low: bytes of it below MEMORY_LOW_END */
	bool makes_huge_pages;    /* somebody does, see memory_create() */
	uint8_t *host;            /* all of RAM, in memfd order */
	struct page_door door;    /* of RAM's pages, in memfd order */
	bool asked;               /* some region's door asks for something */
	struct memory_lazy *lazy; /* RAM comes from a saved guest's file; or NULL */
	struct memory_base *base; /* RAM stands on frozen memory (memory_base.h); or NULL */
	uint64_t base_number;     /* one more with each of them */
	struct mutex
		base_lock; /* who ends it, and who brings pages of it for another reason than touching them */
	unsigned readers; /* who reads it all while the guest may run: it is not frozen meanwhile */
	unsigned changes; /* of the following two; odd while they change */
	unsigned regions;
	struct memory_region region[REGIONS_MAX]; /* by address */
	/* Told of each write that is not a vCPU's, and of changes; NULL: nobody yet. */
	const struct engine *engine;
	struct engine_vm *vm;
};

/*
 * size is what the guest has, a multiple of 1 MiB. room is RAM behind it that the guest
 * is told to leave alone: what its kernel may need to unpack itself (a multiple of 1 MiB; none is made
 * where devices would be in its way; see memory_keep_room()). makes_huge_pages: somebody makes them of it where it
 * is used (engine.h). -ENOMEM with a sentence when it is more than the host's memory.
 */
int memory_create(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages,
	struct error *err);
/*
 * The same in a file, though it may get no huge pages there, which are not tried: RAM that is to stand on another's,
 * and whose pages come one by one (memory_base.h).
 */
int memory_create_file(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages,
	struct error *err);
/*
 * The same of RAM that another process has: fd is a copy of its memory.fd, and taken, also on failure. room is what
 * there may be; how much there is tells the file (-EINVAL: its size cannot be). Nothing is read or written.
 */
int memory_adopt(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages, int fd,
	struct error *err);
/* Before memory_attach(): only this much of the room stays (a multiple of 1 MiB; more than there is: all). */
void memory_keep_room(struct memory *mem, uint64_t room);
/* The engine has been destroyed. */
void memory_destroy(struct memory *mem);
/* From now on this engine's guest sees it. Once, before the first run. */
int memory_attach(struct memory *mem, const struct engine *engine, struct engine_vm *vm,
	struct error *err);

/*
 * Changes of what is where, at any time while no vCPU runs; one thread at a time. Addresses and
 * sizes are whole pages. The caller has seen to it that no device holds a pointer into what is
 * taken away or protected.
 *
 * Another region, of memory that stays the caller's: where nothing is (-EEXIST), that
 * region_conflict() lets be beside all others (-EINVAL), REGIONS_MAX at most (-ENOSPC).
 */
int memory_add(struct memory *mem, const struct memory_region *region, struct error *err);
/*
 * All that is in the range goes; what is there only in part is split. The bytes stay what they are and
 * can be added again.
 */
int memory_remove(struct memory *mem, uint64_t gpa, uint64_t size, struct error *err);
/* The same for read-only or not: writes of vCPUs are then writes to a device (bus.h), devices' are refused. */
int memory_protect(struct memory *mem, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err);
/* The guest's own RAM as it was there at first, to be added again; false unless all of the range is. */
bool memory_ram(struct memory *mem, uint64_t gpa, uint64_t size, struct memory_region *region);

/* A region's bytes: zeros, in a file of their own, with a door, and nothing right before and behind them. */
int memory_region_create(struct memory_region *region, uint64_t gpa, uint64_t size,
	struct error *err);
/* It is not in use any more. Nothing happens to one of {0}. */
void memory_region_destroy(struct memory_region *region);

/*
 * Who follows writes (page_door.h): `door` is a region's, &mem->door for RAM, or NULL for all that there
 * are now. While no vCPU runs.
 */
int memory_log(struct memory *mem, struct page_door *door, enum page_log who, bool on,
	struct error *err);
/*
 * What vCPUs and devices have written in the range since `who` began or last read it: bit 0 of bitmap is
 * the page at gpa; pages that are not there, or whose door `who` does not ask, are 0. Read, then copy the pages. Any thread,
 * also while the guest runs; not while what is where changes.
 */
void memory_log_read(struct memory *mem, uint64_t gpa, uint64_t size, enum page_log who,
	uint64_t *bitmap);
/*
 * page_door_begin_lazy() and _end_lazy() of a door, told to the engine; -ENOTSUP where that cannot have pages
 * that are absent. No vCPU runs, no device touches guest memory.
 */
int memory_begin_lazy(struct memory *mem, struct page_door *door, const uint64_t *here,
	unsigned cluster, page_bring *bring, void *ctx, struct error *err);
void memory_end_lazy(struct memory *mem, struct page_door *door);
/*
 * Makes sure that what there is in a range is here, for those who read it otherwise than by memory_ptr(),
 * which does it itself. 0, or what the bringer has said. Any thread.
 */
int memory_bring(struct memory *mem, uint64_t gpa, uint64_t size);

/*
 * The host address of len bytes at gpa, or NULL unless all of them are memory that may be written
 * and lie side by side here (those of one region do). len 0 gives NULL. Valid while that is there: for RAM, mostly until
 * memory_destroy(). Whoever writes through it calls memory_written() after.
 * The guest may change the bytes at any time: read each value once.
 */
void *memory_ptr(const struct memory *mem, uint64_t gpa, uint64_t len);
/* Likewise to read only, also of what is read-only. */
const void *memory_ptr_read(const struct memory *mem, uint64_t gpa, uint64_t len);

/*
 * Much is about to be written there: huge pages at once, where they would be made of it later and
 * the bytes copied once more.
 */
void memory_prepare(struct memory *mem, uint64_t gpa, uint64_t len);

/* Copies; -EFAULT and nothing copied when memory_ptr() would give NULL. len 0 succeeds. */
int memory_read(const struct memory *mem, uint64_t gpa, void *buf, uint64_t len);
int memory_write(struct memory *mem, uint64_t gpa, const void *buf, uint64_t len);
int memory_zero(struct memory *mem, uint64_t gpa, uint64_t len);

/* len bytes at gpa were written through memory_ptr() by somebody other than a vCPU. */
void memory_written(struct memory *mem, uint64_t gpa, uint64_t len);

/*
 * Gives whole pages back to the host: they read as zeros from then on. Nothing happens to what is
 * not memory. The guest does not use them, or it is its own fault.
 */
void memory_discard(struct memory *mem, uint64_t gpa, uint64_t len);

/*
 * All of memory is in RAM's file, as it is now: another process that has the file needs no more. Until what is where
 * changes, or memory is frozen (mem->readers). The loop's thread.
 */
bool memory_is_one_file(struct memory *mem);

/* Where the guest's own memory below 4 GiB ends: the room begins there. */
uint64_t memory_low_end(const struct memory *mem);

/* Empties all RAM (a reset): reads as zeros, host memory is given back. No vCPU runs. */
void memory_clear(struct memory *mem);

#endif
