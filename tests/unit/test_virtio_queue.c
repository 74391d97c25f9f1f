/* SPDX-License-Identifier: Apache-2.0 */
/* The split virtqueue with rings good and hostile, built in a memory of its own. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "virtio/ring.h"

#define MEMORY (1ull << 20)
#define DESC 0x1000ull
#define AVAIL 0x2000ull
#define USED 0x3000ull
#define TABLE 0x5000ull
#define DATA 0x8000ull
#define SIZE 8

struct world {
	struct memory mem;
	struct virtq queue;
	struct virtq_chain chain;
	struct virtq_desc *desc, *table;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint64_t written;
};

static void count_written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
	((struct world *)vm)->written += size;
}

static const struct engine counter = {.vm_written = count_written};

static struct world *world_open(bool indirect, bool event_idx)
{
	struct world *w = calloc(1, sizeof(*w));
	struct error err = {0};

	assert_non_null(w);
	assert_int_equal(memory_create(&w->mem, MEMORY, 0, false, &err), 0);
	w->mem.engine = &counter;
	w->mem.vm = (struct engine_vm *)w;
	w->queue = (struct virtq){.memory = &w->mem, .size_max = 256};
	virtq_reset(&w->queue);
	w->queue.size = SIZE;
	w->queue.desc_gpa = DESC;
	w->queue.avail_gpa = AVAIL;
	w->queue.used_gpa = USED;
	assert_true(virtq_enable(&w->queue, indirect, event_idx));
	w->desc = memory_ptr(&w->mem, DESC, 0x1000);
	w->avail = memory_ptr(&w->mem, AVAIL, 0x1000);
	w->used = memory_ptr(&w->mem, USED, 0x1000);
	w->table = memory_ptr(&w->mem, TABLE, 0x1000);
	return w;
}

static void world_close(struct world *w)
{
	memory_destroy(&w->mem);
	free(w);
}

static void offer(struct world *w, uint16_t head)
{
	w->avail->ring[w->avail->idx++ % SIZE] = head;
}

static int pop(struct world *w)
{
	return virtq_pop(&w->queue, &w->chain);
}

static void expect_broken(struct world *w)
{
	assert_int_equal(pop(w), -EPROTO);
	assert_non_null(w->queue.broken);
	assert_int_equal(pop(w), -EPROTO); /* and stays so */
	assert_int_equal(virtq_arm(&w->queue), 0);
	assert_false(virtq_want_more(&w->queue, 0));
	world_close(w);
}

static void test_pop(void **state)
{
	struct world *w = world_open(false, false);

	assert_int_equal(pop(w), 0);
	w->desc[3] = (struct virtq_desc){DATA, 100, VIRTQ_DESC_NEXT, 5};
	w->desc[5] = (struct virtq_desc){DATA + 0x1000, 0, VIRTQ_DESC_NEXT, 1};
	w->desc[1] = (struct virtq_desc){DATA + 0x2000, 50, VIRTQ_DESC_WRITE, 77};
	offer(w, 3);
	assert_true(virtq_want_more(&w->queue, 0));
	assert_int_equal(virtq_arm(&w->queue), 1);
	assert_int_equal(pop(w), 1);
	assert_int_equal(w->chain.head, 3);
	assert_int_equal(w->chain.out_count, 1);
	assert_int_equal(w->chain.in_count, 1);
	assert_int_equal(w->chain.out_len, 100);
	assert_int_equal(w->chain.in_len, 50);
	assert_int_equal(w->chain.gpa[1], DATA + 0x2000);
	assert_int_equal(pop(w), 0);
	virtq_unpop(&w->queue, 1);
	assert_int_equal(pop(w), 1);
	world_close(w);
}

