/* SPDX-License-Identifier: Apache-2.0 */
/* The NBD server: what the protocol's text says, and clients that do not keep to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/nbd.h"
#include "nbd/server.h"
#include "nbd/wire.h"

#define SIZE (8u << 20)
#define HOLE 4096u /* the first bytes, and from 2 MiB on */
#define BAD (6u << 20)

static struct {
	int fd, server;
	pthread_t thread;
	unsigned reads;
} rig;

static uint8_t byte_at(uint64_t offset)
{
	return offset < HOLE || (offset >= 2u << 20 && offset < 3u << 20) ? 0 : 1 + offset % 251;
}

static int source_read(void *ctx, uint64_t offset, uint64_t length, void *to)
{
	assert_int_equal(offset % NBD_SECTOR, 0);
	assert_int_equal(length % NBD_SECTOR, 0);
	assert_true(length && length <= NBD_PIECE && offset + length <= SIZE);
	rig.reads++;
	for (uint64_t i = 0; i < length; i++)
		((uint8_t *)to)[i] = byte_at(offset + i);
	return offset + length > BAD ? -5 : 0;
}

static int find_zero(void *ctx, uint64_t offset, uint64_t *length, bool *zero)
{
	uint64_t next = offset < HOLE ? HOLE
		: offset < 2u << 20   ? 2u << 20
		: offset < 3u << 20   ? 3u << 20
				      : SIZE;

	*zero = byte_at(offset) == 0;
	if (*length > next - offset)
		*length = next - offset;
	return 0;
}

/* Every other mebibyte. */
static bool changed(void *ctx, uint64_t offset, uint64_t *length)
{
	const uint64_t rest = (1u << 20) - offset % (1u << 20);

	if (*length > rest)
		*length = rest;
	return offset >> 20 & 1;
}

static void *serve(void *ctx)
{
	const struct nbd_source source = {.name = "disk",
		.bitmap = "since",
		.changed = changed,
		.size = SIZE,
		.read = source_read,
		.find_zero = find_zero};

	nbd_serve(rig.server, &source, 20000);
	shutdown(rig.server, SHUT_RDWR);
	return NULL;
}

static void say(const void *data, size_t size)
{
	if (size)
		assert_int_equal(send(rig.fd, data, size, MSG_NOSIGNAL), size);
}

static void hear(void *to, size_t size)
{
	if (size)
		assert_int_equal(recv(rig.fd, to, size, MSG_WAITALL), size);
}

static void hear_end(void)
{
	char byte;

	assert_int_equal(recv(rig.fd, &byte, 1, 0), 0);
}

static void begin(uint32_t flags)
{
	uint8_t hello[18], answer[4];
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	rig.fd = fd[0];
	rig.server = fd[1];
	rig.reads = 0;
	assert_int_equal(pthread_create(&rig.thread, NULL, serve, NULL), 0);
	hear(hello, sizeof hello);
	assert_memory_equal(hello, "NBDMAGICIHAVEOPT\0\3", 18);
	put32(answer, flags);
	say(answer, sizeof answer);
}

static void end(void)
{
	close(rig.fd);
	pthread_join(rig.thread, NULL);
	close(rig.server);
}

static void option(uint32_t which, const void *data, uint32_t size)
{
	uint8_t head[16];

	put32(put32(put64(head, NBD_OPTION_MAGIC), which), size);
	say(head, sizeof head);
	say(data, size);
}

/* The answer's type; its data into `to`. */
static uint32_t answer(uint32_t which, uint8_t to[256], uint32_t *size)
{
	uint8_t head[20];

	hear(head, sizeof head);
	assert_int_equal(get64(head), NBD_REPLY_MAGIC);
	assert_int_equal(get32(head + 8), which);
	*size = get32(head + 16);
	assert_true(*size <= 256);
	hear(to, *size);
	return get32(head + 12);
}

static void expect(uint32_t which, uint32_t type)
{
	uint8_t data[256];
	uint32_t size;

	assert_int_equal(answer(which, data, &size), type);
	assert_int_equal(size, 0);
}

static void go(void)
{
	uint8_t data[256];
	uint32_t size;

	option(NBD_OPT_GO, "\0\0\0\4disk\0\1\0\3", 12);
	assert_int_equal(answer(NBD_OPT_GO, data, &size), NBD_REP_INFO);
	assert_int_equal(size, 12);
	assert_int_equal(get64(data + 2), SIZE);
	assert_int_equal(get16(data + 10) & (NBD_HAS_FLAGS | NBD_READ_ONLY), 3);
	assert_int_equal(answer(NBD_OPT_GO, data, &size), NBD_REP_INFO);
	assert_int_equal(size, 14);
	assert_int_equal(get32(data + 2), 1);
	expect(NBD_OPT_GO, NBD_REP_ACK);
}

