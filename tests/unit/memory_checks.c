/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine makes of guest memory that comes, goes and changes, against a model. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_guest.h"

#define PAGE 4096u
#define BANKS 5u
#define MOST_MAPPED 8u
#define NOWHERE UINT32_MAX

/* Host memory, and what it ought to hold. */
struct bank {
	struct memory_region region;
	uint8_t *model;
	struct page_door door;
	bool *written; /* by page, since the log was read */
};

/* What is mapped where, and the guest that sees it. */
struct world {
	struct guest g;
	uint64_t seed;
	struct bank bank[BANKS];
	struct memory_region mapped[MOST_MAPPED];
	unsigned of_bank[MOST_MAPPED], count;
	bool logs;
	unsigned too_many; /* pages in the log that were not written */
	struct guest_step expected[GUEST_CPUS][SCRIPT_STEPS];
};

static uint64_t below(struct world *w, uint64_t limit)
{
	return guest_random(&w->seed) % limit;
}

static const struct memory_region *mapped_at(const struct world *w, uint64_t gpa, unsigned *bank)
{
	for (unsigned i = 0; i < w->count; i++)
		if (region_holds(&w->mapped[i], gpa)) {
			*bank = w->of_bank[i];
			return &w->mapped[i];
		}
	return NULL;
}

/* Where the model keeps the byte at gpa, or NULL; *read_only if it cannot be written. */
static uint8_t *model_at(struct world *w, uint64_t gpa, bool *read_only)
{
	unsigned bank = 0;
	const struct memory_region *r = mapped_at(w, gpa, &bank);

	if (!r)
		return NULL;
	*read_only = r->read_only;
	return w->bank[bank].model + (r->host - w->bank[bank].region.host) + (gpa - r->gpa);
}

/* The byte at gpa, which is there, is written. */
static void model_mark(struct world *w, uint64_t gpa)
{
	unsigned bank = 0;
	const struct memory_region *r = mapped_at(w, gpa, &bank);

	w->bank[bank].written[(r->host - w->bank[bank].region.host + (gpa - r->gpa)) / PAGE] = true;
}

static uint64_t model_read(struct world *w, uint64_t gpa)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++) {
		bool read_only;
		const uint8_t *at = model_at(w, gpa + i, &read_only);

		value |= (uint64_t)(at ? *at : guest_device_byte(gpa + i)) << 8 * i;
	}
	return value;
}

static void model_write(struct world *w, uint64_t gpa, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++) {
		bool read_only = false;
		uint8_t *at = model_at(w, gpa + i, &read_only), byte = (uint8_t)(value >> 8 * i);

		if (at && !read_only) {
			*at = byte;
			model_mark(w, gpa + i);
		} else {
			w->g.device_expected += guest_device_sum(gpa + i, &byte, 1);
		}
	}
}

/* --- changes --------------------------------------------------------------------------------- */

static void map_some(struct world *w)
{
	unsigned b = (unsigned)below(w, BANKS), dummy;
	const struct memory_region *all = &w->bank[b].region;
	uint64_t pages = all->size / PAGE, first = below(w, 3) ? 0 : below(w, pages);
	uint64_t count = below(w, 3) ? pages - first : 1 + below(w, pages - first);
	struct memory_region r = {.gpa = AREA + below(w, AREA_SIZE / PAGE - count) * PAGE,
		.size = count * PAGE,
		.host = all->host + first * PAGE,
		.fd = all->fd,
		.offset = all->offset + first * PAGE,
		.read_only = !below(w, 4),
		.door = &w->bank[b].door,
		.door_page = first};
	struct error err = {0};
	bool free = true;
	int rc;

	if (count >= 1024 && below(w, 2))
		r.gpa = AREA + AREA_LARGE + below(w, 3) * 0x200000;
	for (unsigned i = 0; i < w->count; i++)
		if (w->of_bank[i] == b)
			return;
	for (uint64_t at = r.gpa; at < r.gpa + r.size; at += PAGE)
		free &= !mapped_at(w, at, &dummy);
	if (free && w->count == MOST_MAPPED)
		return;
	rc = w->g.engine->vm_map(w->g.vm, &r, &err);
	EXPECT(&w->g, rc == (free ? 0 : -EEXIST));
	if (rc)
		return;
	w->of_bank[w->count] = b;
	w->mapped[w->count++] = r;
}

