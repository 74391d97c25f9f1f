/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that moves from one monitor to another: what they say to each other, and its memory's rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block_rig.h"
#include "machine/describe.h"
#include "machine/memory_rounds.h"
#include "migrate/wire.h"
#include "state/state.h"
#include "vmm/depart_disks.h"

#define MIB 0x100000ull
#define SIZE (8 * MIB)
#define PAGE REGION_PAGE
#define PAGES (SIZE / PAGE)

static struct error err;

/* A connection whose other end has said all already. */
struct line {
	uint8_t bytes[32u << 20];
	size_t len, at;
	size_t step; /* so many at once; 0: all */
};

static struct line *line;
static struct wire *wire;

static int put(void *ctx, const void *data, size_t len)
{
	assert_true(len <= sizeof line->bytes - line->len);
	memcpy(line->bytes + line->len, data, len);
	line->len += len;
	return 0;
}

static long get(void *ctx, void *data, size_t len)
{
	if (len > line->len - line->at)
		len = line->len - line->at;
	if (line->step && len > line->step)
		len = line->step;
	memcpy(data, line->bytes + line->at, len);
	line->at += len;
	return (long)len;
}

static void anew(size_t step)
{
	const struct wire_io io = {put, get, NULL};

	line->len = line->at = 0;
	line->step = step;
	err = (struct error){""};
	wire_init(wire, &io);
}

static int set_up(void **state)
{
	line = malloc(sizeof *line);
	wire = malloc(sizeof *wire);
	return line && wire ? 0 : -1;
}

static int tear_down(void **state)
{
	free(line);
	free(wire);
	return 0;
}

static void test_frames(void **state)
{
	static uint8_t in[3 * WIRE_PIECE / 2], out[sizeof in];

	for (size_t i = 0; i < sizeof in; i++)
		in[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t step = 0; step < 8; step += 7) {
		size_t have = 0;

		anew(step);
		assert_int_equal(wire_send_hello(wire), 0);
		assert_int_equal(wire_write_state(wire, in, 5), 0);
		assert_int_equal(wire_write_state(wire, in + 5, sizeof in - 5), 0);
		assert_int_equal(wire_send(wire, WIRE_READY, NULL, 0), 0);
		assert_int_equal(wire->sent, line->len);
		assert_int_equal(wire_expect(wire, WIRE_HELLO, &err), 0);
		while (have < sizeof in) {
			long n = wire_read_state(wire, out + have, sizeof in - have);

			assert_true(n > 0);
			have += (size_t)n;
		}
		assert_memory_equal(in, out, sizeof in);
		assert_int_equal(wire_expect(wire, WIRE_READY, &err), 0);
		assert_int_equal(wire_expect(wire, WIRE_GO, &err), -ECONNRESET);
		assert_string_equal(err.text, "the connection to the other side is lost");
	}
}

static void say(uint32_t type, uint32_t len, const void *data, size_t size)
{
	const uint32_t head[] = {type, len};

	anew(0);
	put(NULL, head, sizeof head);
	put(NULL, data, size);
}

