/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/bus.h"

#include <errno.h>
#include <string.h>

static uint64_t all_ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

void bus_init(struct bus *bus)
{
	bus->count = 0;
	pthread_rwlock_init(&bus->table_lock, NULL);
}

void bus_destroy(struct bus *bus)
{
	pthread_rwlock_destroy(&bus->table_lock);
}

/* The first range that ends after addr; count if there is none. By the table's lock. */
static unsigned find_range(const struct bus *bus, uint64_t addr)
{
	unsigned low = 0, high = bus->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (bus->range[mid].start + (bus->range[mid].size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int bus_map(struct bus *bus, uint64_t start, uint64_t size, const struct bus_ops *ops, void *ctx,
	struct mutex *lock)
{
	unsigned at;
	int r = 0;

	if (!size || start + (size - 1) < start)
		return -EINVAL;
	pthread_rwlock_wrlock(&bus->table_lock);
	at = find_range(bus, start);
	if (at < bus->count && bus->range[at].start <= start + (size - 1)) {
		r = -EEXIST;
	} else if (bus->count == BUS_RANGES) {
		r = -ENOSPC;
	} else {
		memmove(&bus->range[at + 1], &bus->range[at],
			(bus->count - at) * sizeof bus->range[0]);
		bus->range[at] = (struct bus_range){start, size, ops, ctx, lock};
		bus->count++;
	}
	pthread_rwlock_unlock(&bus->table_lock);
	return r;
}

void bus_unmap(struct bus *bus, uint64_t start, void *ctx)
{
	unsigned at;

	pthread_rwlock_wrlock(&bus->table_lock);
	at = find_range(bus, start);
	if (at < bus->count && bus->range[at].start == start && bus->range[at].ctx == ctx) {
		bus->count--;
		memmove(&bus->range[at], &bus->range[at + 1],
			(bus->count - at) * sizeof bus->range[0]);
	}
	pthread_rwlock_unlock(&bus->table_lock);
}

/* A copy, since the table may change as soon as its lock is let go. */
static bool lookup_range(struct bus *bus, uint64_t addr, struct bus_range *range)
{
	unsigned at;
	bool found;

	pthread_rwlock_rdlock(&bus->table_lock);
	at = find_range(bus, addr);
	found = at < bus->count && bus->range[at].start <= addr;
	if (found)
		*range = bus->range[at];
	pthread_rwlock_unlock(&bus->table_lock);
	return found;
}

static bool device_takes(const struct bus_ops *ops, uint64_t offset, unsigned size)
{
	if (ops->aligned && offset % size)
		return false;
	return !ops->sizes || (ops->sizes & size);
}

/* The widest access of at most size bytes that the device takes at offset; 0 if none. */
static unsigned widest_piece(const struct bus_ops *ops, uint64_t offset, unsigned size)
{
	unsigned width = 8;

	while (width && (width > size || !device_takes(ops, offset, width)))
		width /= 2;
	return width;
}

static uint64_t read_range(const struct bus_range *range, uint64_t offset, unsigned size)
{
	const struct bus_ops *ops = range->ops;
	uint64_t value = 0;

	for (unsigned done = 0; done < size;) {
		uint64_t at = offset + done, got;
		unsigned part = widest_piece(ops, at, size - done), wide;

		if (part) {
			got = ops->read(range->ctx, at, part) & all_ones(part);
		} else {
			/* Narrower than the device knows: its part of the aligned whole. */
			part = 1;
			for (wide = 2;
				wide <= 8 && !device_takes(ops, at & ~(uint64_t)(wide - 1), wide);)
				wide *= 2;
			got = all_ones(1);
			if (wide <= 8 && (at | (wide - 1)) < range->size)
				got = ops->read(range->ctx, at & ~(uint64_t)(wide - 1), wide) >>
						(8 * (at & (wide - 1))) &
					0xff;
		}
		value |= got << (8 * done);
		done += part;
	}
	return value;
}

static void write_range(const struct bus_range *range, uint64_t offset, unsigned size,
	uint64_t value)
{
	for (unsigned done = 0; done < size;) {
		unsigned part = widest_piece(range->ops, offset + done, size - done);

		if (part)
			range->ops->write(range->ctx, offset + done, part,
				value >> (8 * done) & all_ones(part));
		done += part ? part : 1;
	}
}

/* How much of an access at offset lies in the range: its size, or the largest power of two. */
static unsigned clip_size(const struct bus_range *range, uint64_t offset, unsigned size)
{
	while (size > 1 && range->size - offset < size)
		size /= 2;
	return size;
}

/* A range has a lock or none: clang cannot follow that, here and below. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size) UNCHECKED_LOCKS
{
	struct bus_range range;
	uint64_t value, offset;
	unsigned part;

	if (!lookup_range(bus, addr, &range))
		return all_ones(size);
	offset = addr - range.start;
	part = clip_size(&range, offset, size);
	if (range.lock)
		mutex_lock(range.lock);
	value = read_range(&range, offset, part);
	if (range.lock)
		mutex_unlock(range.lock);
	return value | (all_ones(size) & ~all_ones(part));
}

void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t value) UNCHECKED_LOCKS
{
	struct bus_range range;
	uint64_t offset;

	if (!lookup_range(bus, addr, &range))
		return;
	offset = addr - range.start;
	if (range.lock)
		mutex_lock(range.lock);
	write_range(&range, offset, clip_size(&range, offset, size), value);
	if (range.lock)
		mutex_unlock(range.lock);
}
