/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory of a moment, written down while the guest goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "machine/describe.h"
#include "machine/memory_base.h"
#include "machine/memory_frozen.h"
#include "state/state.h"

#define MIB 0x100000ull
#define SIZE (16 * MIB)
#define PAGE REGION_PAGE
#define PAGES (SIZE / PAGE)

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

/* A guest's memory, what it ought to hold (a number a page), and what was written down of it. */
struct rig {
	struct memory mem;
	uint64_t model[PAGES];
	uint8_t *stream, *places;
	size_t size, room, at;
	int fail_at; /* so many pages are written before it fails; -1: never */
};

static struct error err;

static int add(void *ctx, const void *data, size_t len)
{
	struct rig *rig = ctx;

	if (rig->size + len > rig->room) {
		rig->room = 2 * (rig->size + len);
		rig->stream = realloc(rig->stream, rig->room);
		assert_non_null(rig->stream);
	}
	memcpy(rig->stream + rig->size, data, len);
	rig->size += len;
	return 0;
}

static long get(void *ctx, void *data, size_t len)
{
	struct rig *rig = ctx;

	if (len > rig->size - rig->at)
		len = rig->size - rig->at;
	memcpy(data, rig->stream + rig->at, len);
	rig->at += len;
	return (long)len;
}

static int put_pages(void *ctx, uint64_t gpa, const void *data, size_t len)
{
	struct rig *rig = ctx;

	if (rig->fail_at >= 0 && (rig->fail_at -= (int)((len + PAGE - 1) / PAGE)) < 0)
		return -ENOSPC;
	assert_true(gpa + len <= SIZE);
	memcpy(rig->places + gpa, data, len);
	return 0;
}

static int get_pages(void *ctx, uint64_t gpa, void *data, size_t len)
{
	struct rig *rig = ctx;

	memcpy(data, rig->places + gpa, len);
	return 0;
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof *rig);

	*state = NULL;
	assert_int_equal(memory_create(&rig->mem, SIZE, 0, true, &err), 0);
	rig->fail_at = -1;
	rig->places = calloc(1, SIZE);
	if (rig->mem.fd >= 0) {
		assert_int_equal(memory_attach(&rig->mem, &engine, NULL, &err), 0);
		*state = rig;
		return 0;
	}
	memory_destroy(&rig->mem);
	free(rig->places);
	free(rig);
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	if (!rig)
		return 0;
	memory_destroy(&rig->mem);
	free(rig->places);
	free(rig->stream);
	free(rig);
	return 0;
}

#define NEED_RIG(rig)             \
	struct rig *rig = *state; \
	if (!rig)                 \
	skip() /* this host gives shared memory no huge pages */

static void write_page(struct rig *rig, uint64_t page, uint64_t value)
{
	assert_int_equal(memory_write(&rig->mem, page * PAGE + 8, &value, sizeof value), 0);
	rig->model[page] = value;
}

/* In some places, so that there are holes of all sizes. */
static void write_some(struct rig *rig, uint64_t from, uint64_t step, uint64_t value)
{
	for (uint64_t page = from; page < PAGES; page += step)
		write_page(rig, page, value + page);
}

static void check(struct memory *mem, const uint64_t *model)
{
	uint64_t value;

	for (uint64_t page = 0; page < PAGES; page++) {
		assert_int_equal(memory_read(mem, page * PAGE + 8, &value, sizeof value), 0);
		assert_int_equal(value, model[page]);
	}
}

