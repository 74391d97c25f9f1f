/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory that is frozen while somebody goes on writing it, and memory that stands on that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/memory_base.h"

#define MIB 0x100000ull
#define SIZE (4 * MIB)
#define PAGE REGION_PAGE
#define PAGES (SIZE / PAGE)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int map(struct engine_vm *vm, const struct memory_region *region, struct error *err)
{
	return 0;
}

static int door(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *err)
{
	return 0;
}

static void written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
}

static const struct engine engine = {.kind = CPUID_TRANSLATE,
	.vm_map = map,
	.vm_door = door,
	.vm_written = written};
static const struct engine other = {.kind = CPUID_KVM,
	.vm_map = map,
	.vm_door = door,
	.vm_written = written};

/* A guest's memory and what it ought to hold: a number a page. */
struct rig {
	struct memory mem;
	uint64_t model[PAGES];
};

static struct error err;
static uint64_t seed;

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

typedef int creates(struct memory *mem, uint64_t size, uint64_t room, bool makes_huge_pages,
	struct error *err);

static struct rig *make_by(creates *create, const struct engine *e)
{
	struct rig *rig = calloc(1, sizeof *rig);

	assert_int_equal(create(&rig->mem, SIZE, 0, true, &err), 0);
	if (rig->mem.fd < 0) {
		memory_destroy(&rig->mem);
		free(rig);
		return NULL;
	}
	assert_int_equal(memory_attach(&rig->mem, e, NULL, &err), 0);
	return rig;
}

static struct rig *make(const struct engine *e)
{
	return make_by(memory_create, e);
}

static void drop(struct rig *rig)
{
	memory_destroy(&rig->mem);
	free(rig);
}

static void write_page(struct rig *rig, uint64_t page, uint64_t value)
{
	assert_int_equal(memory_write(&rig->mem, page * PAGE + 8, &value, sizeof value), 0);
	rig->model[page] = value;
}

static void write_some(struct rig *rig, unsigned count)
{
	while (count--)
		write_page(rig, random_number() % PAGES, random_number());
}

/* In an order of its own, so that pages come in any. */
static void check(struct rig *rig)
{
	uint64_t value, first = random_number() % PAGES;

	for (uint64_t i = 0; i < PAGES; i++) {
		uint64_t page = (first + i * 7) % PAGES;

		assert_int_equal(memory_read(&rig->mem, page * PAGE + 8, &value, sizeof value), 0);
		assert_int_equal(value, rig->model[page]);
	}
}

static struct rig *copy(struct rig *of)
{
	struct rig *rig = make_by(memory_create_file, &engine);
	int fd[MEMORY_LAYERS];
	unsigned count;

	assert_non_null(rig);
	assert_int_equal(memory_freeze(&of->mem, false, &err), 0);
	assert_int_equal(memory_layers(&of->mem, fd, &count, &err), 0);
	assert_in_range(count, 1, MEMORY_LAYERS);
	assert_int_equal(memory_stand_on(&rig->mem, fd, count, &err), 0);
	memcpy(rig->model, of->model, sizeof rig->model);
	return rig;
}

static int set_up(void **state)
{
	struct rig *rig;

	seed = 0x9e3779b97f4a7c15ull;
	rig = make(&engine);
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	if (*state)
		drop(*state);
	return 0;
}

/* Copies of copies, deeper than there are layers, while each is written. */
static void copies(void **state)
{
	struct rig *all[12] = {*state};
	unsigned count = 1;

	if (!all[0])
		skip();
	write_some(all[0], 300);
	while (count < 12) {
		struct rig *of = all[random_number() % count];

		all[count++] = copy(of);
		for (unsigned i = 0; i < count; i++)
			write_some(all[i], 40);
	}
	for (unsigned i = 0; i < count; i++)
		check(all[i]);
	/* The first goes: what stands on what it was stays. */
	for (unsigned i = 1; i < count; i++) {
		check(all[i]);
		drop(all[i]);
	}
	check(all[0]);
}

