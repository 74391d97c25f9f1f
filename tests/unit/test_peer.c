/* SPDX-License-Identifier: Apache-2.0 */
/* Daemons of two hosts: what is typed and said between them, and TLS over a pair of sockets, either end on a thread. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/loop.h"
#include "peer/identity.h"
#include "peer/pack.h"
#include "peer/tls.h"

#define LONG_NS 60000000000ull
#define MANY (8u << 20)

static void addresses(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
	} good[] = {{"b", "b", PEER_PORT}, {"b.example:1", "b.example", 1},
		{"192.0.2.7:65535", "192.0.2.7", 65535}, {"[::1]:22", "::1", 22},
		{"[::1]", "::1", PEER_PORT}, {"2001:db8::1", "2001:db8::1", PEER_PORT},
		{"[fe80::1%eth0]:7", "fe80::1%eth0", 7}};
	static const char *const bad[] = {"", ":", ":1", "b:", "b:0", "b:65536", "b:1x", "[::1",
		"[]", "[]:1", "[::1]x", "[::1]:", "-b", "b c", "b;c", "b:99999999999999999999",
		"b/c"};
	char host[PEER_HOST_MAX + 1];
	unsigned port;

	for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(peer_address_read(good[i].text, host, &port, NULL), 0);
		assert_string_equal(host, good[i].host);
		assert_int_equal(port, good[i].port);
	}
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!peer_address_read(bad[i], host, &port, NULL))
			fail_msg("'%s' is %s port %u", bad[i], host, port);
}

static char folder[] = "/tmp/dach-peer-XXXXXX";

/* As a daemon has it, one a name. */
static char *identity(const char *name, char fingerprint[PEER_FINGERPRINT_LEN + 1])
{
	struct error err = {""};
	char path[64], *pem = NULL;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	assert_int_equal(identity_open(path, &pem, &err), 0);
	assert_int_equal(identity_fingerprint(pem, fingerprint, &err), 0);
	return pem;
}

static void identities_last(void **state)
{
	char one[PEER_FINGERPRINT_LEN + 1], again[PEER_FINGERPRINT_LEN + 1],
		other[PEER_FINGERPRINT_LEN + 1], path[64];
	struct error err = {""};
	struct stat st;
	int fd;

	free(identity("one", one));
	free(identity("one", again));
	free(identity("other", other));
	assert_string_equal(one, again);
	assert_string_not_equal(one, other);
	snprintf(path, sizeof path, "%s/one", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Half a file is said, and stays. */
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "-----BEGIN", 10), 10);
	close(fd);
	char *pem = NULL;
	assert_int_equal(identity_open(path, &pem, &err), 0);
	assert_true(identity_fingerprint(pem, again, &err) < 0);
	assert_non_null(strstr(err.text, "this host's certificate"));
	free(pem);
}

/* One end. */
struct end {
	pthread_t thread;
	struct tls *tls;
	int socket, r;
	char seen[PEER_FINGERPRINT_LEN + 1];
	struct error err;
	int carried[2]; /* carried[1] is given to tls_carry() */
};

struct pair {
	struct end end[2];
	char fingerprint[2][PEER_FINGERPRINT_LEN + 1];
};

static void *shake_hands(void *ctx)
{
	struct end *end = ctx;

	end->r = tls_handshake(end->tls, clock_now() + LONG_NS, end->seen, &end->err);
	return NULL;
}

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof *pair);
	struct error err = {""};
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	for (unsigned i = 0; i < 2; i++) {
		char *pem = identity(i ? "a" : "b", pair->fingerprint[i]);

		pair->end[i].socket = sockets[i];
		assert_int_equal(tls_create(sockets[i], -1, !i, pem, &pair->end[i].tls, &err), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair->end[i].carried), 0);
		free(pem);
	}
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	for (unsigned i = 0; i < 2; i++) {
		tls_destroy(pair->end[i].tls);
		close(pair->end[i].socket);
		for (unsigned k = 0; k < 2; k++)
			close(pair->end[i].carried[k]);
	}
	free(pair);
	return 0;
}

