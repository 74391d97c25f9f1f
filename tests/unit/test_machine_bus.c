/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory's checked accessor, and who answers at which address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "machine/bus.h"
#include "machine/memory.h"

#define MIB 0x100000ull

static void memory_bounds(void **state)
{
	struct memory mem;
	struct error err = {0};
	uint32_t value = 0x12345678, back = 0;

	assert_int_equal(memory_create(&mem, 4 * MIB, 0, false, &err), 0);
	assert_non_null(memory_ptr(&mem, 0, 4 * MIB));
	assert_non_null(memory_ptr(&mem, 4 * MIB - 1, 1));
	assert_null(memory_ptr(&mem, 4 * MIB - 1, 2));
	assert_null(memory_ptr(&mem, 0, 4 * MIB + 1));
	assert_null(memory_ptr(&mem, 4 * MIB, 1));
	assert_null(memory_ptr(&mem, 1, UINT64_MAX));
	assert_null(memory_ptr(&mem, UINT64_MAX, 2));
	assert_null(memory_ptr(&mem, 0, 0));
	assert_int_equal(memory_write(&mem, 4 * MIB - 4, &value, 4), 0);
	assert_int_equal(memory_read(&mem, 4 * MIB - 4, &back, 4), 0);
	assert_int_equal(back, value);
	assert_int_equal(memory_write(&mem, 4 * MIB - 3, &value, 4), -EFAULT);
	assert_int_equal(memory_read(&mem, 4 * MIB - 4, &back, 0), 0);
	memory_clear(&mem);
	assert_int_equal(memory_read(&mem, 4 * MIB - 4, &back, 4), 0);
	assert_int_equal(back, 0);
	memory_destroy(&mem);
}

/* Nothing can come to lie right before guest memory or behind it. */
static void memory_guards(void **state)
{
	struct memory mem;
	struct error err = {0};

	assert_int_equal(memory_create(&mem, 4 * MIB, 0, false, &err), 0);
	for (unsigned k = 0; k < 2; k++) {
		uint8_t *beside = k ? mem.host + 4 * MIB : mem.host - 4096;
		int fd[2];

		assert_true(mmap(beside, 4096, PROT_READ,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
				    0) == MAP_FAILED);
		assert_int_equal(errno, EEXIST);
		/* and nothing is there */
		assert_int_equal(pipe(fd), 0);
		assert_int_equal(write(fd[1], beside, 1), -1);
		assert_int_equal(errno, EFAULT);
		close(fd[0]);
		close(fd[1]);
	}
	memory_destroy(&mem);
}

/* Layout only: the checks need no host memory. */
static void memory_split(void **state)
{
	uint8_t host[1];
	struct memory mem = {.fd = -1, .regions = 2};

	mem.region[0] = (struct memory_region){.size = MEMORY_LOW_END, .host = host};
	mem.region[1] = (struct memory_region){.gpa = MEMORY_HIGH_START, .size = MIB, .host = host};
	assert_null(memory_ptr(&mem, MEMORY_LOW_END - 1, 2));
	assert_null(memory_ptr(&mem, MEMORY_LOW_END, 1));
	assert_null(memory_ptr(&mem, MEMORY_HIGH_START - 1, 1));
	assert_non_null(memory_ptr(&mem, MEMORY_HIGH_START, MIB));
	assert_null(memory_ptr(&mem, MEMORY_HIGH_START, MIB + 1));
}

static void memory_refused(void **state)
{
	struct memory mem;
	struct error err = {0};

	assert_int_equal(memory_create(&mem, 1ull << 50, 0, false, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "this host has"));
	err.text[0] = 0;
	assert_int_equal(memory_create(&mem, 4096, 0, false, &err), -EINVAL);
	assert_int_equal(memory_create(&mem, 0, 0, false, &err), -EINVAL);
}

struct device {
	uint64_t offset, value;
	unsigned size, reads, writes;
};

static uint64_t dev_read(void *ctx, uint64_t offset, unsigned size)
{
	struct device *dev = ctx;

	dev->offset = offset;
	dev->size = size;
	dev->reads++;
	return 0x8877665544332211ull >> (8 * (offset & 7));
}