static void change(struct world *w)
{
	struct error err = {0};
	struct memory_region *r;
	unsigned i;

	if (w->count < 3 || !below(w, 3)) {
		map_some(w);
		return;
	}
	i = (unsigned)below(w, w->count);
	r = &w->mapped[i];
	switch (below(w, 3)) {
	case 0:
		EXPECT(&w->g,
			w->g.engine->vm_protect(w->g.vm, r->gpa, r->size, !r->read_only, &err) ==
				0);
		r->read_only = !r->read_only;
		break;
	case 1:
		EXPECT(&w->g, w->g.engine->vm_unmap(w->g.vm, r->gpa, r->size, &err) == 0);
		w->count--;
		w->mapped[i] = w->mapped[w->count];
		w->of_bank[i] = w->of_bank[w->count];
		break;
	default:
		/* half of it is no region */
		EXPECT(&w->g, w->g.engine->vm_unmap(w->g.vm, r->gpa, r->size / 2, &err) == -EINVAL);
	}
}

/* A device writes a few bytes of what is mapped. */
static void device_write(struct world *w)
{
	const struct memory_region *r = &w->mapped[below(w, w->count)];
	uint64_t at = below(w, r->size / 8) * 8, value = guest_random(&w->seed);
	bool read_only;

	memcpy(r->host + at, &value, 8);
	memcpy(model_at(w, r->gpa + at, &read_only), &value, 8);
	model_mark(w, r->gpa + at);
	page_door_mark(r->door, r->door_page + at / PAGE, 1);
	w->g.engine->vm_written(w->g.vm, r->gpa + at, 8);
}

/* Begins or ends to follow writes. */
static void switch_log(struct world *w)
{
	struct error err = {0};

	w->logs = !w->logs;
	for (unsigned b = 0; b < BANKS; b++) {
		EXPECT(&w->g, page_door_log(&w->bank[b].door, PAGE_LOG_MOVE, w->logs, &err) == 0);
		memset(w->bank[b].written, 0, w->bank[b].region.size / PAGE);
	}
	for (unsigned i = 0; i < w->count; i++)
		EXPECT(&w->g,
			w->g.engine->vm_door(w->g.vm, w->mapped[i].gpa, w->mapped[i].size, &err) ==
				0);
}

/* The log of a region, or of a part of it, has each page that was written since, and as few others as may be. */
static void read_log(struct world *w)
{
	for (unsigned i = 0; i < w->count && w->logs; i++) {
		struct memory_region part = w->mapped[i];
		struct bank *bank = &w->bank[w->of_bank[i]];
		uint64_t bits[20] = {0}, skip = below(w, 3) ? 0 : below(w, part.size / PAGE);

		part.gpa += skip * PAGE;
		part.size -= skip * PAGE;
		part.door_page += skip;
		engine_log_read(w->g.engine, w->g.vm, &part, PAGE_LOG_MOVE, bits, 3);
		for (uint64_t k = 0; k < part.size / PAGE; k++) {
			bool *written = &bank->written[part.door_page + k];

			EXPECT(&w->g, !*written || page_bit(bits, k + 3));
			w->too_many += !*written && page_bit(bits, k + 3);
			*written = false;
		}
	}
}

/* --- scripts ----------------------------------------------------------------------------------- */