static void begin_structured(void)
{
	uint8_t data[256];
	uint32_t size;

	begin(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	option(NBD_OPT_STRUCTURED_REPLY, "", 0);
	expect(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
	option(NBD_OPT_SET_META_CONTEXT, "\0\0\0\0\0\0\0\2\0\0\0\1x\0\0\0\017base:allocation", 32);
	assert_int_equal(answer(NBD_OPT_SET_META_CONTEXT, data, &size), NBD_REP_META_CONTEXT);
	assert_memory_equal(data + 4, "base:allocation", 15);
	expect(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK);
	go();
}

static void request(uint16_t flags, uint16_t type, uint64_t offset, uint32_t length)
{
	uint8_t head[28], *to = put16(put16(put32(head, NBD_REQUEST_MAGIC), flags), type);

	put32(put64(put64(to, 0x1122334455667788), offset), length);
	say(head, sizeof head);
}

static uint32_t simple(void)
{
	uint8_t head[16];

	hear(head, sizeof head);
	assert_int_equal(get32(head), NBD_SIMPLE_MAGIC);
	assert_int_equal(get64(head + 8), 0x1122334455667788);
	return get32(head + 4);
}

/* A chunk's type and the length of what follows. */
static uint16_t chunk(uint32_t *size, bool *done)
{
	uint8_t head[20];

	hear(head, sizeof head);
	assert_int_equal(get32(head), NBD_CHUNK_MAGIC);
	assert_int_equal(get64(head + 8), 0x1122334455667788);
	*done = get16(head + 4) & NBD_CHUNK_DONE;
	*size = get32(head + 16);
	return get16(head + 6);
}

static void expect_error(uint32_t error)
{
	uint8_t data[6];
	uint32_t size;
	bool done;

	assert_int_equal(chunk(&size, &done), NBD_CHUNK_ERROR);
	assert_true(done && size == 6);
	hear(data, size);
	assert_int_equal(get32(data), error);
}

static void expect_bytes(uint64_t offset, uint32_t length)
{
	uint8_t *data = malloc(length);

	hear(data, length);
	for (uint32_t i = 0; i < length; i++)
		if (data[i] != byte_at(offset + i))
			fail_msg("byte %u of %u at %llu", i, length, (unsigned long long)offset);
	free(data);
}

/* All of a read, in whatever chunks; how many of its bytes were holes. */
static uint32_t expect_read(uint64_t offset, uint32_t length)
{
	uint32_t size, got = 0, holes = 0;
	uint8_t at[12];
	bool done = false;

	request(0, NBD_CMD_READ, offset, length);
	while (!done) {
		uint16_t type = chunk(&size, &done);

		hear(at, 8);
		assert_int_equal(get64(at), offset + got);
		if (type == NBD_CHUNK_HOLE) {
			hear(at + 8, 4);
			for (uint32_t i = 0; i < get32(at + 8); i++)
				assert_int_equal(byte_at(offset + got + i), 0);
			holes += get32(at + 8);
			got += get32(at + 8);
		} else {
			assert_int_equal(type, NBD_CHUNK_DATA);
			expect_bytes(offset + got, size - 8);
			got += size - 8;
		}
	}
	assert_int_equal(got, length);
	return holes;
}

static void the_old_way(void **state)
{
	uint8_t export[134];

	begin(NBD_FIXED_NEWSTYLE);
	option(NBD_OPT_EXPORT_NAME, "", 0);
	hear(export, sizeof export);
	assert_int_equal(get64(export), SIZE);
	request(0, NBD_CMD_READ, 1000, 3000000);
	assert_int_equal(simple(), 0);
	expect_bytes(1000, 3000000);
	request(0, NBD_CMD_READ, SIZE - 1, 2);
	assert_int_equal(simple(), NBD_EINVAL);
	request(0, NBD_CMD_READ, BAD, 512);
	assert_int_equal(simple(), NBD_EIO);
	/* An error in the middle of what was said to be well: the end. */
	request(0, NBD_CMD_READ, BAD - (2u << 20), 3u << 20);
	assert_int_equal(simple(), 0);
	end();
	begin(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	option(NBD_OPT_EXPORT_NAME, "other", 5);
	hear_end();
	end();
}

static void options(void **state)
{
	static const char big[10000];
	uint8_t data[256];
	uint32_t size;

	begin(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	option(NBD_OPT_LIST, "", 0);
	assert_int_equal(answer(NBD_OPT_LIST, data, &size), NBD_REP_SERVER);
	assert_memory_equal(data, "\0\0\0\4disk", 8);
	expect(NBD_OPT_LIST, NBD_REP_ACK);
	option(NBD_OPT_LIST, "x", 1);
	expect(NBD_OPT_LIST, NBD_REP_ERR_INVALID);
	option(NBD_OPT_STARTTLS, "", 0);
	expect(NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP);
	option(77, big, sizeof big);
	expect(77, NBD_REP_ERR_TOO_BIG);
	option(NBD_OPT_GO, "\0\0\0\5other\0\0", 11);
	expect(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const wrong[] = {"\0\0", "\377\377\377\377\0\0",
			"\0\0\0\0\0\2\0", "\0\0\0\1\0\0"};
		static const uint8_t length[] = {2, 6, 7, 6};

		option(NBD_OPT_INFO, wrong[i], length[i]);
		expect(NBD_OPT_INFO, NBD_REP_ERR_INVALID);
	}
	/* Contexts need structured replies, and lengths that are true. */
	option(NBD_OPT_SET_META_CONTEXT, "\0\0\0\0\0\0\0\0", 8);
	expect(NBD_OPT_SET_META_CONTEXT, NBD_REP_ERR_INVALID);
	option(NBD_OPT_LIST_META_CONTEXT, "\0\0\0\0\377\377\377\377\0\0\0\1x", 13);
	expect(NBD_OPT_LIST_META_CONTEXT, NBD_REP_ERR_INVALID);
	option(NBD_OPT_LIST_META_CONTEXT, "\0\0\0\0\0\0\0\1\0\0\0\5base:", 17);
	assert_int_equal(answer(NBD_OPT_LIST_META_CONTEXT, data, &size), NBD_REP_META_CONTEXT);
	expect(NBD_OPT_LIST_META_CONTEXT, NBD_REP_ACK);
	go();
	request(0, NBD_CMD_BLOCK_STATUS, 0, 4096);
	assert_int_equal(simple(), NBD_EINVAL);
	request(0, NBD_CMD_DISC, 0, 0);
	hear_end();
	end();
	for (unsigned i = 0; i < 2; i++) {
		begin(i ? 7 : NBD_FIXED_NEWSTYLE);
		if (!i)
			say("IHAVENOT\0\0\0\1\0\0\0\0", 16);
		hear_end();
		end();
	}
	/* Not for ever. */
	begin(NBD_FIXED_NEWSTYLE);
	for (unsigned i = 0; i < 64; i++) {
		option(NBD_OPT_STARTTLS, "", 0);
		expect(NBD_OPT_STARTTLS, NBD_REP_ERR_UNSUP);
	}
	hear_end();
	end();
}

static void structured(void **state)
{
	uint8_t state_of[4 + 8 * 4];
	uint32_t size;
	bool done;

	begin_structured();
	assert_int_equal(expect_read(0, 3u << 20), HOLE + (1u << 20));
	assert_int_equal(expect_read(HOLE - 1, 3), 0);
	assert_int_equal(expect_read((2u << 20) + 7, 4000), 4000 / 512 * 512 - 512);
	request(NBD_FLAG_DF, NBD_CMD_READ, 100, 3u << 20);
	assert_int_equal(chunk(&size, &done), NBD_CHUNK_DATA);
	assert_int_equal(size, 8 + (3u << 20));
	hear(state_of, 8);
	expect_bytes(100, 3u << 20);
	request(0, NBD_CMD_BLOCK_STATUS, 0, SIZE);
	assert_int_equal(chunk(&size, &done), NBD_CHUNK_STATUS);
	assert_int_equal(size, sizeof state_of);
	hear(state_of, size);
	assert_int_equal(get32(state_of + 4), HOLE);
	assert_int_equal(get32(state_of + 8), NBD_STATE_HOLE | NBD_STATE_ZERO);
	assert_int_equal(get32(state_of + 12), (2u << 20) - HOLE);
	assert_int_equal(get32(state_of + 16), 0);
	request(NBD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 512, 1u << 20);
	assert_int_equal(chunk(&size, &done), NBD_CHUNK_STATUS);
	assert_int_equal(size, 12);
	hear(state_of, size);
	assert_int_equal(get32(state_of + 4), HOLE - 512);
	end();
}

static void refused(void **state)
{
	static const uint8_t bytes[4096];

	begin_structured();
	request(0, NBD_CMD_READ, SIZE, 1);
	expect_error(NBD_EINVAL);
	request(0, NBD_CMD_READ, UINT64_MAX, 2);
	expect_error(NBD_EINVAL);
	request(0, NBD_CMD_READ, 0, 0);
	expect_error(NBD_EINVAL);
	request(0, NBD_CMD_BLOCK_STATUS, 0, UINT32_MAX);
	expect_error(NBD_EINVAL);
	request(0, NBD_CMD_READ, BAD, 4096);
	expect_error(NBD_EIO);
	/* What comes with a write is skipped. */
	request(0, NBD_CMD_WRITE, 0, sizeof bytes);
	say(bytes, sizeof bytes);
	expect_error(NBD_EPERM);
	request(0, NBD_CMD_TRIM, 0, 4096);
	expect_error(NBD_EPERM);
	request(0, NBD_CMD_WRITE_ZEROES, 0, 4096);
	expect_error(NBD_EPERM);
	request(0, 99, 0, 4096);
	expect_error(NBD_EINVAL);
	assert_int_equal(expect_read(5000, 100), 0);
	request(0, NBD_CMD_WRITE, 0, UINT32_MAX);
	hear_end();
	end();
	begin_structured();
	say(bytes, 28);
	hear_end();
	end();
	/* Gone in the middle of an answer. */
	begin_structured();
	request(0, NBD_CMD_READ, 0, 4u << 20);
	end();
}

#define DIRTY "qemu:dirty-bitmap:since"

/* Which of two contexts a status is of, and how many extents it has. */
static uint32_t status(uint32_t *extents, uint8_t data[256], bool *done)
{
	uint32_t size;

	assert_int_equal(chunk(&size, done), NBD_CHUNK_STATUS);
	assert_true(size >= 12 && size <= 256);
	hear(data, size);
	*extents = (size - 4) / 8;
	return get32(data);
}

static void dirty_bitmap(void **state)
{
	uint8_t data[256];
	uint32_t size, extents;
	bool done;

	begin(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	option(NBD_OPT_STRUCTURED_REPLY, "", 0);
	expect(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
	option(NBD_OPT_LIST_META_CONTEXT, "\0\0\0\0\0\0\0\1\0\0\0\5qemu:", 17);
	assert_int_equal(answer(NBD_OPT_LIST_META_CONTEXT, data, &size), NBD_REP_META_CONTEXT);
	assert_int_equal(size, 4 + strlen(DIRTY));
	assert_memory_equal(data + 4, DIRTY, strlen(DIRTY));
	expect(NBD_OPT_LIST_META_CONTEXT, NBD_REP_ACK);
	/* No list: then only whole names are meant. */
	option(NBD_OPT_SET_META_CONTEXT, "\0\0\0\0\0\0\0\1\0\0\0\5qemu:", 17);
	expect(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK);
	option(NBD_OPT_SET_META_CONTEXT,
		"\0\0\0\0\0\0\0\2\0\0\0\017base:allocation\0\0\0\027" DIRTY, 54);
	assert_int_equal(answer(NBD_OPT_SET_META_CONTEXT, data, &size), NBD_REP_META_CONTEXT);
	assert_int_equal(answer(NBD_OPT_SET_META_CONTEXT, data, &size), NBD_REP_META_CONTEXT);
	assert_memory_equal(data + 4, DIRTY, strlen(DIRTY));
	expect(NBD_OPT_SET_META_CONTEXT, NBD_REP_ACK);
	go();
	request(0, NBD_CMD_BLOCK_STATUS, 512, 3 << 20);
	assert_int_equal(status(&extents, data, &done), 1);
	assert_false(done);
	assert_int_equal(status(&extents, data, &done), 2);
	assert_true(done);
	assert_int_equal(extents, 4);
	assert_int_equal(get32(data + 4), (1 << 20) - 512);
	assert_int_equal(get32(data + 8), 0);
	assert_int_equal(get32(data + 12), 1 << 20);
	assert_int_equal(get32(data + 16), NBD_STATE_DIRTY);
	request(NBD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 1 << 20, 3 << 20);
	assert_int_equal(status(&extents, data, &done), 1);
	assert_int_equal(status(&extents, data, &done), 2);
	assert_true(done && extents == 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_old_way),
		cmocka_unit_test(options),
		cmocka_unit_test(structured),
		cmocka_unit_test(refused),
		cmocka_unit_test(dirty_bitmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
