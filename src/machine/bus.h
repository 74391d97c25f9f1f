/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who answers at an address: one bus for ports, one for memory-mapped devices.
 * Each is a sorted table of ranges that do not overlap. Reads that nobody
 * claims give all ones, writes are dropped.
 *
 * Locking. The table has a lock of its own, held only while it is searched or
 * changed, never while a device runs; so a device may map and unmap ranges of
 * either bus in its callbacks. A range may name a mutex (the usual way: one a
 * device), held around its callbacks; NULL means that the device takes care
 * itself. A callback may come once more just after bus_unmap() returned on
 * another thread: devices live as long as the machine.
 */
#ifndef DACH_MACHINE_BUS_H
#define DACH_MACHINE_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/thread.h"
#include "base/error.h"

struct bus_ops {
	/* offset is relative to the range's start; size is one of the sizes below. */
	uint64_t (*read)(void *ctx, uint64_t offset, unsigned size);
	void (*write)(void *ctx, uint64_t offset, unsigned size, uint64_t value);
	/*
	 * The widths (1 | 2 | 4 | 8) that the callbacks take, 0 for all of them. A wider access is
	 * split, lowest address first; a narrower read takes its part of the whole; a narrower
	 * write is dropped. An access never reaches beyond the range: what sticks out reads as
	 * ones.
	 */
	unsigned sizes;
	/* Only naturally aligned accesses; others are split into bytes or read as ones. */
	bool aligned;
};

struct bus_range {
	uint64_t start, size;
	const struct bus_ops *ops;
	void *ctx;
	struct mutex *lock;
};

#define BUS_RANGES 256

struct bus {
	pthread_rwlock_t table_lock;
	unsigned count;
	struct bus_range range[BUS_RANGES]; /* by table_lock; sorted by start */
};

void bus_init(struct bus *bus);
void bus_destroy(struct bus *bus);

/*
 * -EEXIST if it overlaps a range already there, -ENOSPC if the table is full,
 * -EINVAL if empty or wrapping.
 */
int bus_map(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops, void *ctx,
	struct mutex *lock);
/* Removes the range that starts there and belongs to ctx; nothing happens if there is none. */
void bus_unmap(struct bus *bus, uint64_t start, void *ctx);

/* size is 1, 2, 4 or 8. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t value);

#endif