/* In or beside what is mapped, or anywhere. With two processors each has words of its own. */
static uint64_t some_address(struct world *w, unsigned cpu, bool aligned)
{
	const struct memory_region *r = &w->mapped[below(w, w->count)];
	uint64_t at = r->gpa + below(w, r->size), step = 8 * w->g.cpus;

	switch (below(w, 8)) {
	case 0:
		at = r->gpa - 16 + below(w, 32);
		break;
	case 1:
		at = r->gpa + r->size - 16 + below(w, 32);
		break;
	case 2:
		at = AREA + below(w, AREA_SIZE - 64);
		break;
	case 3:
		at = (at & ~0xfffull) + 0xff0 + below(w, 24);
		break;
	case 4:
	case 5:
		at = (at & ~0xfffull) + 0x80 + below(w, 32); /* often the same ones */
	}
	if (at < AREA + 64)
		at = AREA + 64;
	if (at > AREA + AREA_SIZE - 1024)
		at = AREA + AREA_SIZE - 1024;
	return aligned || w->g.cpus > 1 ? at / step * step + 8ull * cpu : at;
}

/* MOV EAX, imm32; RET */
static uint64_t code_for(uint32_t value)
{
	return 0xb8 | (uint64_t)value << 8 | 0xc3ull << 40;
}

static bool is_code(struct world *w, uint64_t gpa)
{
	uint64_t is = model_read(w, gpa);
	bool read_only;

	for (unsigned i = 0; i < 6; i++)
		if (!model_at(w, gpa + i, &read_only))
			return false;
	return (is & 0xff) == 0xb8 && (is >> 40 & 0xff) == 0xc3;
}

/* What the step does to the model, and what it leaves in value. */
static void expect_step(struct world *w, struct guest_step *s)
{
	uint64_t old = model_read(w, s->address), at;

	switch (s->op) {
	case GUEST_READ:
		s->value = old;
		break;
	case GUEST_WRITE:
		model_write(w, s->address, s->value);
		break;
	case GUEST_CALL:
		s->value = (uint32_t)(old >> 8);
		break;
	case GUEST_ADD:
		model_write(w, s->address, old + s->value);
		s->value = old;
		break;
	case GUEST_BIT:
		at = s->address + 8 * (s->value / 64);
		model_write(w, at, model_read(w, at) | 1ull << s->value % 64);
		break;
	case GUEST_FILL:
		for (unsigned i = 0; i < (s->value & 0xff); i++)
			model_write(w, s->address + 8 * i, s->value);
	}
}

static struct guest_step some_step(struct world *w, unsigned cpu)
{
	struct guest_step s = {.value = guest_random(&w->seed)};
	unsigned bank;
	const struct memory_region *r;

	s.op = (uint64_t[]){GUEST_READ, GUEST_READ, GUEST_WRITE, GUEST_WRITE, GUEST_CALL,
		GUEST_CALL, GUEST_ADD, GUEST_BIT, GUEST_FILL}[below(w, 9)];
	s.address = some_address(w, cpu, s.op > GUEST_WRITE);
	r = mapped_at(w, s.address, &bank);
	if (s.op == GUEST_BIT)
		s.value %= w->g.cpus > 1 ? 64 : 256;
	if (s.op == GUEST_FILL)
		s.value = (s.value & ~0xffull) | (w->g.cpus > 1 ? 1 : below(w, 40));
	/* KVM's emulator knows no locked access to read-only memory */
	if ((s.op == GUEST_ADD || s.op == GUEST_BIT) && w->g.engine->kind == CPUID_KVM &&
		(!r || r->read_only))
		s.op = GUEST_READ;
	if (s.op == GUEST_CALL && !is_code(w, s.address)) {
		s.op = GUEST_WRITE;
		s.value = code_for((uint32_t)s.value);
	}
	return s;
}

