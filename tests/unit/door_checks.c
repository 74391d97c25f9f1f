/* SPDX-License-Identifier: Apache-2.0 */
/* The door of guest memory (cpu/page_door.h), asked while the guest runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_guest.h"

#define PAGE 4096u

/* A region that busy guests write, in small pages or large ones, and its door. */
struct busy {
	struct guest g;
	struct memory_region region;
	struct page_door door;
	uint64_t told[16]; /* pages that the log has ever named, as bits */
};

static bool begin(struct busy *b, const struct guest_kind *kind, uint64_t gpa, uint64_t size)
{
	struct error err = {0};

	memset(b, 0, sizeof *b);
	if (!guest_create(&b->g, kind))
		return false;
	b->region = guest_file(size, 0);
	page_door_init(&b->door, b->region.host, size);
	b->region.gpa = gpa;
	b->region.door = &b->door;
	EXPECT(&b->g, kind->engine->vm_map(b->g.vm, &b->region, &err) == 0);
	for (unsigned n = 0; n < kind->cpus; n++)
		b->g.script[n][0] = (struct guest_step){.op = GUEST_BUSY,
			.address = gpa,
			.value = size / PAGE / 2};
	return true;
}

static unsigned end(struct busy *b)
{
	guest_destroy(&b->g);
	page_door_destroy(&b->door);
	guest_file_close(&b->region);
	return b->g.failures;
}

static void stop(struct busy *b)
{
	guest_kick(&b->g);
	guest_wait(&b->g);
	for (unsigned n = 0; n < b->g.cpus; n++)
		EXPECT(&b->g, b->g.exit[n] == ENGINE_EXIT_INTERRUPTED);
}

/* As who moves a guest does: what has been written since the last look is copied. How many pages. */
static uint64_t copy_written(struct busy *b, uint8_t *copy, uint64_t *bits)
{
	uint64_t pages = b->region.size / PAGE, count = 0;

	memset(bits, 0, sizeof b->told);
	engine_log_read(b->g.engine, b->g.vm, &b->region, PAGE_LOG_MOVE, bits, 0);
	for (uint64_t i = 0; i < pages; i++)
		if (page_bit(bits, i)) {
			memcpy(copy + i * PAGE, b->region.host + i * PAGE, PAGE);
			page_bit_set(b->told, i);
			count++;
		}
	return count;
}

static unsigned copy_of(const struct guest_kind *kind, uint64_t gpa, uint64_t size, unsigned turns)
{
	struct busy b;
	struct error err = {0};
	uint8_t *copy = malloc(size);
	uint64_t *bits = calloc(1, sizeof b.told), copied = 0;

	if (!begin(&b, kind, gpa, size))
		return 1;
	/* it has been at it for a while */
	guest_start(&b.g);
	usleep(20000);
	stop(&b);
	EXPECT(&b.g, page_door_log(&b.door, PAGE_LOG_MOVE, true, &err) == 0);
	EXPECT(&b.g, page_door_log(&b.door, PAGE_LOG_DISPLAY, true, &err) == 0);
	EXPECT(&b.g, kind->engine->vm_door(b.g.vm, gpa, size, &err) == 0);
	memcpy(copy, b.region.host, size);
	EXPECT(&b.g, copy_written(&b, copy, bits) == 0);
	for (unsigned i = 0; i < turns; i++) {
		if (i % 8 == 0)
			guest_start(&b.g);
		usleep(i % 5 * 1000);
		copied += copy_written(&b, copy, bits);
		if (i % 8 < 7)
			continue;
		stop(&b);
		copied += copy_written(&b, copy, bits);
		EXPECT(&b.g, !memcmp(copy, b.region.host, size));
		EXPECT(&b.g, copy_written(&b, copy, bits) == 0);
	}
	EXPECT(&b.g, copied > turns / 8 * 8);
	/* another who follows them has been told of the same */
	memset(bits, 0, sizeof b.told);
	engine_log_read(b.g.engine, b.g.vm, &b.region, PAGE_LOG_DISPLAY, bits, 0);
	EXPECT(&b.g, !memcmp(bits, b.told, sizeof b.told));
	free(copy);
	free(bits);
	return end(&b);
}

unsigned check_copy(const struct guest_kind *kind, unsigned turns)
{
	/* few pages, and more than are looked for one by one; large ones too */
	return copy_of(kind, AREA, 16 * PAGE, turns) + copy_of(kind, AREA, 256 * PAGE, turns) +
		copy_of(kind, AREA + AREA_LARGE, 1024 * PAGE, turns);
}

/* --- pages that come late ---------------------------------------------------------------------- */

#define LAZY_PAGES 512u

static struct {
	unsigned brought[LAZY_PAGES], runs;
	unsigned fails_at; /* 1 + a page that cannot be had */
} lazy;

static uint64_t lazy_word(uint64_t page, uint64_t at)
{
	return (page << 32 | at) * 0x9e3779b97f4a7c15ull;
}

static int bring(void *ctx, uint64_t first, uint64_t count, void *to)
{
	__atomic_fetch_add(&lazy.runs, 1, __ATOMIC_SEQ_CST);
	usleep(100); /* so that others come to want it too */
	for (uint64_t i = 0; i < count; i++) {
		if (lazy.fails_at == first + i + 1)
			return -5;
		__atomic_fetch_add(&lazy.brought[first + i], 1, __ATOMIC_SEQ_CST);
		for (uint64_t at = 0; at < PAGE; at += 8) {
			uint64_t word = lazy_word(first + i, at);

			memcpy((uint8_t *)to + i * PAGE + at, &word, 8);
		}
	}
	return 0;
}

