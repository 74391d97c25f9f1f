/* SPDX-License-Identifier: Apache-2.0 */
/* Disks on NBD servers: answers in any order, wrong and lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "block/remote.h"
#include "nbd_rig.h"

#define PAGE 4096u

/* Data: a server of ours, and who makes connections to it */

static struct {
	int connector[2];
	pthread_t thread;
	uint8_t disk[SIZE];
	unsigned connections;                            /* that may still be made */
	unsigned serving;                                /* that there are; atomic */
	unsigned requests, break_at, break_each, lie_at; /* of a connection; 0: never */
	unsigned commands[8];
	unsigned stable; /* with NBD_FLAG_FUA */
	uint16_t flags;
	uint32_t error; /* what every answer says */
	bool backwards; /* two answers at a time, the later first */
	bool early;     /* of the next connection: see answer_early() */
	bool second;    /* likewise: it answers its second request, and is lost */
	unsigned heard; /* of such a one, so far; atomic */
} rig;

struct answer {
	uint8_t head[16];
	uint64_t offset;
	uint32_t length; /* of data behind it */
};

static bool get(int fd, void *to, size_t size)
{
	return wire_read(&(struct nbd_wire){.fd = fd}, to, size);
}

static void give(int fd, const struct answer *answer)
{
	wire_write(&(struct nbd_wire){.fd = fd}, answer->head, sizeof answer->head,
		rig.disk + answer->offset, answer->length);
}

/* One request, done. False: it is the last. */
static bool take_request(int fd, struct answer *answer)
{
	uint8_t head[NBD_REQUEST_SIZE];
	enum nbd_command command;
	uint32_t length;

	if (!get(fd, head, sizeof head))
		return false;
	command = (enum nbd_command)get16(head + 6);
	answer->offset = get64(head + 16);
	length = get32(head + 24);
	rig.requests++;
	rig.stable += get16(head + 4) & NBD_FLAG_FUA;
	__atomic_fetch_add(&rig.commands[command], 1, __ATOMIC_RELAXED);
	if (answer->offset > SIZE || length > SIZE - answer->offset)
		abort();
	if (command == NBD_CMD_WRITE && !get(fd, rig.disk + answer->offset, length))
		return false;
	if (command == NBD_CMD_WRITE_ZEROES)
		memset(rig.disk + answer->offset, 0, length);
	answer->length = command == NBD_CMD_READ && !rig.error ? length : 0;
	put64(put32(put32(answer->head, NBD_SIMPLE_MAGIC), rig.error),
		get64(head + 8) + (rig.requests == rig.lie_at ? 77 : 0));
	if (rig.break_each && rig.requests % rig.break_each == 0)
		return false;
	if (rig.requests != rig.break_at)
		return command != NBD_CMD_DISC;
	rig.break_at = 0;
	return false;
}

static bool hear(int fd, uint8_t head[NBD_REQUEST_SIZE])
{
	const bool good = get(fd, head, NBD_REQUEST_SIZE);

	__atomic_add_fetch(&rig.heard, 1, __ATOMIC_SEQ_CST);
	return good;
}

/* A read, and a write's head, are not answered; but the request that waits for its turn behind them is. */
static void answer_early(int fd)
{
	uint8_t head[NBD_REQUEST_SIZE], junk[16 + PAGE];

	if (!hear(fd, head) || !hear(fd, head))
		return;
	usleep(100000); /* for that one to come; if it is late this shows nothing */
	memset(junk, 0xee, sizeof junk);
	put64(put32(put32(junk, NBD_SIMPLE_MAGIC), 0), get64(head + 8) + 1);
	wire_write(&(struct nbd_wire){.fd = fd}, junk, sizeof junk, NULL, 0);
	for (uint32_t left = get32(head + 24); left && get(fd, junk, PAGE); left -= PAGE)
		continue;
	get(fd, head, sizeof head);
}

static void answer_all(int fd)
{
	struct answer one, two;

	while (take_request(fd, &one)) {
		if (rig.backwards && take_request(fd, &two))
			give(fd, &two);
		give(fd, &one);
	}
}

static void answer_second(int fd)
{
	struct answer answer;

	take_request(fd, &answer);
	__atomic_add_fetch(&rig.heard, 1, __ATOMIC_SEQ_CST);
	take_request(fd, &answer);
	give(fd, &answer);
}