static int save(struct rig *rig, struct memory_frozen *frozen)
{
	const struct state_io io = {.write = add, .ctx = rig};
	const struct state_pages pages = {.write = put_pages, .ctx = rig};
	struct state *s;
	int r;

	assert_int_equal(state_save(&io, "it", &s, &err), 0);
	state_beside(s, &pages);
	memory_frozen_save(frozen, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

/* What was written down is what it was. */
static void check_written(struct rig *rig, const uint64_t *model)
{
	const struct state_io io = {.read = get, .ctx = rig};
	const struct state_pages pages = {.read = get_pages, .ctx = rig};
	struct memory mem;
	struct state *s;

	assert_int_equal(memory_create(&mem, SIZE, 0, true, &err), 0);
	assert_int_equal(memory_attach(&mem, &engine, NULL, &err), 0);
	assert_int_equal(state_load(&io, "it", &s, &err), 0);
	state_beside(s, &pages);
	memory_describe(&mem, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
	check(&mem, model);
	memory_destroy(&mem);
}

static int never(void *ctx)
{
	return 0;
}

static int at_once(void *ctx)
{
	return -ECANCELED;
}

/* A guest that writes meanwhile, from the other end. */
static void *go_on(void *ctx)
{
	struct rig *rig = ctx;

	for (unsigned turn = 0; turn < 3; turn++)
		for (uint64_t page = PAGES; page--;)
			if (page % 3 != turn)
				write_page(rig, page, page * 5 + turn);
	return NULL;
}

static void test_goes_on(void **state)
{
	NEED_RIG(rig);
	uint64_t *model = malloc(sizeof rig->model);
	struct memory_frozen *frozen;
	pthread_t guest;
	struct stat st;

	write_some(rig, 3, 41, 7);
	memcpy(model, rig->model, sizeof rig->model);
	assert_int_equal(memory_frozen_possible(&rig->mem, &err), 0);
	assert_int_equal(memory_frozen_take(&rig->mem, &frozen, &err), 0);
	assert_int_equal(pthread_create(&guest, NULL, go_on, rig), 0);
	assert_int_equal(save(rig, frozen), 0);
	pthread_join(guest, NULL);
	assert_int_equal(memory_frozen_fill(frozen, never, NULL), 0);
	check(&rig->mem, rig->model);
	memory_frozen_settle(frozen);
	memory_frozen_close(frozen);
	assert_null(rig->mem.base);
	assert_null(rig->mem.door.here);
	check(&rig->mem, rig->model);
	check_written(rig, model);
	assert_int_equal(fstat(rig->mem.fd, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	free(model);
}

/* One after the other, and what was brought and given back is not lost. */
static void test_again(void **state)
{
	NEED_RIG(rig);

	for (unsigned turn = 0; turn < 6; turn++) {
		struct memory_frozen *frozen;
		uint64_t *model = malloc(sizeof rig->model);

		write_some(rig, turn, 13 + turn, turn * 1000);
		memcpy(model, rig->model, sizeof rig->model);
		assert_int_equal(memory_frozen_take(&rig->mem, &frozen, &err), 0);
		write_some(rig, turn + 1, 17, turn * 2000);
		rig->size = rig->at = 0;
		memset(rig->places, 0, SIZE);
		assert_int_equal(save(rig, frozen), 0);
		/* Some end before all has been brought; the next one stands on that. */
		if (turn % 3) {
			assert_int_equal(memory_frozen_fill(frozen, never, NULL), 0);
			memory_frozen_settle(frozen);
		} else {
			assert_int_equal(memory_frozen_fill(frozen, at_once, NULL), -ECANCELED);
		}
		memory_frozen_close(frozen);
		check(&rig->mem, rig->model);
		check_written(rig, model);
		free(model);
	}
}

static void test_full(void **state)
{
	NEED_RIG(rig);
	struct memory_frozen *frozen;

	write_some(rig, 0, 5, 1);
	rig->fail_at = 20;
	assert_int_equal(memory_frozen_take(&rig->mem, &frozen, &err), 0);
	assert_int_equal(save(rig, frozen), -ENOSPC);
	assert_non_null(strstr(err.text, "No space"));
	write_some(rig, 2, 9, 2);
	assert_int_equal(memory_frozen_fill(frozen, never, NULL), 0);
	memory_frozen_settle(frozen);
	memory_frozen_close(frozen);
	assert_null(rig->mem.base);
	check(&rig->mem, rig->model);
}

/* The guest resets itself: what is written is what it was. */
static void test_reset(void **state)
{
	NEED_RIG(rig);
	uint64_t *model = malloc(sizeof rig->model);
	struct memory_frozen *frozen;

	write_some(rig, 1, 3, 1);
	memcpy(model, rig->model, sizeof rig->model);
	assert_int_equal(memory_frozen_take(&rig->mem, &frozen, &err), 0);
	memory_clear(&rig->mem);
	memset(rig->model, 0, sizeof rig->model);
	write_some(rig, 0, 30, 4);
	assert_int_equal(save(rig, frozen), 0);
	assert_int_equal(memory_frozen_fill(frozen, never, NULL), 1);
	memory_frozen_settle(frozen);
	memory_frozen_close(frozen);
	check(&rig->mem, rig->model);
	check_written(rig, model);
	free(model);
}

/* Clones stand on the same layers: nothing of those is given back. */
static void test_clones(void **state)
{
	NEED_RIG(rig);
	uint64_t *model = malloc(sizeof rig->model);
	struct memory_frozen *frozen;
	struct memory clone;
	int fd[MEMORY_LAYERS];
	unsigned count;

	write_some(rig, 1, 7, 1);
	assert_int_equal(memory_freeze(&rig->mem, false, &err), 0);
	assert_int_equal(memory_layers(&rig->mem, fd, &count, &err), 0);
	assert_int_equal(memory_create(&clone, SIZE, 0, true, &err), 0);
	assert_int_equal(memory_attach(&clone, &engine, NULL, &err), 0);
	assert_int_equal(memory_stand_on(&clone, fd, count, &err), 0);
	memcpy(model, rig->model, sizeof rig->model);
	write_some(rig, 2, 11, 3);
	assert_int_equal(memory_frozen_take(&rig->mem, &frozen, &err), 0);
	assert_int_equal(save(rig, frozen), 0);
	assert_int_equal(memory_frozen_fill(frozen, never, NULL), 1);
	memory_frozen_settle(frozen);
	memory_frozen_close(frozen);
	assert_non_null(rig->mem.base);
	check_written(rig, rig->model);
	check(&rig->mem, rig->model);
	check(&clone, model);
	memory_destroy(&clone);
	free(model);
}

static void test_refused(void **state)
{
	NEED_RIG(rig);
	struct memory_frozen *frozen;

	rig->mem.readers = 1;
	assert_int_equal(memory_frozen_possible(&rig->mem, &err), -EBUSY);
	assert_int_equal(memory_frozen_take(&rig->mem, &frozen, &err), -EBUSY);
	assert_null(frozen);
	memory_frozen_close(frozen);
	rig->mem.readers = 0;
	assert_null(rig->mem.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_clones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