/* A device that reads pages while the guest does. */
static void *device(void *ctx)
{
	struct busy *b = ctx;
	uint64_t seed = 99;

	for (unsigned i = 0; i < 200; i++) {
		uint64_t page = guest_random(&seed) % LAZY_PAGES, word;

		EXPECT(&b->g, page_door_bring(&b->door, page, 1) == 0);
		memcpy(&word, b->region.host + page * PAGE + 0xf00, 8);
		EXPECT(&b->g, word == lazy_word(page, 0xf00));
	}
	return NULL;
}

/* Reads of all pages in some order, with writes behind some; each processor has its own words. */
static void read_all(struct busy *b, uint64_t *seed)
{
	for (unsigned n = 0; n < b->g.cpus; n++) {
		struct guest_step *s = b->g.script[n];

		for (unsigned i = 0; i < SCRIPT_STEPS - 1; i++)
			s[i] = (struct guest_step){.op = GUEST_READ,
				.address = b->region.gpa + guest_random(seed) % LAZY_PAGES * PAGE +
					0x80 + 8 * n};
		s[SCRIPT_STEPS - 1].op = GUEST_END;
	}
	guest_run(&b->g);
	for (unsigned n = 0; n < b->g.cpus; n++)
		for (unsigned i = 0; i < SCRIPT_STEPS - 1; i++) {
			uint64_t at = b->g.script[n][i].address - b->region.gpa;

			EXPECT(&b->g, b->g.script[n][i].value == lazy_word(at / PAGE, at % PAGE));
		}
}

unsigned check_lazy(const struct guest_kind *kind, unsigned cluster)
{
	struct busy b;
	struct error err = {0};
	uint64_t here[LAZY_PAGES / 64] = {1}, seed = 5;
	pthread_t thread;

	memset(&lazy, 0, sizeof lazy);
	if (!begin(&b, kind, AREA + AREA_LARGE - LAZY_PAGES * PAGE, LAZY_PAGES * PAGE))
		return 1;
	/* the first one is here already */
	for (uint64_t at = 0; at < PAGE; at += 8)
		memcpy(b.region.host + at, &(uint64_t){lazy_word(0, at)}, 8);
	EXPECT(&b.g, page_door_begin_lazy(&b.door, here, cluster, bring, NULL, &err) == 0);
	EXPECT(&b.g, kind->engine->vm_door(b.g.vm, b.region.gpa, b.region.size, &err) == 0);
	pthread_create(&thread, NULL, device, &b);
	for (unsigned i = 0; i < 4; i++)
		read_all(&b, &seed);
	pthread_join(thread, NULL);
	EXPECT(&b.g, lazy.brought[0] == 0);
	for (unsigned i = 1; i < LAZY_PAGES; i++) {
		EXPECT(&b.g, lazy.brought[i] <= 1);
		EXPECT(&b.g, lazy.brought[i] || !page_door_is_here(&b.door, i));
	}
	EXPECT(&b.g, lazy.runs <= LAZY_PAGES && lazy.runs >= LAZY_PAGES / cluster / 2);
	/* in the middle of a busy guest */
	b.g.script[0][0] = b.g.script[b.g.cpus - 1][0] = (struct guest_step){.op = GUEST_BUSY,
		.address = b.region.gpa,
		.value = LAZY_PAGES / 2};
	guest_start(&b.g);
	usleep(50000);
	stop(&b);
	EXPECT(&b.g, page_door_bring(&b.door, 0, LAZY_PAGES) == 0);
	for (unsigned i = 1; i < LAZY_PAGES; i++) {
		uint64_t word;

		EXPECT(&b.g, lazy.brought[i] == 1);
		memcpy(&word, b.region.host + i * PAGE + 0xf00, 8);
		EXPECT(&b.g, word == lazy_word(i, 0xf00));
	}
	page_door_end_lazy(&b.door);
	EXPECT(&b.g, kind->engine->vm_door(b.g.vm, b.region.gpa, b.region.size, &err) == 0);
	return end(&b);
}

/* A page that cannot be had ends the guest, before it goes on with anything else. */
unsigned check_lost(const struct guest_kind *kind)
{
	struct busy b;
	struct error err = {0};

	memset(&lazy, 0, sizeof lazy);
	lazy.fails_at = 1 + 7;
	if (!begin(&b, kind, AREA, LAZY_PAGES * PAGE))
		return 1;
	EXPECT(&b.g, page_door_begin_lazy(&b.door, NULL, 1, bring, NULL, &err) == 0);
	EXPECT(&b.g, kind->engine->vm_door(b.g.vm, b.region.gpa, b.region.size, &err) == 0);
	b.g.script[0][0] = (struct guest_step){.op = GUEST_READ, .address = AREA + 6 * PAGE};
	b.g.script[0][1] = (struct guest_step){.op = GUEST_READ, .address = AREA + 7 * PAGE};
	b.g.script[0][2] = (struct guest_step){.op = GUEST_WRITE, .address = AREA - 8};
	b.g.script[0][3] = (struct guest_step){0};
	guest_run(&b.g);
	EXPECT(&b.g, b.g.exit[0] == ENGINE_EXIT_ERROR);
	EXPECT(&b.g, b.g.script[0][0].value == lazy_word(6, 0));
	EXPECT(&b.g, b.g.device_writes == 0);
	return end(&b);
}
