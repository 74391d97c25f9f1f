/* SPDX-License-Identifier: Apache-2.0 */
/* The table of guest memory, as devices and the engine see it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/memory.h"

#define MIB 0x100000ull
#define ROM 0xf0000ull
#define VIDEO 0xe0000000ull

/* An engine that only keeps what it is given. */
struct engine_vm {
	struct memory_region region[REGIONS_MAX];
	unsigned count, written, doors;
};

static int map(struct engine_vm *vm, const struct memory_region *region, struct error *err)
{
	for (unsigned i = 0; i < vm->count; i++)
		assert_int_equal(region_conflict(region, &vm->region[i], err), 0);
	vm->region[vm->count++] = *region;
	return 0;
}

static unsigned at(const struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	for (unsigned i = 0; i < vm->count; i++)
		if (vm->region[i].gpa == gpa && vm->region[i].size == size)
			return i;
	fail_msg("the engine is asked for a part of a region");
	return 0;
}

static int unmap(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	vm->region[at(vm, gpa, size)] = vm->region[vm->count - 1];
	vm->count--;
	return 0;
}

static int protect(struct engine_vm *vm, uint64_t gpa, uint64_t size, bool read_only,
	struct error *err)
{
	vm->region[at(vm, gpa, size)].read_only = read_only;
	return 0;
}

static void written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	vm->written++;
}

static int door(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	at(vm, gpa, size);
	vm->doors++;
	return 0;
}

static const struct engine engine = {.vm_map = map,
	.vm_unmap = unmap,
	.vm_protect = protect,
	.vm_written = written,
	.vm_door = door};

static struct fixture {
	struct engine_vm vm;
	struct memory mem;
	struct memory_region rom, video;
	struct error err;
} f;

static int set_up(void **state)
{
	memset(&f, 0, sizeof f);
	assert_int_equal(memory_create(&f.mem, 4 * MIB, 0, false, &f.err), 0);
	assert_int_equal(memory_attach(&f.mem, &engine, &f.vm, &f.err), 0);
	assert_int_equal(memory_region_create(&f.rom, ROM, 0x10000, &f.err), 0);
	assert_int_equal(memory_region_create(&f.video, VIDEO, 2 * MIB, &f.err), 0);
	return 0;
}

static int tear_down(void **state)
{
	memory_destroy(&f.mem);
	memory_region_destroy(&f.rom);
	memory_region_destroy(&f.video);
	return 0;
}

/* The engine has what the table has. */
static void same(void)
{
	assert_int_equal(f.vm.count, f.mem.regions);
	for (unsigned i = 0; i < f.mem.regions; i++) {
		const struct memory_region *r = &f.mem.region[i];

		const struct memory_region *e = &f.vm.region[at(&f.vm, r->gpa, r->size)];

		assert_ptr_equal(e->host, r->host);
		assert_int_equal(e->offset, r->offset);
		assert_int_equal(e->read_only, r->read_only);
		assert_int_equal(e->door_page, r->door_page);
		assert_true(!i || r[-1].gpa + r[-1].size <= r->gpa);
	}
}

/* A ROM over RAM, and RAM again. */
static void shadow(void **state)
{
	struct memory_region ram;
	uint32_t value = 0x12345678, back;

	memory_write(&f.mem, ROM, &value, 4);
	f.rom.read_only = true;
	assert_int_equal(memory_add(&f.mem, &f.rom, &f.err), -EEXIST);
	assert_int_equal(memory_remove(&f.mem, ROM, 0x10000, &f.err), 0);
	same();
	assert_int_equal(f.mem.regions, 2);
	assert_null(memory_ptr_read(&f.mem, ROM, 1));
	assert_null(memory_ptr(&f.mem, ROM - 1, 2));
	assert_non_null(memory_ptr(&f.mem, ROM - 1, 1));
	assert_non_null(memory_ptr(&f.mem, ROM + 0x10000, 3 * MIB));
	assert_int_equal(memory_add(&f.mem, &f.rom, &f.err), 0);
	same();
	/* a device reads it and cannot write it */
	assert_ptr_equal(memory_ptr_read(&f.mem, ROM + 4, 4), f.rom.host + 4);
	assert_null(memory_ptr(&f.mem, ROM + 4, 4));
	assert_int_equal(memory_read(&f.mem, ROM, &back, 4), 0);
	assert_int_equal(back, 0);
	assert_int_equal(memory_write(&f.mem, ROM, &value, 4), -EFAULT);
	/* half of it can be written */
	assert_int_equal(memory_protect(&f.mem, ROM + 0x8000, 0x8000, false, &f.err), 0);
	same();
	assert_non_null(memory_ptr(&f.mem, ROM + 0x8000, 0x8000));
	assert_null(memory_ptr(&f.mem, ROM + 0x7fff, 1));
	assert_int_equal(memory_remove(&f.mem, ROM, 0x10000, &f.err), 0);
	assert_false(memory_ram(&f.mem, 4 * MIB - 0x1000, 0x2000, &ram));
	assert_true(memory_ram(&f.mem, ROM, 0x10000, &ram));
	assert_int_equal(memory_add(&f.mem, &ram, &f.err), 0);
	same();
	assert_int_equal(memory_read(&f.mem, ROM, &back, 4), 0);
	assert_int_equal(back, value);
	/* in three pieces, which nobody notices */
	assert_int_equal(f.mem.regions, 3);
	assert_ptr_equal(memory_ptr(&f.mem, 0, 4 * MIB), f.mem.host);
	assert_null(memory_ptr(&f.mem, 1, 4 * MIB));
	assert_int_equal(memory_remove(&f.mem, ROM + 1, 0x1000, &f.err), -EINVAL);
}