static void run_scripts(struct world *w)
{
	struct guest *g = &w->g;

	for (unsigned n = 0; n < g->cpus; n++) {
		uint64_t last = 0;
		unsigned count = 1 + (unsigned)below(w, SCRIPT_STEPS - 1);

		for (unsigned i = 0; i < count; i++) {
			struct guest_step s = some_step(w, n);

			/* what has just been written is run, as often as not */
			if (last && below(w, 2) && is_code(w, last))
				s = (struct guest_step){.op = GUEST_CALL, .address = last};
			last = s.op == GUEST_WRITE ? s.address : 0;
			g->script[n][i] = s;
			expect_step(w, &s);
			w->expected[n][i] = s;
		}
		g->script[n][count] = w->expected[n][count] = (struct guest_step){0};
	}
	guest_run(g);
	for (unsigned n = 0; n < g->cpus; n++) {
		EXPECT(g, g->exit[n] == ENGINE_EXIT_HALT);
		for (unsigned i = 0; g->script[n][i].op; i++)
			if (g->script[n][i].op != GUEST_FILL && g->script[n][i].op != GUEST_BIT)
				EXPECT(g, g->script[n][i].value == w->expected[n][i].value);
	}
	EXPECT(g, g->device_writes == g->device_expected);
}

static void compare(struct world *w)
{
	for (unsigned b = 0; b < BANKS; b++)
		EXPECT(&w->g,
			!memcmp(w->bank[b].region.host, w->bank[b].model, w->bank[b].region.size));
}

/* --- the checks -------------------------------------------------------------------------------- */

static void make_banks(struct world *w)
{
	static const unsigned pages[BANKS] = {1, 3, 16, 64, 1024};

	for (unsigned b = 0; b < BANKS; b++) {
		struct bank *bank = &w->bank[b];

		bank->region = guest_file(pages[b] * PAGE, b * 3 * PAGE);
		bank->model = malloc(pages[b] * PAGE);
		bank->written = calloc(pages[b], sizeof(bool));
		page_door_init(&bank->door, bank->region.host, bank->region.size);
		for (uint64_t at = 0; at < bank->region.size; at += 8) {
			uint64_t value = at % PAGE < 0x100 ? code_for((uint32_t)at ^ b << 24)
							   : guest_random(&w->seed);

			memcpy(bank->region.host + at, &value, 8);
		}
		memcpy(bank->model, bank->region.host, bank->region.size);
	}
}

unsigned check_map_rounds(const struct guest_kind *kind, unsigned rounds, uint64_t seed)
{
	struct world *w = calloc(1, sizeof *w);
	unsigned failures;

	w->seed = seed;
	if (!guest_create(&w->g, kind))
		return 1;
	make_banks(w);
	for (unsigned i = 0; i < rounds && !w->g.failures; i++) {
		for (unsigned n = 1 + (unsigned)below(w, 3); n; n--)
			change(w);
		if (!w->count)
			continue;
		if (!below(w, 8))
			switch_log(w);
		if (!below(w, 3))
			device_write(w);
		run_scripts(w);
		if (below(w, 3))
			read_log(w);
		if (i % 16 == 0)
			compare(w);
		if (w->g.failures)
			fprintf(stderr, "in round %u of seed %llu\n", i, (unsigned long long)seed);
	}
	compare(w);
	/* KVM counts pages that it has only made ready to be written */
	if (kind->engine->kind == CPUID_KVM)
		printf("%u pages too many in the log\n", w->too_many);
	else
		EXPECT(&w->g, w->too_many == 0);
	EXPECT(&w->g, !kind->uses || guest_counter(&w->g, kind->uses) > rounds);
	failures = w->g.failures;
	guest_destroy(&w->g);
	for (unsigned b = 0; b < BANKS; b++) {
		guest_file_close(&w->bank[b].region);
		page_door_destroy(&w->bank[b].door);
		free(w->bank[b].model);
		free(w->bank[b].written);
	}
	free(w);
	return failures;
}