static void test_chain_copy(void **state)
{
	struct world *w = world_open(false, false);
	uint8_t *data = memory_ptr(&w->mem, DATA, 0x1000);
	struct virtq_span spans[2];
	struct virtq_held held;
	uint8_t buf[32];

	for (unsigned i = 0; i < 32; i++)
		data[i] = i;
	w->desc[0] = (struct virtq_desc){DATA, 5, VIRTQ_DESC_NEXT, 1};
	w->desc[1] = (struct virtq_desc){DATA + 5, 7, VIRTQ_DESC_NEXT, 2};
	w->desc[2] = (struct virtq_desc){DATA + 100, 4, VIRTQ_DESC_NEXT | VIRTQ_DESC_WRITE, 3};
	w->desc[3] = (struct virtq_desc){DATA + 200, 4, VIRTQ_DESC_WRITE, 0};
	offer(w, 0);
	assert_int_equal(pop(w), 1);
	assert_int_equal(virtq_chain_read(&w->chain, 3, buf, 32), 9);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(buf[i], i + 3);
	assert_int_equal(virtq_chain_read(&w->chain, 12, buf, 32), 0);
	assert_int_equal(virtq_chain_read(&w->chain, UINT64_MAX, buf, 32), 0);
	w->written = 0;
	assert_int_equal(virtq_chain_write(&w->mem, &w->chain, 2, "abcdefgh", 8), 6);
	assert_int_equal(w->written, 6);
	assert_memory_equal(data + 100, "\0\0ab", 4);
	assert_memory_equal(data + 200, "cdef\0", 5);
	/* What is held of it: its places, while the chain is another. */
	virtq_chain_hold(&w->chain, &held, spans);
	memset(&w->chain, 0, sizeof w->chain);
	assert_int_equal(held.head, 0);
	assert_int_equal(held.count, 2);
	assert_int_equal(held.in[0].gpa, DATA + 100);
	assert_int_equal(held.in[1].gpa, DATA + 200);
	assert_int_equal(held.in[1].len, 4);
	world_close(w);
}

static void test_used_without_event_idx(void **state)
{
	struct world *w = world_open(false, false);

	assert_false(virtq_publish(&w->queue)); /* nothing to show */
	for (unsigned i = 0; i < 20; i++) {
		virtq_push(&w->queue, i % SIZE, i);
		assert_int_equal(w->used->idx, i);
		w->avail->flags = i & 1 ? VIRTQ_AVAIL_NO_INTERRUPT : 0;
		w->written = 0;
		assert_int_equal(virtq_publish(&w->queue), !(i & 1));
		assert_int_equal(w->used->idx, i + 1);
		assert_int_equal(w->used->ring[i % SIZE].id, i % SIZE);
		assert_int_equal(w->used->ring[i % SIZE].len, i);
		assert_int_equal(w->written, 8 + 4);
	}
	virtq_ignore(&w->queue);
	assert_int_equal(w->used->flags, VIRTQ_USED_NO_NOTIFY);
	assert_false(virtq_want_more(&w->queue, 0));
	assert_int_equal(w->used->flags, 0);
	offer(w, 0);
	assert_true(virtq_want_more(&w->queue, 0));
	assert_false(virtq_want_more(&w->queue, 1));
	/* an index that goes back breaks the queue, of which no more is wanted */
	assert_true(virtq_want_more(&w->queue, 2));
	assert_non_null(w->queue.broken);
	assert_false(virtq_want_more(&w->queue, 0));
	world_close(w);
}

static void test_event_idx(void **state)
{
	struct world *w = world_open(false, true);
	uint16_t *used_event = &w->avail->ring[SIZE];
	uint16_t *avail_event = (uint16_t *)&w->used->ring[SIZE];

	/* Interrupt only when the index passes used_event. */
	*used_event = 1;
	virtq_push(&w->queue, 0, 0);
	assert_false(virtq_publish(&w->queue));
	virtq_push(&w->queue, 0, 0);
	assert_true(virtq_publish(&w->queue));
	virtq_push(&w->queue, 0, 0);
	assert_false(virtq_publish(&w->queue));
	/* Around the end of 16 bits, in one batch. */
	w->queue.used_idx = w->queue.used_next = w->used->idx = 65534;
	*used_event = 65535;
	for (unsigned i = 0; i < 4; i++)
		virtq_push(&w->queue, 0, 0);
	assert_true(virtq_publish(&w->queue));
	assert_int_equal(w->used->idx, 2);

	w->desc[0] = (struct virtq_desc){DATA, 1, 0, 0};
	for (unsigned i = 0; i < 5; i++)
		offer(w, 0);
	assert_int_equal(virtq_arm(&w->queue), 5);
	assert_int_equal(*avail_event, 5);
	assert_int_equal(pop(w), 1);
	assert_true(virtq_want_more(&w->queue, 0));
	assert_int_equal(*avail_event, 1);
	assert_false(virtq_want_more(&w->queue, 4));
	assert_int_equal(*avail_event, 5);
	world_close(w);
}