static bool ended;

static void *look(void *ctx)
{
	unsigned *wrong = ctx;

	while (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST)) {
		*wrong += memory_ptr(&f.mem, 0x5000, 8) != f.mem.host + 0x5000;
		*wrong += memory_ptr(&f.mem, 3 * MIB, MIB) != f.mem.host + 3 * MIB;
		*wrong += memory_ptr(&f.mem, 4 * MIB - 1, 2) != NULL;
	}
	return NULL;
}

/* Devices find what stays while something else comes and goes. */
static void looked_at_meanwhile(void **state)
{
	struct memory_region ram;
	pthread_t thread;
	unsigned wrong = 0;

	ended = false;
	f.rom.read_only = true;
	pthread_create(&thread, NULL, look, &wrong);
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(memory_remove(&f.mem, ROM, 0x10000, &f.err), 0);
		assert_int_equal(memory_add(&f.mem, &f.rom, &f.err), 0);
		assert_int_equal(memory_protect(&f.mem, ROM, 0x8000, false, &f.err), 0);
		assert_int_equal(memory_remove(&f.mem, ROM, 0x10000, &f.err), 0);
		assert_true(memory_ram(&f.mem, ROM, 0x10000, &ram));
		assert_int_equal(memory_add(&f.mem, &ram, &f.err), 0);
	}
	__atomic_store_n(&ended, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	assert_int_equal(wrong, 0);
}

static bool is_written(uint64_t gpa, uint64_t page, enum page_log who)
{
	uint64_t bits[8];

	memory_log_read(&f.mem, gpa, 512 * REGION_PAGE, who, bits);
	for (uint64_t i = 0; i < 512; i++)
		if (i != page && page_bit(bits, i))
			fail_msg("page %u is said to be written", (unsigned)i);
	return page_bit(bits, page);
}

/* Devices' writes; of regions that are split, too, and of one region alone. */
static void log_of_devices(void **state)
{
	uint64_t value = 1;

	assert_int_equal(memory_add(&f.mem, &f.video, &f.err), 0);
	assert_int_equal(memory_log(&f.mem, f.video.door, PAGE_LOG_DISPLAY, true, &f.err), 0);
	assert_int_equal(f.vm.doors, 1);
	memory_write(&f.mem, 0x5000, &value, 8);
	assert_false(is_written(0, 5, PAGE_LOG_DISPLAY));
	memory_write(&f.mem, VIDEO + 0x7000, &value, 8);
	assert_true(is_written(VIDEO, 7, PAGE_LOG_DISPLAY));
	assert_false(is_written(VIDEO, 7, PAGE_LOG_DISPLAY));
	assert_int_equal(memory_log(&f.mem, NULL, PAGE_LOG_MOVE, true, &f.err), 0);
	memory_zero(&f.mem, VIDEO + 0x8000, 8);
	assert_true(is_written(VIDEO, 8, PAGE_LOG_MOVE));
	assert_true(is_written(VIDEO, 8, PAGE_LOG_DISPLAY));
	memory_write(&f.mem, 0x105000, &value, 8);
	assert_int_equal(memory_remove(&f.mem, 0x102000, 0x1000, &f.err), 0);
	assert_true(is_written(0x101000, 4, PAGE_LOG_MOVE));
	memory_write(&f.mem, 0x101000, &value, 8);
	assert_true(is_written(0x1000, 0x100, PAGE_LOG_MOVE));
	assert_int_equal(memory_log(&f.mem, NULL, PAGE_LOG_MOVE, false, &f.err), 0);
	assert_int_equal(memory_log(&f.mem, NULL, PAGE_LOG_DISPLAY, false, &f.err), 0);
	assert_false(f.mem.asked);
}

static unsigned brought[1024];

static int bring(void *ctx, uint64_t first, uint64_t count, void *to)
{
	for (uint64_t i = 0; i < count; i++) {
		if (first + i == 99)
			return -EIO;
		__atomic_fetch_add(&brought[first + i], 1, __ATOMIC_SEQ_CST);
		memset((uint8_t *)to + i * REGION_PAGE, (int)(first + i), REGION_PAGE);
	}
	return 0;
}

static void *reader(void *ctx)
{
	for (unsigned page = 0; page < 90; page++) {
		const uint8_t *host = memory_ptr_read(&f.mem, page * REGION_PAGE, 1);

		assert_non_null(host);
		assert_int_equal(*host, page);
	}
	return NULL;
}