static void test_lies(void **state)
{
	static uint8_t junk[WIRE_PIECE + 1];
	uint8_t byte;

	/* Another version, another magic, too short, another frame, longer than any. */
	say(WIRE_HELLO, 12, "dachmove\1\0\0\0", 12);
	assert_int_equal(wire_expect(wire, WIRE_HELLO, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "version 1, here 2"));
	say(WIRE_HELLO, 12, "dachmoin\2\0\0\0", 12);
	assert_int_equal(wire_expect(wire, WIRE_HELLO, &err), -EPROTO);
	say(WIRE_HELLO, 11, "dachmove\2\0\0", 11);
	assert_int_equal(wire_expect(wire, WIRE_HELLO, &err), -EPROTO);
	say(WIRE_GO, 0, "", 0);
	assert_int_equal(wire_expect(wire, WIRE_READY, &err), -EPROTO);
	say(WIRE_GO, 1, "x", 1);
	assert_int_equal(wire_expect(wire, WIRE_GO, &err), -EPROTO);
	say(77, 0, "", 0);
	assert_int_equal(wire_expect(wire, WIRE_GO, &err), -EPROTO);
	say(WIRE_STATE, WIRE_PIECE + 1, junk, sizeof junk);
	assert_int_equal(wire_read_state(wire, &byte, 1), -EPROTO);
	say(WIRE_STATE, 0, "", 0);
	assert_int_equal(wire_read_state(wire, &byte, 1), -EPROTO);
	say(WIRE_GO, 0, "", 0);
	assert_int_equal(wire_read_state(wire, &byte, 1), -EPROTO);
	/* What is left of the state is not to be taken for a frame. */
	say(WIRE_STATE, 8, "\4\0\0\0\0\0\0\0", 8);
	assert_int_equal(wire_read_state(wire, &byte, 1), 1);
	assert_int_equal(wire_expect(wire, WIRE_GO, &err), -EPROTO);
	/* Cut off. */
	say(WIRE_STATE, 8, "abc", 3);
	assert_int_equal(wire_read_state(wire, junk, 8), 3);
	assert_int_equal(wire_read_state(wire, junk, 8), 0);
	say(WIRE_GO, 0, "", 0);
	line->len = 5;
	assert_int_equal(wire_expect(wire, WIRE_GO, &err), -ECONNRESET);
}

static void test_failed(void **state)
{
	static char text[2 * WIRE_TEXT];

	anew(0);
	assert_int_equal(wire_send_failed(wire, "no\033[2Jroom"), 0);
	assert_int_equal(wire_expect(wire, WIRE_READY, &err), -EREMOTEIO);
	assert_string_equal(err.text, "no?[2Jroom");
	memset(text, 'a', sizeof text - 1);
	anew(0);
	assert_int_equal(wire_send_failed(wire, text), 0);
	assert_int_equal(wire_expect(wire, WIRE_READY, &err), -EREMOTEIO);
	assert_int_equal(strlen(err.text), WIRE_TEXT);
	say(WIRE_FAILED, WIRE_TEXT + 1, text, WIRE_TEXT + 1);
	assert_int_equal(wire_expect(wire, WIRE_READY, &err), -EPROTO);
}

/* Pieces of disks that have come; the last of them. */
static struct wire_disk last_piece;
static unsigned pieces;
static uint8_t last_byte;

static int take_piece(void *ctx, const struct wire_disk *piece, void *data)
{
	const uint8_t *bytes = data;

	last_piece = *piece;
	pieces++;
	if (piece->what == WIRE_DISK_DATA)
		last_byte = bytes[piece->length - 1];
	return piece->disk == 7 ? -EIO : 0;
}

static void test_disk_pieces(void **state)
{
	static uint8_t data[WIRE_PIECE + 1], byte;
	struct wire_disk piece = {.disk = 2, .what = WIRE_DISK_DATA, .offset = 4096};

	memset(data, 0x5a, sizeof data);
	for (size_t step = 0; step < 8; step += 7) {
		anew(step);
		wire->disk = take_piece;
		pieces = 0;
		piece.length = WIRE_PIECE;
		/* What was written of the state before it comes before it. */
		assert_int_equal(wire_write_state(wire, "a", 1), 0);
		assert_int_equal(wire_send_disk(wire, &piece, data), 0);
		piece.length = 512;
		assert_int_equal(wire_send_disk(wire, &piece, data), 0);
		assert_int_equal(wire_send_disk(wire,
					 &(struct wire_disk){1, WIRE_DISK_ZEROES, 0, 1ull << 40},
					 NULL),
			0);
		assert_int_equal(wire_write_state(wire, "b", 1), 0);
		assert_int_equal(wire_flush(wire), 0);
		assert_int_equal(wire->sent, line->len);
		assert_int_equal(wire_read_state(wire, &byte, 1), 1);
		assert_int_equal(byte, 'a');
		assert_int_equal(pieces, 0);
		assert_int_equal(wire_read_state(wire, &byte, 1), 1);
		assert_int_equal(byte, 'b');
		assert_int_equal(pieces, 3);
		assert_int_equal(last_byte, 0x5a);
		assert_int_equal(last_piece.length, 1ull << 40);
	}
}