static void *serve(void *ctx)
{
	const int fd = (int)(intptr_t)ctx;
	struct words *words = calloc(1, sizeof *words);
	uint8_t asked[4 + 16 + 4 + 4 + 4];
	void (*const answer)(int fd) = rig.early ? answer_early
		: rig.second                     ? answer_second
						 : answer_all;

	if (!words)
		abort();
	add_hello(words, 3);
	add_export(words, SIZE, rig.flags);
	add_reply(words, NBD_REP_ACK, NULL, 0);
	rig.early = rig.second = false;
	if (send(fd, words->bytes, words->size, MSG_NOSIGNAL) > 0 && get(fd, asked, sizeof asked))
		answer(fd);
	free(words);
	close(fd);
	__atomic_sub_fetch(&rig.serving, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* As vmm/connector.c: a byte, and a connection or why there is none. */
static void *connect_all(void *ctx)
{
	char asked;

	while (read(rig.connector[1], &asked, 1) == 1) {
		union {
			struct cmsghdr header;
			char room[CMSG_SPACE(sizeof(int))];
		} file = {.header = {.cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int))}};
		char no[] = "?there is none";
		struct iovec iov = {no, 1};
		struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
		pthread_t thread;
		int fd[2];

		no[0] = asked;
		if (!rig.connections) {
			iov.iov_len = sizeof no - 1;
			if (sendmsg(rig.connector[1], &message, MSG_NOSIGNAL) < 0)
				abort();
			continue;
		}
		rig.connections--;
		__atomic_add_fetch(&rig.serving, 1, __ATOMIC_SEQ_CST);
		rig.requests = 0;
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) ||
			pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd[1]))
			abort();
		pthread_detach(thread);
		memcpy(CMSG_DATA(&file.header), &fd[0], sizeof fd[0]);
		message.msg_control = &file;
		message.msg_controllen = sizeof file;
		if (sendmsg(rig.connector[1], &message, MSG_NOSIGNAL) < 0)
			abort();
		close(fd[0]);
	}
	return NULL;
}

#define ALL_FLAGS (NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES)

static int setup(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	memset(&rig, 0, sizeof rig);
	for (unsigned i = 0; i < SIZE; i++)
		rig.disk[i] = (uint8_t)(i % 251 + 1);
	rig.flags = ALL_FLAGS;
	rig.connections = 1;
	return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, rig.connector) ||
		pthread_create(&rig.thread, NULL, connect_all, NULL);
}

static int teardown(void **state)
{
	close(rig.connector[0]);
	pthread_join(rig.thread, NULL);
	while (__atomic_load_n(&rig.serving, __ATOMIC_SEQ_CST))
		sched_yield();
	close(rig.connector[1]);
	return 0;
}

static struct remote *open_as(bool read_only, bool through)
{
	struct remote *remote = NULL;
	struct error err = {""};
	uint64_t size = 0;

	assert_int_equal(remote_open(rig.connector[0], NAME, read_only, through, &remote, &size,
				 &err),
		0);
	assert_int_equal(size, SIZE);
	return remote;
}

static struct remote *open_it(bool read_only)
{
	return open_as(read_only, false);
}

static int transfer(struct remote *remote, bool write, uint8_t *bytes, uint64_t offset,
	uint64_t length)
{
	struct iovec iov[100];
	const size_t part = length / 100;

	for (unsigned i = 0; i < 100; i++)
		iov[i] = (struct iovec){bytes + i * part, i == 99 ? length - 99 * part : part};
	return remote_transfer(remote, write, iov, 100, offset, length);
}

static void moves_data(void **state)
{
	struct remote *remote = open_it(false);
	uint8_t *bytes = malloc(SIZE);

	assert_non_null(bytes);
	assert_int_equal(transfer(remote, false, bytes, 0, SIZE), 0);
	assert_memory_equal(bytes, rig.disk, SIZE);
	memset(bytes, 0xa5, 65536);
	assert_int_equal(transfer(remote, true, bytes, 4096, 65536), 0);
	assert_memory_equal(rig.disk + 4096, bytes, 65536);
	assert_int_equal(rig.disk[4095], 4095 % 251 + 1);
	assert_int_equal(rig.disk[4096 + 65536], (4096 + 65536) % 251 + 1);
	assert_int_equal(remote_write_zeroes(remote, 8192, 4096, true), 0);
	assert_int_equal(rig.disk[8191], 0xa5);
	assert_int_equal(rig.disk[8192] | rig.disk[12287], 0);
	assert_int_equal(remote_discard(remote, 0, 4096), 0);
	assert_int_equal(remote_flush(remote), 0);
	assert_int_equal(rig.commands[NBD_CMD_TRIM], 1);
	assert_int_equal(rig.commands[NBD_CMD_FLUSH], 1);
	remote_close(remote);
	free(bytes);
}