unsigned check_refused(const struct engine *engine)
{
	struct memory_region file = guest_file(0x10000, 0), r = file;
	struct error err = {0};
	struct guest g;
	unsigned made;

	if (!guest_create(&g, &(struct guest_kind){.engine = engine, .cpus = 1}))
		return 1;
	r.gpa = AREA;
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == 0);
	r.gpa = AREA + 0x8000; /* overlaps itself */
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == -EEXIST);
	r.gpa = AREA + 0x100000; /* the same bytes twice */
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == -EINVAL);
	r.gpa = AREA + 0x100010;
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == -EINVAL);
	r.gpa = ~0xfffull;
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == -EINVAL);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA, 0x8000, &err) == -EINVAL);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA + 0x8000, 0x8000, &err) == -EINVAL);
	EXPECT(&g, engine->vm_protect(g.vm, AREA, 0x8000, true, &err) == -EINVAL);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA, 0, &err) == -EINVAL);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA, 0x10000, &err) == 0);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA, 0x10000, &err) == -EINVAL);
	/* read-only, the same bytes may be there twice, but not be made writable */
	r.read_only = true;
	r.gpa = AREA;
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == 0);
	r.gpa = AREA + 0x100000;
	EXPECT(&g, engine->vm_map(g.vm, &r, &err) == 0);
	EXPECT(&g, engine->vm_protect(g.vm, AREA, 0x10000, false, &err) == -EINVAL);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA + 0x100000, 0x10000, &err) == 0);
	EXPECT(&g, engine->vm_protect(g.vm, AREA, 0x10000, false, &err) == 0);
	EXPECT(&g, engine->vm_unmap(g.vm, AREA, 0x10000, &err) == 0);
	/* as many as there may be, and one */
	for (made = 0; made < 2 * REGIONS_MAX; made++) {
		r = (struct memory_region){.gpa = AREA + 0x2000ull * made,
			.size = PAGE,
			.host = file.host,
			.fd = file.fd,
			.read_only = true};
		if (engine->vm_map(g.vm, &r, &err))
			break;
	}
	EXPECT(&g, made == REGIONS_MAX - 1); /* beside RAM */
	guest_destroy(&g);
	guest_file_close(&file);
	return g.failures;
}

#define TORN (AREA + AREA_LARGE)

static uint64_t call_torn(struct guest *g)
{
	g->script[0][0] = (struct guest_step){.op = GUEST_CALL, .address = TORN + 0xffb};
	g->script[0][1] = (struct guest_step){0};
	guest_run(g);
	EXPECT(g, g->exit[0] == ENGINE_EXIT_HALT);
	return g->script[0][0].value;
}

/*
 * An instruction that goes on where nothing is reads ones there, for the translator; and is another
 * when something comes to be there, or goes.
 */
unsigned check_torn(const struct guest_kind *kind)
{
	/* jmp [rdi + ...f105], of whose displacement the last byte is in the next page: ff or 00 */
	static const uint8_t jump[] = {0xff, 0xa7, 0x05, 0xf1, 0xff};
	struct memory_region pages = guest_file(3 * PAGE, 0), part[3];
	const uint64_t at[3] = {TORN, TORN + PAGE, TORN + 0x1000000},
		       to[2] = {TORN + 0x180, TORN + 0x190};
	const uint64_t code[2] = {code_for(1), code_for(2)};
	struct error err = {0};
	struct guest g;

	if (!guest_create(&g, kind))
		return 1;
	memcpy(pages.host + 0xffb, jump, sizeof jump);
	memcpy(pages.host + 0x100, &to[0], 8);
	memcpy(pages.host + 0x180, &code[0], 8);
	memcpy(pages.host + 0x190, &code[1], 8);
	memcpy(pages.host + 2 * PAGE + 0x100, &to[1], 8);
	for (unsigned i = 0; i < 3; i++) {
		part[i] = pages;
		part[i].gpa = at[i];
		part[i].size = PAGE;
		part[i].host += i * PAGE;
		part[i].offset += i * PAGE;
		if (i != 1)
			EXPECT(&g, kind->engine->vm_map(g.vm, &part[i], &err) == 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		EXPECT(&g, call_torn(&g) == 1);
		EXPECT(&g, kind->engine->vm_map(g.vm, &part[1], &err) == 0);
		EXPECT(&g, call_torn(&g) == 2);
		EXPECT(&g, kind->engine->vm_unmap(g.vm, at[1], PAGE, &err) == 0);
	}
	guest_destroy(&g);
	guest_file_close(&pages);
	return g.failures;
}