static uint64_t own_pages(const struct rig *rig)
{
	uint64_t pages = 0;
	off_t at = 0;

	while ((at = lseek(rig->mem.fd, at, SEEK_DATA)) >= 0) {
		off_t hole = lseek(rig->mem.fd, at, SEEK_HOLE);

		pages += (hole - at) / PAGE;
		at = hole;
	}
	return pages;
}

/* A copy costs the pages that it touches. */
static void costs_little(void **state)
{
	struct rig *rig = *state, *one;
	uint64_t value;

	if (!rig)
		skip();
	write_some(rig, 2000);
	one = copy(rig);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(memory_read(&one->mem, i * 64 * PAGE, &value, sizeof value), 0);
	assert_int_equal(own_pages(one), 5);
	drop(one);
}

/* What was only read, or is what it was again, goes, and comes again; what was changed or given back by the guest stays so. */
static void trimmed(void **state)
{
	struct rig *rig = *state, *one;
	uint64_t was, changed = 0;

	if (!rig)
		skip();
	memory_base_trim(&rig->mem, PAGES);
	check(rig);
	write_some(rig, 2000);
	one = copy(rig);
	check(one);
	assert_int_equal(own_pages(one), PAGES);
	was = one->model[9];
	write_page(one, 9, 1);
	write_page(one, 9, was);
	for (uint64_t page = 10; page < PAGES; page += 10, changed++)
		write_page(one, page, random_number());
	memory_discard(&one->mem, 64 * PAGE, 4 * PAGE);
	memset(&one->model[64], 0, 4 * sizeof *one->model);
	/* In two parts: the second goes on where the first has ended. */
	memory_base_trim(&one->mem, PAGES / 2);
	assert_in_range(own_pages(one), PAGES / 2, PAGES / 2 + PAGES / 10);
	memory_base_trim(&one->mem, PAGES);
	assert_int_equal(own_pages(one), changed);
	check(one);
	assert_int_equal(own_pages(one), PAGES);
	/* What it stands on is two layers then, and what it has of its own is a copy of both. */
	drop(copy(one));
	check(one);
	one->mem.readers++;
	memory_base_trim(&one->mem, PAGES);
	assert_int_equal(own_pages(one), PAGES);
	one->mem.readers--;
	memory_base_trim(&one->mem, PAGES);
	assert_int_equal(own_pages(one), 0);
	check(one);
	check(rig);
	drop(one);
}

/* What a guest gives back reads as zeros, and does not come again from below; after a reset all does. */
static void gone(void **state)
{
	struct rig *rig = *state, *one;

	if (!rig)
		skip();
	write_some(rig, 500);
	one = copy(rig);
	memory_discard(&one->mem, 64 * PAGE, 32 * PAGE);
	memset(&one->model[64], 0, 32 * sizeof *one->model);
	check(one);
	memory_clear(&one->mem);
	memset(one->model, 0, sizeof one->model);
	check(one);
	write_some(one, 100);
	check(one);
	check(rig);
	drop(one);
}

static int refused(struct memory *mem, int fd)
{
	return memory_stand_on(mem, &fd, 1, &err);
}