static void dev_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct device *dev = ctx;

	dev->offset = offset;
	dev->size = size;
	dev->value = value;
	dev->writes++;
}

static const struct bus_ops any = {dev_read, dev_write, 0, false};
static const struct bus_ops bytes = {dev_read, dev_write, 1, false};
static const struct bus_ops dwords = {dev_read, dev_write, 4, true};

static void bus_overlap(void **state)
{
	static struct bus bus;
	struct device a = {0}, b = {0};

	bus_init(&bus);
	assert_int_equal(bus_map(&bus, 0x1000, 0x100, &any, &a, NULL), 0);
	assert_int_equal(bus_map(&bus, 0x10ff, 1, &any, &b, NULL), -EEXIST);
	assert_int_equal(bus_map(&bus, 0xfff, 2, &any, &b, NULL), -EEXIST);
	assert_int_equal(bus_map(&bus, 0, UINT64_MAX, &any, &b, NULL), -EEXIST);
	assert_int_equal(bus_map(&bus, 0x1100, 0x10, &any, &b, NULL), 0);
	assert_int_equal(bus_map(&bus, 0xff0, 0x10, &any, &b, NULL), 0);
	assert_int_equal(bus_map(&bus, 0x5000, 0, &any, &b, NULL), -EINVAL);
	assert_int_equal(bus_map(&bus, UINT64_MAX, 2, &any, &b, NULL), -EINVAL);
	assert_int_equal(bus_map(&bus, UINT64_MAX, 1, &any, &b, NULL), 0);
	bus_unmap(&bus, 0x1000, &b); /* not its own */
	bus_read(&bus, 0x1000, 1);
	assert_int_equal(a.reads, 1);
	bus_unmap(&bus, 0x1000, &a);
	assert_int_equal(bus_read(&bus, 0x1000, 4), 0xffffffff);
	assert_int_equal(bus_read(&bus, 0x2000, 1), 0xff);
	bus_write(&bus, 0x2000, 4, 1);
	for (unsigned i = 0; i < BUS_RANGES; i++)
		bus_map(&bus, 0x10000 + i, 1, &any, &a, NULL);
	assert_int_equal(bus_map(&bus, 0x20000, 1, &any, &a, NULL), -ENOSPC);
	bus_destroy(&bus);
}

static void bus_widths(void **state)
{
	static struct bus bus;
	struct device dev = {0};

	bus_init(&bus);
	bus_map(&bus, 0, 8, &bytes, &dev, NULL);
	bus_map(&bus, 0x10, 8, &dwords, &dev, NULL);
	/* Split where the device is narrower. */
	assert_int_equal(bus_read(&bus, 0, 4), 0x44332211);
	assert_int_equal(dev.reads, 4);
	bus_write(&bus, 0, 8, 0x0102030405060708);
	assert_int_equal(dev.writes, 8);
	assert_int_equal(dev.offset, 7);
	assert_int_equal(dev.value, 1);
	/* A part where it is wider; narrower and misaligned writes go nowhere. */
	assert_int_equal(bus_read(&bus, 0x11, 1), 0x22);
	assert_int_equal(dev.size, 4);
	assert_int_equal(bus_read(&bus, 0x13, 2), 0x5544);
	dev.writes = 0;
	bus_write(&bus, 0x11, 1, 1);
	bus_write(&bus, 0x12, 4, 1);
	assert_int_equal(dev.writes, 0);
	bus_write(&bus, 0x10, 8, 1);
	assert_int_equal(dev.writes, 2);
	/* What sticks out of the range reads as ones. */
	assert_int_equal(bus_read(&bus, 6, 4), 0xffff8877);
	assert_int_equal(bus_read(&bus, 0x17, 8) & 0xff, 0x88);
	bus_destroy(&bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_bounds),
		cmocka_unit_test(memory_guards),
		cmocka_unit_test(memory_split),
		cmocka_unit_test(memory_refused),
		cmocka_unit_test(bus_overlap),
		cmocka_unit_test(bus_widths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