static long said_piece(struct wire_disk piece, uint32_t len, size_t size)
{
	static uint8_t bytes[sizeof piece + WIRE_PIECE + 1];
	uint8_t byte;

	memcpy(bytes, &piece, sizeof piece);
	say(WIRE_DISK, len, bytes, size);
	wire->disk = take_piece;
	pieces = 0;
	return wire_read_state(wire, &byte, 1);
}

static void test_disk_lies(void **state)
{
	const struct wire_disk data = {0, WIRE_DISK_DATA, 0, 512};
	const uint32_t head = sizeof data;
	uint8_t byte;

	assert_int_equal(said_piece(data, head - 1, head - 1), -EPROTO);
	assert_int_equal(said_piece(data, head, head), -EPROTO);
	assert_int_equal(said_piece(data, head + 511, head + 511), -EPROTO);
	assert_int_equal(said_piece(data, head + 513, head + 513), -EPROTO);
	assert_int_equal(said_piece((struct wire_disk){0, WIRE_DISK_ZEROES, 0, 512}, head + 512,
				 head + 512),
		-EPROTO);
	assert_int_equal(said_piece((struct wire_disk){0, WIRE_DISK_DATA, 0, WIRE_PIECE + 1},
				 head + WIRE_PIECE + 1, head + WIRE_PIECE + 1),
		-EPROTO);
	assert_int_equal(said_piece((struct wire_disk){0, WIRE_DISK_DATA, 0, ~0ull}, head + 512,
				 head + 512),
		-EPROTO);
	assert_int_equal(pieces, 0);
	/* Cut off, and what is said of it. */
	assert_int_equal(said_piece(data, head + 512, head + 100), 0);
	assert_int_equal(said_piece((struct wire_disk){7, WIRE_DISK_DATA, 0, 512}, head + 512,
				 head + 512),
		-EIO);
	assert_int_equal(pieces, 1);
	/* A mark has no bytes, and is given back where the state is read alone. */
	say(WIRE_MARK, 1, "x", 1);
	assert_int_equal(wire_read_state(wire, &byte, 1), -EPROTO);
	assert_int_equal(wire->sent, 0);
	say(WIRE_MARK, 0, "", 0);
	assert_int_equal(wire_expect(wire, WIRE_GO, &err), -EPROTO);
	assert_int_equal(wire->sent, 0);
	put(NULL, (const uint32_t[]){WIRE_GO, 0}, 8);
	line->at = 0;
	assert_int_equal(wire_read_state(wire, &byte, 1), -EPROTO);
	assert_int_equal(wire->sent, 8);
	assert_memory_equal(line->bytes + 16, ((const uint32_t[]){WIRE_MARK, 0}), 8);
	/* Where none may come. */
	say(WIRE_DISK, head, &data, head);
	assert_int_equal(wire_read_state(wire, &byte, 1), -EPROTO);
	say(WIRE_DISK, head, &data, head);
	wire->disk = take_piece;
	assert_int_equal(wire_expect(wire, WIRE_GO, &err), -EPROTO);
}

/* --- memory ----------------------------------------------------------------------------------- */

static int map(struct engine_vm *vm, const struct memory_region *region, struct error *e)
{
	return 0;
}

static int door(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *e)
{
	return 0;
}

static void written(struct engine_vm *vm, uint64_t gpa, uint64_t size)
{
}

static int unmap(struct engine_vm *vm, uint64_t gpa, uint64_t size, struct error *e)
{
	return 0;
}

static int protect(struct engine_vm *vm, uint64_t gpa, uint64_t size, bool read_only,
	struct error *e)
{
	return 0;
}