static void test_indirect(void **state)
{
	struct world *w = world_open(true, false);

	w->desc[0] = (struct virtq_desc){DATA, 16, VIRTQ_DESC_NEXT, 1};
	w->desc[1] = (struct virtq_desc){TABLE + 1, 3 * 16, VIRTQ_DESC_INDIRECT, 0};
	/* A table need not be aligned. */
	struct virtq_desc table[3] = {
		{DATA + 100, 10, VIRTQ_DESC_NEXT, 2},
		{DATA + 300, 30, VIRTQ_DESC_WRITE, 0},
		{DATA + 200, 20, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1},
	};

	memcpy((char *)w->table + 1, table, sizeof(table));
	offer(w, 0);
	assert_int_equal(pop(w), 1);
	assert_int_equal(w->chain.out_count, 2);
	assert_int_equal(w->chain.in_count, 2);
	assert_int_equal(w->chain.out_len, 26);
	assert_int_equal(w->chain.in_len, 50);
	world_close(w);
}

static void test_impossible_queues(void **state)
{
	static const struct {
		uint16_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{0, DESC, AVAIL, USED},
		{3, DESC, AVAIL, USED},
		{512, DESC, AVAIL, USED},
		{32768, DESC, AVAIL, USED},
		{SIZE, DESC + 8, AVAIL, USED},
		{SIZE, DESC, AVAIL + 1, USED},
		{SIZE, DESC, AVAIL, USED + 2},
		{SIZE, MEMORY, AVAIL, USED},
		{SIZE, MEMORY - 16, AVAIL, USED},
		{SIZE, DESC, MEMORY - 4, USED},
		{SIZE, DESC, AVAIL, MEMORY - 8},
		{SIZE, UINT64_MAX - 15, AVAIL, USED},
		{SIZE, DESC, UINT64_MAX - 1, USED},
		{SIZE, DESC, AVAIL, 0xfffffffffffffffcull},
	};
	struct world *w = world_open(true, true);

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		virtq_reset(&w->queue);
		w->queue.size = bad[i].size;
		w->queue.desc_gpa = bad[i].desc;
		w->queue.avail_gpa = bad[i].avail;
		w->queue.used_gpa = bad[i].used;
		assert_false(virtq_enable(&w->queue, true, true));
		/* Not enabled, it does nothing. */
		assert_int_equal(pop(w), 0);
		virtq_push(&w->queue, 1, 1);
		assert_false(virtq_publish(&w->queue));
		assert_false(virtq_want_more(&w->queue, 0));
		assert_int_equal(virtq_arm(&w->queue), 0);
	}
	world_close(w);
}

static void test_index_jumps(void **state)
{
	struct world *w = world_open(false, false);

	w->avail->idx = SIZE + 1;
	expect_broken(w);
	w = world_open(false, true);
	w->avail->idx = 65535;
	assert_int_equal(virtq_arm(&w->queue), 0);
	expect_broken(w);
}

static void test_bad_head(void **state)
{
	struct world *w = world_open(false, false);

	offer(w, SIZE);
	expect_broken(w);
	w = world_open(false, false);
	offer(w, 65535);
	expect_broken(w);
}

static void test_loops(void **state)
{
	struct world *w = world_open(false, false);

	w->desc[0] = (struct virtq_desc){DATA, 1, VIRTQ_DESC_NEXT, 0};
	offer(w, 0);
	expect_broken(w);

	w = world_open(false, false); /* of empty buffers, which count for nothing else */
	w->desc[0] = (struct virtq_desc){DATA, 0, VIRTQ_DESC_NEXT, 1};
	w->desc[1] = (struct virtq_desc){DATA, 0, VIRTQ_DESC_NEXT, 0};
	offer(w, 0);
	expect_broken(w);

	w = world_open(true, false); /* inside a table of a million */
	w->desc[0] = (struct virtq_desc){0, 16 << 12, VIRTQ_DESC_INDIRECT, 0};
	w->table = memory_ptr(&w->mem, 0, 32);
	w->table[0] = (struct virtq_desc){DATA, 0, VIRTQ_DESC_NEXT, 0};
	offer(w, 0);
	expect_broken(w);
}