/* A layer of our own making, of which the end says that it has so many pages. */
static int forge(uint64_t pages, off_t size, const char *magic, int seals)
{
	struct memory_layer end = {.pages = pages};
	int fd = memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	memcpy(end.magic, magic, sizeof end.magic);
	assert_int_equal(ftruncate(fd, size), 0);
	if (size >= sizeof end)
		assert_int_equal(pwrite(fd, &end, sizeof end, size - sizeof end), sizeof end);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void not_trusted(void **state)
{
	const off_t right = 8 * PAGE + 8 + sizeof(struct memory_layer);
	static const struct {
		uint64_t pages;
		off_t size;
		const char *magic;
		int seals;
	} wrong[] = {
		{8, right, MEMORY_LAYER_MAGIC, F_SEAL_SHRINK | F_SEAL_GROW},
		{8, right, MEMORY_LAYER_MAGIC, F_SEAL_SHRINK | F_SEAL_WRITE},
		{8, right, MEMORY_LAYER_MAGIC, F_SEAL_GROW | F_SEAL_WRITE},
		{8, right, "dachram0", SEALS},
		{8, right - 1, MEMORY_LAYER_MAGIC, SEALS},
		{8, right + PAGE, MEMORY_LAYER_MAGIC, SEALS},
		{9, right, MEMORY_LAYER_MAGIC, SEALS},
		{0, sizeof(struct memory_layer), MEMORY_LAYER_MAGIC, SEALS},
		{0, 0, MEMORY_LAYER_MAGIC, SEALS},
		{0, 1, MEMORY_LAYER_MAGIC, SEALS},
		{UINT64_MAX, right, MEMORY_LAYER_MAGIC, SEALS},
		{1ull << 52, right, MEMORY_LAYER_MAGIC, SEALS},
		{UINT64_MAX / PAGE + 9, right, MEMORY_LAYER_MAGIC, SEALS},
	};
	struct rig *rig = *state;
	int fd, many[MEMORY_LAYERS + 1], null;

	if (!rig)
		skip();
	write_some(rig, 100);
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		fd = forge(wrong[i].pages, wrong[i].size, wrong[i].magic, wrong[i].seals);
		assert_int_equal(refused(&rig->mem, fd), -EINVAL);
		close(fd);
	}
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(refused(&rig->mem, null), -EINVAL);
	close(null);
	assert_true(refused(&rig->mem, -1) < 0);
	assert_int_equal(memory_stand_on(&rig->mem, many, 0, &err), -EINVAL);
	assert_int_equal(memory_stand_on(&rig->mem, many, MEMORY_LAYERS + 1, &err), -EINVAL);
	check(rig);
}

/* Less than the guest has, or more: what is not there is zeros, and what is too much is not seen. */
static void other_size(void **state)
{
	struct rig *rig = *state;
	uint64_t pages[] = {8, 2 * PAGES};

	if (!rig)
		skip();
	for (unsigned i = 0; i < 2; i++) {
		off_t size = (off_t)(pages[i] * PAGE + (pages[i] + 63) / 64 * 8 +
			sizeof(struct memory_layer));
		int fd = forge(pages[i], size, MEMORY_LAYER_MAGIC, SEALS);
		struct rig *one = make(&engine);

		assert_int_equal(refused(&one->mem, fd), 0);
		close(fd);
		check(one);
		write_some(one, 100);
		check(one);
		drop(one);
	}
}

/* What is frozen cannot be written by anybody any more. */
static void sealed(void **state)
{
	struct rig *rig = *state;
	int fd[MEMORY_LAYERS];
	unsigned count;

	if (!rig)
		skip();
	write_some(rig, 100);
	assert_int_equal(memory_freeze(&rig->mem, false, &err), 0);
	assert_int_equal(memory_layers(&rig->mem, fd, &count, &err), 0);
	assert_int_equal(count, 1);
	assert_int_equal(pwrite(fd[0], "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_ptr_equal(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd[0], 0), MAP_FAILED);
	check(rig);
	rig->mem.readers++;
	assert_int_equal(memory_freeze(&rig->mem, false, &err), -EBUSY);
	rig->mem.readers--;
	check(rig);
}

/* A process that was started beside the guest's has no part in its memory. */
static void with_a_child(void **state)
{
	struct rig *rig = make(&engine);
	int fd[MEMORY_LAYERS], r;
	unsigned count;
	pid_t pid;

	if (!rig)
		skip();
	write_some(rig, 100);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	r = memory_freeze(&rig->mem, false, &err);
	if (!r)
		r = memory_layers(&rig->mem, fd, &count, &err);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(r, 0);
	check(rig);
	drop(rig);
}

static void not_under_kvm(void **state)
{
	struct rig *rig = make(&other);

	if (!rig)
		skip();
	write_some(rig, 10);
	assert_int_equal(memory_freeze(&rig->mem, false, &err), -ENOTSUP);
	check(rig);
	drop(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(copies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(costs_little, set_up, tear_down),
		cmocka_unit_test_setup_teardown(trimmed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_trusted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sealed, set_up, tear_down),
		cmocka_unit_test(with_a_child),
		cmocka_unit_test(not_under_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