static const struct engine engine = {.kind = CPUID_TRANSLATE,
	.vm_map = map,
	.vm_unmap = unmap,
	.vm_protect = protect,
	.vm_door = door,
	.vm_written = written};

static uint64_t model[PAGES];

static void write_page(struct memory *mem, uint64_t page, uint64_t value)
{
	assert_int_equal(memory_write(mem, page * PAGE + 8, &value, sizeof value), 0);
	model[page] = value;
}

static void make(struct memory *mem)
{
	assert_int_equal(memory_create(mem, SIZE, 0, true, &err), 0);
	assert_int_equal(memory_attach(mem, &engine, NULL, &err), 0);
}

static int load(struct memory *to)
{
	const struct state_io io = {.read = wire_read_state, .ctx = wire};
	struct state *s;
	int r;

	make(to);
	assert_int_equal(state_load(&io, "it", &s, &err), 0);
	memory_describe(to, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static struct memory_rounds *begin(struct memory *mem)
{
	struct memory_rounds *rounds;

	assert_int_equal(memory_rounds_make(mem, &rounds, &err), 0);
	assert_int_equal(memory_rounds_bring(rounds, &err), 0);
	assert_int_equal(memory_rounds_begin(rounds, &err), 0);
	return rounds;
}

static uint64_t look(struct memory_rounds *rounds)
{
	assert_int_equal(memory_rounds_look(rounds, &err), 0);
	return memory_rounds_count(rounds);
}

static void test_rounds(void **state)
{
	const struct state_io io = {.write = wire_write_state, .ctx = wire};
	struct memory_rounds *rounds;
	struct memory from, to;
	struct state *s;
	uint64_t value, pages;

	memset(model, 0, sizeof model);
	anew(0);
	make(&from);
	for (uint64_t page = 1; page < PAGES; page += 3)
		write_page(&from, page, page);
	rounds = begin(&from);
	assert_int_equal(state_save(&io, "it", &s, &err), 0);
	pages = look(rounds);
	assert_true(pages >= PAGES / 3 && pages <= PAGES);
	memory_rounds_write(rounds, s);
	assert_int_equal(look(rounds), 0);
	/* Other bytes, none that were, and some where there were none. */
	write_page(&from, 4, 99);
	write_page(&from, 7, 0);
	write_page(&from, 8, 0);
	write_page(&from, 9, 7);
	assert_int_equal(look(rounds), 4);
	/* A look that nothing follows loses nothing. */
	write_page(&from, 600, 5);
	assert_int_equal(look(rounds), 5);
	memory_rounds_write(rounds, s);
	write_page(&from, 7, 1);
	assert_int_equal(look(rounds), 1);
	memory_rounds_write(rounds, s);
	assert_int_equal(state_finish(s), 0);
	assert_int_equal(wire_flush(wire), 0);
	state_destroy(s);
	memory_rounds_end(rounds);
	assert_false(page_door_logs(&from.door));
	assert_int_equal(load(&to), 0);
	for (uint64_t page = 0; page < PAGES; page++) {
		assert_int_equal(memory_read(&to, page * PAGE + 8, &value, sizeof value), 0);
		assert_int_equal(value, model[page]);
	}
	memory_destroy(&to);
	memory_destroy(&from);
}

static int bring(void *ctx, uint64_t first, uint64_t count, void *to)
{
	memset(to, 0x77, count * PAGE);
	return 0;
}

/* All of RAM comes, also where the guest cannot write to it, or something else is in front of it. */
static void test_rounds_bring(void **state)
{
	struct memory_rounds *rounds;
	struct memory from;

	make(&from);
	assert_int_equal(memory_begin_lazy(&from, &from.door, NULL, 4, bring, NULL, &err), 0);
	assert_int_equal(memory_protect(&from, 32 * PAGE, 4 * PAGE, true, &err), 0);
	assert_int_equal(memory_remove(&from, 64 * PAGE, 4 * PAGE, &err), 0);
	rounds = begin(&from);
	for (uint64_t page = 0; page < PAGES; page++)
		assert_true(page_door_is_here(&from.door, page));
	memory_rounds_end(rounds);
	memory_end_lazy(&from, &from.door);
	memory_destroy(&from);
}

/* What is where must not change meanwhile. */
static void test_rounds_changed(void **state)
{
	const struct state_io io = {.write = wire_write_state, .ctx = wire};
	struct memory_rounds *rounds;
	struct memory_region more;
	struct memory from;
	struct state *s;

	anew(0);
	make(&from);
	rounds = begin(&from);
	assert_int_equal(state_save(&io, "it", &s, &err), 0);
	assert_int_equal(memory_region_create(&more, 1ull << 32, PAGE, &err), 0);
	assert_int_equal(memory_add(&from, &more, &err), 0);
	assert_int_equal(memory_rounds_look(rounds, &err), -EAGAIN);
	memory_rounds_write(rounds, s);
	assert_false(state_ok(s));
	assert_non_null(strstr(err.text, "has changed meanwhile"));
	state_destroy(s);
	memory_rounds_end(rounds);
	memory_destroy(&from);
	memory_region_destroy(&more);
}

static int load_zeros(uint64_t gpa, uint64_t count)
{
	const struct state_io io = {.write = wire_write_state, .ctx = wire};
	struct memory to;
	struct state *s;
	int r;

	anew(0);
	assert_int_equal(state_save(&io, "it", &s, &err), 0);
	state_begin(s, "memory-zero", 0, 1);
	state_u64(s, "address", &gpa);
	state_u64(s, "pages", &count);
	state_end(s);
	assert_int_equal(state_finish(s), 0);
	assert_int_equal(wire_flush(wire), 0);
	state_destroy(s);
	r = load(&to);
	memory_destroy(&to);
	return r;
}

static void test_zeros(void **state)
{
	assert_int_equal(load_zeros(0, 256), 0);
	assert_int_equal(load_zeros(SIZE - PAGE, 1), 0);
	assert_int_equal(load_zeros(SIZE - PAGE, 2), -EINVAL);
	assert_int_equal(load_zeros(~0ull << 12, 2), -EINVAL);
	assert_int_equal(load_zeros(1, 1), -EINVAL);
	assert_int_equal(load_zeros(0, 0), -EINVAL);
	assert_int_equal(load_zeros(0, 257), -EINVAL);
	assert_int_equal(load_zeros(0, ~0ull / PAGE + 2), -EINVAL);
}

/* --- an empty disk -------------------------------------------------------------------------------- */

static int see(void *ctx, uint64_t bytes)
{
	return 0;
}

/* Where nothing is sent of what is empty, the other side hears now and then that it is not forgotten. */
static void test_empty_disk(void **state)
{
	char path[] = "/tmp/dach-migrate-XXXXXX";
	struct depart_disks disks = {.count = 1};
	int fd = mkstemp(path);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1024 * MIB), 0);
	close(fd);
	disks.disk[0] = rig_disk(path);
	anew(0);
	assert_int_equal(depart_disks_begin(&disks, &err), 0);
	assert_int_equal(depart_disks_send(&disks, wire, see, NULL, false, &err), 0);
	wire->disk = take_piece;
	pieces = 0;
	assert_int_equal(wire_read_state(wire, &byte, 1), 0);
	assert_in_range(pieces, 1024 / 64, 1024 / 64 + 1);
	assert_int_equal(last_piece.what, WIRE_DISK_STABLE);
	depart_disks_end(&disks);
	block_close(disks.disk[0]);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_disk_pieces),
		cmocka_unit_test(test_disk_lies),
		cmocka_unit_test(test_rounds),
		cmocka_unit_test(test_rounds_bring),
		cmocka_unit_test(test_rounds_changed),
		cmocka_unit_test(test_zeros),
		cmocka_unit_test(test_empty_disk),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