static void meet(struct pair *pair)
{
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&pair->end[i].thread, NULL, shake_hands, &pair->end[i]);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(pair->end[i].thread, NULL);
		if (pair->end[i].r)
			fail_msg("%u: %s", i, pair->end[i].err.text);
		assert_string_equal(pair->end[i].seen, pair->fingerprint[!i]);
	}
}

static void lines(void **state)
{
	struct pair *pair = *state;
	struct tls *one = pair->end[0].tls, *other = pair->end[1].tls;
	struct error err = {""};
	uint64_t deadline;
	char *line;
	size_t len;

	meet(pair);
	deadline = clock_now() + LONG_NS;
	assert_int_equal(tls_write(one, "first\nsecond\n", 13, deadline, &err), 0);
	assert_int_equal(tls_read_line(other, 5, deadline, &line, &len, &err), 0);
	assert_string_equal(line, "first");
	free(line);
	/* Whoever always has more to say is not heard for longer either. */
	assert_int_equal(tls_write(one, "third\n", 6, deadline, &err), 0);
	assert_int_equal(tls_read_line(other, 20, deadline, &line, &len, &err), 0);
	free(line);
	assert_int_equal(tls_read_line(other, 20, clock_now(), &line, &len, &err), -ETIMEDOUT);
	err.text[0] = 0;
	assert_int_equal(tls_read_line(other, 2, deadline, &line, &len, &err), -EPROTO);
	assert_non_null(strstr(err.text, "too long"));
	err.text[0] = 0;
	assert_int_equal(tls_read_line(one, 5, clock_now() + 50000000, &line, &len, &err),
		-ETIMEDOUT);
	err.text[0] = 0;
	shutdown(pair->end[1].socket, SHUT_RDWR);
	assert_int_equal(tls_read_line(one, 5, deadline, &line, &len, &err), -EPROTO);
	assert_string_equal(err.text, "it has ended the connection");
}

static void *carry(void *ctx)
{
	struct end *end = ctx;

	tls_carry(end->tls, end->carried[1]);
	return NULL;
}

static void *pour(void *ctx)
{
	const struct end *end = ctx;
	uint32_t *numbers = malloc(MANY);

	for (unsigned i = 0; i < MANY / 4; i++)
		numbers[i] = i * 2654435761u;
	assert_int_equal(io_write_all(end->carried[0], numbers, MANY), 0);
	shutdown(end->carried[0], SHUT_WR);
	free(numbers);
	return NULL;
}

static void drain(const struct end *end)
{
	uint32_t *numbers = malloc(MANY);

	assert_int_equal(io_read_all(end->carried[0], numbers, MANY), MANY);
	for (unsigned i = 0; i < MANY / 4; i++)
		if (numbers[i] != i * 2654435761u)
			fail_msg("number %u is wrong", i);
	assert_int_equal(read(end->carried[0], numbers, 1), 0);
	free(numbers);
}

/* Both ways at once, more than fits anywhere, one way's end before the other's. */
static void bytes_both_ways(void **state)
{
	struct pair *pair = *state;
	pthread_t pouring[2];

	meet(pair);
	for (unsigned i = 0; i < 2; i++) {
		pthread_create(&pair->end[i].thread, NULL, carry, &pair->end[i]);
		pthread_create(&pouring[i], NULL, pour, &pair->end[i]);
	}
	drain(&pair->end[0]);
	drain(&pair->end[1]);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(pouring[i], NULL);
		pthread_join(pair->end[i].thread, NULL);
	}
}

/* What was read with a line is carried, too; and a line that is not there is its end. */
static void bytes_behind_a_line(void **state)
{
	struct pair *pair = *state;
	struct error err = {""};
	char *line, rest[8];
	size_t len;

	meet(pair);
	assert_int_equal(tls_write(pair->end[0].tls, "line\n\4\0\0\0\4\0\0\0rest", 17,
				 clock_now() + LONG_NS, &err),
		0);
	assert_int_equal(tls_read_line(pair->end[1].tls, 10, clock_now() + LONG_NS, &line, &len,
				 &err),
		0);
	free(line);
	pthread_create(&pair->end[1].thread, NULL, carry, &pair->end[1]);
	assert_int_equal(io_read_all(pair->end[1].carried[0], rest, 4), 4);
	assert_memory_equal(rest, "rest", 4);
	tls_carry(pair->end[0].tls, -1);
	assert_int_equal(read(pair->end[1].carried[0], rest, 1), 0);
	shutdown(pair->end[1].carried[0], SHUT_WR);
	pthread_join(pair->end[1].thread, NULL);
}