static void test_bad_links(void **state)
{
	struct world *w = world_open(true, false);

	w->desc[0] = (struct virtq_desc){DATA, 1, VIRTQ_DESC_NEXT, SIZE};
	offer(w, 0);
	expect_broken(w);

	w = world_open(true, false);
	w->desc[0] = (struct virtq_desc){TABLE, 32, VIRTQ_DESC_INDIRECT, 0};
	w->table[0] = (struct virtq_desc){DATA, 1, VIRTQ_DESC_NEXT, 2};
	offer(w, 0);
	expect_broken(w);

	w = world_open(true, false); /* one to read behind one to write */
	w->desc[0] = (struct virtq_desc){DATA, 1, VIRTQ_DESC_WRITE | VIRTQ_DESC_NEXT, 1};
	w->desc[1] = (struct virtq_desc){DATA, 1, 0, 0};
	offer(w, 0);
	expect_broken(w);
}

static void test_bad_buffers(void **state)
{
	static const struct virtq_desc bad[] = {
		{MEMORY, 1, 0, 0},
		{MEMORY - 1, 2, 0, 0},
		{0, 0xffffffff, 0, 0},
		{UINT64_MAX, 1, VIRTQ_DESC_WRITE, 0},
		{UINT64_MAX - 4094, 4096, VIRTQ_DESC_WRITE, 0},
		{0x8000000000000000ull, 16, 0, 0},
		{MEMORY_LOW_END, 16, 0, 0},
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct world *w = world_open(true, false);

		w->desc[0] = bad[i];
		offer(w, 0);
		expect_broken(w);
	}
}

static void test_bad_indirect(void **state)
{
	static const struct virtq_desc bad[] = {
		{TABLE, 0, VIRTQ_DESC_INDIRECT, 0},
		{TABLE, 15, VIRTQ_DESC_INDIRECT, 0},
		{TABLE, 17, VIRTQ_DESC_INDIRECT, 0},
		{TABLE, 16, VIRTQ_DESC_INDIRECT | VIRTQ_DESC_NEXT, 1},
		{MEMORY, 16, VIRTQ_DESC_INDIRECT, 0},
		{MEMORY - 8, 16, VIRTQ_DESC_INDIRECT, 0},
		{0, 0xfffffff0, VIRTQ_DESC_INDIRECT, 0},
	};
	struct world *w;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		w = world_open(true, false);
		w->desc[0] = bad[i];
		offer(w, 0);
		expect_broken(w);
	}
	w = world_open(false, false); /* not negotiated */
	w->desc[0] = (struct virtq_desc){TABLE, 16, VIRTQ_DESC_INDIRECT, 0};
	w->table[0] = (struct virtq_desc){DATA, 1, 0, 0};
	offer(w, 0);
	expect_broken(w);

	w = world_open(true, false); /* a table in a table */
	w->desc[0] = (struct virtq_desc){TABLE, 16, VIRTQ_DESC_INDIRECT, 0};
	w->table[0] = (struct virtq_desc){TABLE, 16, VIRTQ_DESC_INDIRECT, 0};
	offer(w, 0);
	expect_broken(w);
}

static void test_too_many_buffers(void **state)
{
	struct world *w = world_open(true, false);
	struct virtq_desc *table = memory_ptr(&w->mem, 0x10000, 16 * 300);

	w->desc[0] = (struct virtq_desc){0x10000, 16 * 300, VIRTQ_DESC_INDIRECT, 0};
	for (unsigned i = 0; i < 300; i++)
		table[i] = (struct virtq_desc){DATA, 1, VIRTQ_DESC_NEXT, i + 1};
	table[VIRTQ_SEGMENTS - 1].flags = 0;
	offer(w, 0);
	assert_int_equal(pop(w), 1);
	assert_int_equal(w->chain.out_count, VIRTQ_SEGMENTS);
	table[VIRTQ_SEGMENTS - 1].flags = VIRTQ_DESC_NEXT;
	table[VIRTQ_SEGMENTS].flags = 0;
	offer(w, 0);
	expect_broken(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pop),
		cmocka_unit_test(test_chain_copy),
		cmocka_unit_test(test_used_without_event_idx),
		cmocka_unit_test(test_event_idx),
		cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_impossible_queues),
		cmocka_unit_test(test_index_jumps),
		cmocka_unit_test(test_bad_head),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_bad_links),
		cmocka_unit_test(test_bad_buffers),
		cmocka_unit_test(test_bad_indirect),
		cmocka_unit_test(test_too_many_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