/* What a server does not know is not asked of it. */
static void knows_less(void **state)
{
	struct remote *remote;

	rig.flags = NBD_HAS_FLAGS;
	remote = open_it(false);
	assert_int_equal(remote_write_zeroes(remote, 0, 4096, true), -EOPNOTSUPP);
	assert_int_equal(remote_discard(remote, 0, 4096), 0);
	assert_int_equal(remote_flush(remote), 0);
	remote_close(remote);
	for (unsigned i = 0; i < 8; i++)
		assert_true(
			i == NBD_CMD_DISC || !__atomic_load_n(&rig.commands[i], __ATOMIC_RELAXED));
}

static void read_only_is_told(void **state)
{
	struct remote *remote = NULL;
	struct error err = {""};
	uint64_t size;

	rig.flags = ALL_FLAGS | NBD_READ_ONLY;
	rig.connections = 2;
	assert_int_equal(remote_open(rig.connector[0], NAME, false, false, &remote, &size, &err),
		-EROFS);
	assert_non_null(strstr(err.text, NAME ",ro"));
	remote_close(open_it(true));
}

static void errors_are_errors(void **state)
{
	static const struct {
		uint32_t code;
		int result;
	} codes[] = {{NBD_EPERM, -EPERM}, {NBD_EIO, -EIO}, {NBD_EINVAL, -EINVAL},
		{NBD_ENOSPC, -ENOSPC}, {NBD_EOVERFLOW, -EIO}, {0xffffffff, -EIO}};
	struct remote *remote = open_it(false);
	uint8_t bytes[4096] = {0};

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		rig.error = codes[i].code;
		assert_int_equal(transfer(remote, false, bytes, 0, sizeof bytes), codes[i].result);
		assert_int_equal(transfer(remote, true, bytes, 0, sizeof bytes), codes[i].result);
	}
	rig.error = 0;
	assert_int_equal(transfer(remote, false, bytes, 0, sizeof bytes), 0);
	remote_close(remote);
}

struct reading {
	struct remote *remote;
	unsigned first;
	bool good;
};

static void *read_many(void *ctx)
{
	struct reading *reading = ctx;
	uint8_t bytes[4096];

	reading->good = true;
	for (unsigned i = 0; i < 200; i++) {
		const uint64_t offset = (reading->first + i * 7) % (SIZE / 4096) * 4096;

		if (transfer(reading->remote, false, bytes, offset, sizeof bytes) ||
			memcmp(bytes, rig.disk + offset, sizeof bytes))
			reading->good = false;
	}
	return NULL;
}

static void read_at_once(unsigned threads)
{
	struct remote *remote = open_it(true);
	struct reading reading[4];
	pthread_t thread[4];

	for (unsigned i = 0; i < threads; i++) {
		reading[i] = (struct reading){remote, i * 100, false};
		assert_int_equal(pthread_create(&thread[i], NULL, read_many, &reading[i]), 0);
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(thread[i], NULL);
		assert_true(reading[i].good);
	}
	remote_close(remote);
}

static void answers_in_any_order(void **state)
{
	rig.backwards = true;
	read_at_once(2);
}

/* Several wait for an answer each time that the connection is lost. */
static void goes_on_for_all(void **state)
{
	rig.connections = 1000;
	rig.break_each = 7;
	read_at_once(4);
}

/* Requests are made again on the next connection; what was not stable is told by a flush. */
static void goes_on(void **state)
{
	struct remote *remote;
	uint8_t bytes[4096];

	rig.connections = 3;
	rig.break_at = 3;
	remote = open_it(false);
	memset(bytes, 0x5a, sizeof bytes);
	assert_int_equal(transfer(remote, true, bytes, 0, sizeof bytes), 0);
	assert_int_equal(transfer(remote, false, bytes, 4096, sizeof bytes), 0);
	assert_int_equal(rig.connections, 1);
	assert_int_equal(remote_flush(remote), -EIO);
	assert_int_equal(remote_flush(remote), 0);
	/* It goes once more, and nothing was written meanwhile. */
	rig.break_at = rig.requests + 1;
	assert_int_equal(transfer(remote, false, bytes, 0, sizeof bytes), 0);
	assert_int_equal(bytes[0], 0x5a);
	assert_int_equal(rig.connections, 0);
	assert_int_equal(remote_flush(remote), 0);
	remote_close(remote);
}

