/* SPDX-License-Identifier: Apache-2.0 */
/* The format of saved states: what is written is read, and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <time.h>

#include "state/file.h"
#include "state_rig.h"

/* A bit of everything. */
struct thing {
	bool flag;
	uint8_t byte;
	uint16_t half;
	uint32_t word, words[3];
	uint64_t wide, wides[2], when, never;
	int64_t below;
	char text[8];
	uint8_t raw[5];
	bool blob;
};

static void thing_describe(struct thing *t, unsigned n, struct state *s)
{
	const void *data = "a blob";
	size_t size = 6;

	state_begin(s, "thing", n, 2);
	state_bool(s, "flag", &t->flag);
	state_u8(s, "byte", &t->byte);
	state_group(s, "group", 7);
	state_u16(s, "half", &t->half);
	state_u32(s, "word", &t->word);
	state_group(s, NULL, 0);
	state_u32s(s, "words", t->words, 3);
	state_u64(s, "wide", &t->wide);
	state_u64s(s, "wides", t->wides, 2);
	state_i64(s, "below", &t->below);
	state_text(s, "text", t->text, sizeof t->text);
	state_bytes(s, "raw", t->raw, sizeof t->raw);
	state_blob(s, "blob", &data, &size);
	assert_true(state_ok(s) || !state_loading(s) || (!data && !size));
	t->blob = size == 6 && !memcmp(data, "a blob", 6);
	state_time(s, "when", &t->when);
	state_time(s, "never", &t->never);
	state_end(s);
}

static struct thing example(void)
{
	return (struct thing){.flag = true,
		.byte = 1,
		.half = 2,
		.word = 3,
		.words = {4, 5, UINT32_MAX},
		.wide = UINT64_MAX - 1,
		.wides = {6, 7},
		.below = -8,
		.text = "nine",
		.raw = {10, 11, 12, 13, 14},
		.when = clock_now() + 1000000000,
		.blob = true};
}