/* A device's first look brings a page, once, whoever else wants it. */
static void late(void **state)
{
	pthread_t thread[4];

	memset(brought, 0, sizeof brought);
	assert_int_equal(memory_begin_lazy(&f.mem, &f.mem.door, NULL, 4, bring, NULL, &f.err), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, reader, NULL);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < 92; i++)
		assert_int_equal(brought[i], 1);
	assert_int_equal(brought[92], 0);
	assert_int_equal(memory_bring(&f.mem, 92 * REGION_PAGE, 4 * REGION_PAGE), 0);
	assert_int_equal(brought[95], 1);
	/* what cannot be had is no memory */
	assert_null(memory_ptr(&f.mem, 99 * REGION_PAGE, 1));
	assert_int_equal(memory_bring(&f.mem, 0, 4 * MIB), -EIO);
	memory_end_lazy(&f.mem, &f.mem.door);
	assert_false(f.mem.asked);
	assert_non_null(memory_ptr(&f.mem, 99 * REGION_PAGE, 1));
}

/* What a kernel does not need to unpack itself goes; a device's window, and what else was added, stays. */
static void room_goes_alone(void **state)
{
	struct memory_region video;
	struct memory mem;
	struct error err = {""};

	assert_int_equal(memory_create(&mem, 4 * MIB, 2 * MIB, false, &err), 0);
	assert_int_equal(memory_region_create(&video, 0xc0000000, MIB, &err), 0);
	assert_int_equal(memory_add(&mem, &video, &err), 0);
	assert_int_equal(memory_remove(&mem, 0xa0000, 0x20000, &err), 0);
	memory_keep_room(&mem, MIB);
	assert_null(memory_ptr(&mem, 0xa0000, 1));
	assert_non_null(memory_ptr(&mem, 0xc0000, 5 * MIB - 0xc0000));
	assert_null(memory_ptr(&mem, 5 * MIB, 1));
	assert_ptr_equal(memory_ptr(&mem, 0xc0000000, MIB), video.host);
	assert_int_equal(mem.room, MIB);
	assert_int_equal(mem.door.pages, 5 * MIB / REGION_PAGE);
	memory_remove(&mem, 0xc0000000, MIB, &err);
	memory_region_destroy(&video);
	memory_destroy(&mem);
}

/* What another process has is there, all of it, with the room that its file tells; a file that cannot be that is refused. */
static void adopted(void **state)
{
	static const uint64_t wrong[] = {3 * MIB, 4 * MIB + 4096, 7 * MIB};
	struct memory mem, other;
	struct error err = {""};
	char said[6];
	int fd;

	assert_int_equal(memory_create(&mem, 4 * MIB, MIB, false, &err), 0);
	if (mem.fd < 0) {
		memory_destroy(&mem);
		return;
	}
	assert_true(memory_is_one_file(&mem));
	assert_int_equal(memory_write(&mem, 5 * MIB - 5, "hello", 5), 0);
	assert_int_equal(memory_adopt(&other, 4 * MIB, 2 * MIB, false, dup(mem.fd), &err), 0);
	assert_int_equal(other.room, MIB);
	assert_int_equal(memory_read(&other, 5 * MIB - 5, said, 5), 0);
	assert_memory_equal(said, "hello", 5);
	assert_int_equal(memory_write(&other, 0, "there", 5), 0);
	assert_int_equal(memory_read(&mem, 0, said, 5), 0);
	assert_memory_equal(said, "there", 5);
	memory_destroy(&other);
	memory_destroy(&mem);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		fd = memfd_create("wrong", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, (off_t)wrong[i]), 0);
		assert_int_equal(memory_adopt(&other, 4 * MIB, 2 * MIB, false, fd, &err), -EINVAL);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}
	assert_int_equal(memory_adopt(&other, 4 * MIB, 2 * MIB, false, open("/dev/zero", O_RDWR),
				 &err),
		-EINVAL);
}

/* Memory beside RAM is in no file of RAM's. */
static void more_than_one_file(void **state)
{
	struct memory_region video;
	struct memory mem;
	struct error err = {""};

	assert_int_equal(memory_create(&mem, 4 * MIB, 0, false, &err), 0);
	assert_int_equal(memory_region_create(&video, 0xc0000000, MIB, &err), 0);
	assert_int_equal(memory_add(&mem, &video, &err), 0);
	assert_false(memory_is_one_file(&mem));
	assert_int_equal(memory_remove(&mem, 0xc0000000, MIB, &err), 0);
	assert_int_equal(memory_is_one_file(&mem), mem.fd >= 0);
	memory_region_destroy(&video);
	memory_destroy(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shadow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(looked_at_meanwhile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(log_of_devices, set_up, tear_down),
		cmocka_unit_test_setup_teardown(late, set_up, tear_down),
		cmocka_unit_test(room_goes_alone),
		cmocka_unit_test(adopted),
		cmocka_unit_test(more_than_one_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