struct moving {
	struct remote *remote;
	bool write;
	struct iovec iov;
	uint64_t offset;
	int result;
	pthread_t thread;
};

static void *move_once(void *ctx)
{
	struct moving *moving = ctx;
	struct iovec iov = moving->iov;

	moving->result = remote_transfer(moving->remote, moving->write, &iov, 1, moving->offset,
		iov.iov_len);
	return NULL;
}

static void start_move(struct moving *moving)
{
	assert_int_equal(pthread_create(&moving->thread, NULL, move_once, moving), 0);
}

static void wait_heard(unsigned count)
{
	while (__atomic_load_n(&rig.heard, __ATOMIC_SEQ_CST) < count)
		sched_yield();
}

/* It goes right after its answer to a write, which another one has read who waits for his own. */
static void tells_of_the_last_write(void **state)
{
	struct moving read = {.iov = {(uint8_t[PAGE]){0}, PAGE}};
	struct moving write = {.write = true, .iov = {(uint8_t[PAGE]){1}, PAGE}};

	rig.connections = 200;
	for (unsigned i = 1; i <= 100; i++) {
		rig.second = true;
		read.remote = write.remote = open_it(false);
		start_move(&read);
		wait_heard(i);
		move_once(&write);
		assert_int_equal(write.result, 0);
		pthread_join(read.thread, NULL);
		assert_int_equal(read.result, 0);
		assert_int_equal(remote_flush(read.remote), -EIO);
		assert_int_equal(remote_flush(read.remote), 0);
		remote_close(read.remote);
	}
}

/* What was stable when it was done is not lost, and needs no flush. */
static void loses_nothing(void **state)
{
	struct remote *remote;
	uint8_t bytes[4096] = {1};

	rig.flags = ALL_FLAGS | NBD_SEND_FUA;
	rig.connections = 2;
	remote = open_as(false, true);
	assert_int_equal(transfer(remote, true, bytes, 0, sizeof bytes), 0);
	assert_int_equal(remote_write_zeroes(remote, 8192, 4096, true), 0);
	assert_int_equal(rig.stable, 3); /* two requests are one write */
	rig.break_at = rig.requests + 1;
	assert_int_equal(transfer(remote, false, bytes, 0, sizeof bytes), 0);
	assert_int_equal(rig.connections, 0);
	assert_int_equal(remote_flush(remote), 0);
	assert_int_equal(rig.commands[NBD_CMD_FLUSH], 0);
	remote_close(remote);
}

/* Of what no server was asked yet it has no answer: that of one which sends some is not taken. */
static void takes_no_early_answer(void **state)
{
	uint8_t bytes[2][PAGE], *many = calloc(1, SIZE - PAGE);
	struct moving move[3] = {{.iov = {bytes[0], PAGE}},
		{.write = true, .iov = {many, SIZE - PAGE}, .offset = PAGE},
		{.iov = {bytes[1], PAGE}}};
	struct remote *remote;

	assert_non_null(many);
	rig.connections = 2;
	rig.early = true;
	remote = open_it(false);
	for (unsigned i = 0; i < 3; i++) {
		wait_heard(i);
		move[i].remote = remote;
		start_move(&move[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(move[i].thread, NULL);
		assert_int_equal(move[i].result, 0);
	}
	assert_memory_equal(bytes[0], rig.disk, PAGE);
	assert_memory_equal(bytes[1], rig.disk, PAGE);
	assert_int_equal(rig.connections, 0);
	remote_close(remote);
	free(many);
}

static void gives_up(void **state)
{
	struct remote *remote;
	uint8_t bytes[4096];
	uint64_t since;

	rig.lie_at = 1;
	remote = open_it(false);
	since = clock_now();
	assert_int_equal(transfer(remote, false, bytes, 0, sizeof bytes), -EIO);
	assert_true(clock_now() - since >= REMOTE_PATIENCE);
	/* Not once more for each: it is gone since then. */
	since = clock_now();
	assert_int_equal(transfer(remote, false, bytes, 0, sizeof bytes), -EIO);
	assert_true(clock_now() - since < REMOTE_PATIENCE / 2);
	/* Nor where none can be made any more. */
	shutdown(rig.connector[1], SHUT_RDWR);
	since = clock_now();
	while (transfer(remote, false, bytes, 0, sizeof bytes) == 0)
		continue;
	assert_true(clock_now() - since < REMOTE_PATIENCE);
	remote_close(remote);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(moves_data, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_less, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_are_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_of_the_last_write, setup, teardown),
		cmocka_unit_test_setup_teardown(loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_no_early_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(gives_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