static void save_thing(struct bytes *b)
{
	const struct state_io io = {.write = bytes_write, .ctx = b};
	struct thing t = example();
	struct error err = {0};
	struct state *s;

	assert_int_equal(state_save(&io, "it", &s, &err), 0);
	state_clock(s);
	thing_describe(&t, 3, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

static int load_thing(struct bytes *b, struct thing *t, struct error *err)
{
	const struct state_io io = {.read = bytes_read, .ctx = b};
	struct state *s;
	int r;

	b->at = 0;
	err->text[0] = '\0';
	r = state_load(&io, "it", &s, err);
	if (r)
		return r;
	state_clock(s);
	thing_describe(t, 3, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static void round_trip(void **unused)
{
	struct thing t = {0}, e = example();
	struct bytes b = {0};
	struct error err;

	save_thing(&b);
	assert_int_equal(load_thing(&b, &t, &err), 0);
	assert_true(t.when > clock_now() && t.when < clock_now() + 2000000000);
	assert_int_equal(t.never, 0);
	t.when = e.when;
	assert_memory_equal(&t, &e, sizeof t);
	/* What comes behind the end is not read. */
	assert_int_equal(bytes_write(&b, "more", 4), 0);
	assert_int_equal(load_thing(&b, &t, &err), 0);
	assert_int_equal(b.at, b.len - 4);
	free(b.data);
}

/* Sections of one state become those of another, whose checksums they then have. */
static void spliced(void **unused)
{
	const struct state_io io = {.write = bytes_write};
	struct state_io own = io;
	struct bytes b = {0}, c = {0};
	struct thing t = {0};
	struct error err = {0};
	struct state *s;
	const size_t head = sizeof(struct state_header), end = sizeof(struct state_section);
	size_t clock;

	save_thing(&b);
	clock = head + end + ((struct state_section *)(b.data + head))->length;
	own.ctx = &c;
	assert_int_equal(state_save(&own, "it", &s, &err), 0);
	state_splice(s, b.data + head, clock - head);
	state_splice(s, b.data + clock, b.len - clock - end);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
	assert_int_equal(c.len, b.len);
	assert_memory_equal(c.data, b.data, b.len);
	/* In another place. */
	c.len = 0;
	assert_int_equal(state_save(&own, "it", &s, &err), 0);
	state_splice(s, b.data + clock, b.len - clock - end);
	state_splice(s, b.data + head, clock - head);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
	assert_int_equal(c.len, b.len);
	assert_memory_not_equal(c.data, b.data, b.len);
	/* No half ones. */
	for (size_t cut = 1; cut < clock - head; cut += 7) {
		assert_int_equal(state_save(&own, "it", &s, &err), 0);
		state_splice(s, b.data + head, cut);
		assert_int_equal(state_finish(s), -EINVAL);
		state_destroy(s);
	}
	assert_int_equal(load_thing(&b, &t, &err), 0);
	free(b.data);
	free(c.data);
}

static void damaged(void **unused)
{
	struct thing t, before = example();
	struct bytes b = {0};
	struct error err;

	save_thing(&b);
	for (size_t len = b.len; len-- > 0;) {
		struct bytes part = {.data = b.data, .len = len};

		t = before;
		assert_true(load_thing(&part, &t, &err) < 0);
		assert_non_null(strstr(err.text, "it: "));
	}
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.data[bit / 8] ^= 1u << bit % 8;
		assert_true(load_thing(&b, &t, &err) < 0);
		b.data[bit / 8] ^= 1u << bit % 8;
	}
	free(b.data);
}

/* With right checksums: a hostile state rather than a damaged one. */
static void hostile(void **unused)
{
	struct bytes b = {0};
	struct error err;
	struct thing t;

	save_thing(&b);
	for (size_t at = 0; at < b.len; at++) {
		static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};

		for (size_t i = 0; i < sizeof values; i++) {
			struct bytes copy = {.len = b.len, .data = malloc(b.len)};

			memcpy(copy.data, b.data, b.len);
			copy.data[at] = values[i];
			bytes_seal(&copy);
			load_thing(&copy, &t, &err);
			free(copy.data);
		}
	}
	free(b.data);
}

static struct state_section *section(struct bytes *b, const char *name)
{
	size_t at = sizeof(struct state_header);

	while (at < b->len) {
		struct state_section *found = (void *)(b->data + at);

		if (!strcmp(found->name, name))
			return found;
		at += sizeof *found + found->length;
	}
	return NULL;
}

static void newer(void **unused)
{
	struct bytes b = {0};
	struct error err;
	struct thing t;

	save_thing(&b);
	section(&b, "thing")->version = 3;
	bytes_seal(&b);
	assert_int_equal(load_thing(&b, &t, &err), -ENOTSUP);
	assert_string_equal(err.text,
		"it: saved by a newer dach: section thing of version 3, and this one reads up to "
		"version 2");
	section(&b, "thing")->version = 0;
	bytes_seal(&b);
	assert_int_equal(load_thing(&b, &t, &err), -EINVAL);
	section(&b, "thing")->version = 1;
	section(&b, "thing")->instance = 4;
	bytes_seal(&b);
	assert_int_equal(load_thing(&b, &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "thing 4 where thing 3 belongs"));

	((struct state_header *)b.data)->format = STATE_FILE_FORMAT + 1;
	assert_int_equal(load_thing(&b, &t, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "newer"));
	((struct state_header *)b.data)->format = STATE_FILE_FORMAT;
	assert_int_equal(load_thing(&b, &t, &err), -EINVAL);
	assert_string_equal(err.text, "it: saved as a file; as a stream it cannot be read");
	((struct state_header *)b.data)->format = STATE_FORMAT;
	((struct state_header *)b.data)->flags = 1;
	assert_int_equal(load_thing(&b, &t, &err), -ENOTSUP);
	b.data[0] = 'D';
	assert_int_equal(load_thing(&b, &t, &err), -EINVAL);
	assert_string_equal(err.text, "it: not a saved guest");
	free(b.data);
}

static int full_disk(void *ctx, const void *data, size_t len)
{
	unsigned *calls = ctx;

	return ++*calls > 3 ? -ENOSPC : 0;
}

static void not_written(void **unused)
{
	unsigned calls = 0;
	const struct state_io io = {.write = full_disk, .ctx = &calls};
	struct error err = {0};
	struct thing t = example();
	struct state *s;

	assert_int_equal(state_save(&io, "it", &s, &err), 0);
	thing_describe(&t, 0, s);
	thing_describe(&t, 1, s);
	assert_int_equal(state_finish(s), -ENOSPC);
	assert_string_equal(err.text, "it: cannot be written: No space left on device");
	assert_int_equal(calls, 4);
	state_destroy(s);
}

/* A state of an hour ago: what was due is due, and what was to come has come nearer. */
static void hour_ago(void **unused)
{
	struct state_section *clock;
	struct bytes b = {0};
	struct error err;
	struct thing t;
	uint64_t real;

	save_thing(&b);
	clock = section(&b, "clock");
	memcpy(&real, (uint8_t *)(clock + 1) + clock->length - 8, 8);
	real -= 3600ull * 1000000000;
	memcpy((uint8_t *)(clock + 1) + clock->length - 8, &real, 8);
	bytes_seal(&b);
	assert_int_equal(load_thing(&b, &t, &err), 0);
	assert_true(t.when < clock_now());
	real = 0;
	memcpy((uint8_t *)(clock + 1) + clock->length - 8, &real, 8);
	bytes_seal(&b);
	assert_int_equal(load_thing(&b, &t, &err), 0);
	assert_int_equal(t.when, 1);
	free(b.data);
}

/*
 * A section as three programs have it: the first, one with another field (version 2), and one that knows of
 * a rare part besides.
 */
struct grown {
	uint8_t first, second, rare, last;
};

enum program { FIRST = 1, SECOND, THIRD };

static void grown_describe(struct grown *g, enum program program, struct state *s)
{
	state_begin(s, "grown", 0, program == FIRST ? 1 : 2);
	state_u8(s, "first", &g->first);
	if (state_version(s) >= 2)
		state_u8(s, "second", &g->second);
	if (program == THIRD && state_optional(s, "rare", g->rare != 0))
		state_u8(s, "rare-value", &g->rare);
	state_u8(s, "last", &g->last);
	state_end(s);
}

static void grown_save(struct bytes *b, struct grown g, enum program program)
{
	const struct state_io io = {.write = bytes_write, .ctx = b};
	struct state *s;

	assert_int_equal(state_save(&io, "it", &s, NULL), 0);
	grown_describe(&g, program, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

/* Into one that has 7 everywhere, as after its reset. */
static int grown_load(struct bytes *b, struct grown *g, enum program program, struct error *err)
{
	const struct state_io io = {.read = bytes_read, .ctx = b};
	struct state *s;
	int r;

	b->at = 0;
	*g = (struct grown){7, 7, 0, 7};
	err->text[0] = '\0';
	assert_int_equal(state_load(&io, "it", &s, err), 0);
	grown_describe(g, program, s);
	r = state_finish(s);
	state_destroy(s);
	free(b->data);
	*b = (struct bytes){0};
	return r;
}

/* What each program wrote, read by each: the last one's is no newer for it than its section's version. */
static void older_states_load(void **unused)
{
	const struct grown full = {1, 2, 3, 4}, usual = {1, 2, 0, 4};
	struct bytes b = {0};
	struct error err;
	struct grown g;

	for (enum program reader = FIRST; reader <= THIRD; reader++) {
		grown_save(&b, full, FIRST);
		assert_int_equal(grown_load(&b, &g, reader, &err), 0);
		assert_memory_equal(&g, (&(struct grown){1, 7, 0, 4}), sizeof g);
	}
	grown_save(&b, full, SECOND);
	assert_int_equal(grown_load(&b, &g, FIRST, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "saved by a newer dach: section grown of version 2"));
	for (enum program reader = SECOND; reader <= THIRD; reader++) {
		grown_save(&b, full, SECOND);
		assert_int_equal(grown_load(&b, &g, reader, &err), 0);
		assert_memory_equal(&g, &usual, sizeof g);
	}
}

/* A part that few need does not shut older programs out of the others' states. */
static void an_optional_part_is_there_only_if_needed(void **unused)
{
	const struct grown full = {1, 2, 3, 4}, usual = {1, 2, 0, 4};
	struct bytes b = {0};
	struct error err;
	struct grown g;

	grown_save(&b, usual, THIRD);
	assert_int_equal(grown_load(&b, &g, SECOND, &err), 0);
	assert_memory_equal(&g, &usual, sizeof g);
	grown_save(&b, full, THIRD);
	assert_int_equal(grown_load(&b, &g, THIRD, &err), 0);
	assert_memory_equal(&g, &full, sizeof g);
	grown_save(&b, full, THIRD);
	assert_int_equal(grown_load(&b, &g, SECOND, &err), -EINVAL);
	assert_string_equal(err.text, "it: section grown: no last where it belongs");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(older_states_load),
		cmocka_unit_test(an_optional_part_is_there_only_if_needed),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(spliced),
		cmocka_unit_test(damaged),
		cmocka_unit_test(hostile),
		cmocka_unit_test(newer),
		cmocka_unit_test(not_written),
		cmocka_unit_test(hour_ago),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