/* Packed and not, it is the same; what is no piece is refused. */
static void pieces_come_back_the_same(void **state)
{
	static uint8_t raw[PACK_HEAD + PACK_PIECE], kept[PACK_PIECE];
	struct pieces *here = pieces_create(), *there = pieces_create();
	uint64_t now = 1;
	unsigned packed = 0, as_they_are = 0;
	const uint8_t *piece, *back;
	size_t stored, len;

	for (unsigned n = 0; n < 4000; n++) {
		/* The first half goes over a line that takes 1 byte in 10 ns, the other half over one that takes what it gets. */
		const bool slow = n < 2000;
		const size_t size = n % 50 ? PACK_PIECE : 1 + n;

		for (size_t i = 0; i < size; i++)
			kept[i] = (uint8_t)(i / 64 * (n % 7 + 1));
		memcpy(raw + PACK_HEAD, kept, size);
		len = pieces_pack(here, raw, size, now, &piece);
		now += slow ? len * 10 : piece == raw ? 10 : 100000;
		packed += slow && piece != raw;
		as_they_are += !slow && piece == raw;
		assert_int_equal(pieces_read_head(piece, &stored, &len), 0);
		assert_int_equal(len, size);
		assert_int_equal(pieces_unpack(there, piece + PACK_HEAD, stored, len, &back), 0);
		assert_memory_equal(back, kept, size);
		/* Cut off, or of another length. */
		if (stored < len && n % 100 == 1) {
			assert_int_equal(pieces_unpack(there, piece + PACK_HEAD, stored - 1, len,
						 &back),
				-EPROTO);
			assert_int_equal(pieces_unpack(there, piece + PACK_HEAD, stored, len - 1,
						 &back),
				-EPROTO);
		}
	}
	assert_true(packed > 1800);
	assert_true(as_they_are > 1700);
	assert_int_equal(pieces_read_head((const uint8_t *)"\0\0\0\0\0\0\0\0", &stored, &len),
		-EPROTO);
	assert_int_equal(pieces_read_head((const uint8_t *)"\5\0\0\0\4\0\0\0", &stored, &len),
		-EPROTO);
	assert_int_equal(pieces_read_head((const uint8_t *)"\5\0\0\0\1\0\2\0", &stored, &len),
		-EPROTO);
	pieces_destroy(here);
	pieces_destroy(there);
}

/* A peer that lies about a piece: the line is ended. */
static void a_piece_that_is_none(void **state)
{
	struct pair *pair = *state;
	struct error err = {""};
	char byte;

	meet(pair);
	pthread_create(&pair->end[1].thread, NULL, carry, &pair->end[1]);
	assert_int_equal(tls_write(pair->end[0].tls, "\4\0\0\0\5\0\0\0rest", 12,
				 clock_now() + LONG_NS, &err),
		0);
	pthread_join(pair->end[1].thread, NULL);
	close(pair->end[1].carried[1]);
	pair->end[1].carried[1] = -1;
	assert_int_equal(read(pair->end[1].carried[0], &byte, 1), 0);
}

static void noise(void **state)
{
	struct pair *pair = *state;
	char bytes[4096];

	memset(bytes, 0x16, sizeof bytes);
	assert_int_equal(write(pair->end[0].socket, bytes, sizeof bytes), sizeof bytes);
	shake_hands(&pair->end[1]);
	assert_int_equal(pair->end[1].r, -EPROTO);
	assert_non_null(strstr(pair->end[1].err.text, "no TLS"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(identities_last),
		cmocka_unit_test_setup_teardown(lines, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(bytes_behind_a_line, setup, teardown),
		cmocka_unit_test(pieces_come_back_the_same),
		cmocka_unit_test_setup_teardown(a_piece_that_is_none, setup, teardown),
		cmocka_unit_test_setup_teardown(noise, setup, teardown),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const names[] = {"one", "other", "a", "b"};
		char path[64];

		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
	return failed;
}
