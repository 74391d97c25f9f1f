/* SPDX-License-Identifier: Apache-2.0 */
/* Disks on NBD servers: addresses, what servers may say before the data, and answers in any order, wrong and lost. */
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
#include "nbd/address.h"
#include "nbd/client.h"

#define NAME "nbd://host/disk"
#define SIZE (1u << 20)

/* Addresses */

static void takes_addresses(void **state)
{
	static const struct {
		const char *text, *host, *port, *socket, *export;
	} good[] = {
		{"nbd://host", "host", NBD_PORT, "", ""},
		{"nbd://host/", "host", NBD_PORT, "", ""},
		{"nbd://10.0.0.1:99/a/b%20c", "10.0.0.1", "99", "", "a/b c"},
		{"nbd://[fe80::1]:7/x", "fe80::1", "7", "", "x"},
		{"nbd://[fe80::1]", "fe80::1", NBD_PORT, "", ""},
		{"nbd+unix:///?socket=/run/x", "", NBD_PORT, "/run/x", ""},
		{"nbd+unix:///disk?socket=/run/%41", "", NBD_PORT, "/run/A", "disk"},
	};
	struct nbd_address address;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct error err = {""};

		assert_int_equal(nbd_address_parse(good[i].text, &address, &err), 0);
		assert_string_equal(address.host, good[i].host);
		assert_string_equal(address.port, good[i].port);
		assert_string_equal(address.socket, good[i].socket);
		assert_string_equal(address.export, good[i].export);
	}
}

static void refuses_addresses(void **state)
{
	static const char *const bad[] = {"", "disk.img", "nbd:host", "nbd://", "nbd:///x",
		"nbd://:9/x", "nbd://host:/x%", "nbd://host:0/", "nbd://host:65536/",
		"nbd://host:1a/", "nbd://host:-1/", "nbd://[::1/x", "nbd://[::1]x/",
		"nbd://user@host/", "nbd://host/x%00y", "nbd://host/x%4", "nbd://host/x?tls=1",
		"nbds://host/x", "nbd+unix:///x", "nbd+unix://host/x?socket=/y",
		"nbd+unix:///x?socket=y", "nbd+unix:///x?socket=/y&z=1", "nbd+unix:///x?socket="};
	struct nbd_address address;
	char *text = malloc(NBD_EXPORT_MAX + 64);

	assert_non_null(text);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct error err = {""};

		assert_true(nbd_address_parse(bad[i], &address, &err) < 0);
		assert_string_not_equal(err.text, "");
	}
	strcpy(text, "nbd://h/");
	memset(text + 8, 'x', NBD_EXPORT_MAX + 1);
	text[8 + NBD_EXPORT_MAX + 1] = 0;
	assert_true(nbd_address_parse(text, &address, NULL) < 0);
	text[8 + NBD_EXPORT_MAX] = 0;
	assert_int_equal(nbd_address_parse(text, &address, NULL), 0);
	strcpy(text, "nbd+unix:///?socket=/");
	memset(text + 21, 'x', 107);
	text[21 + 107] = 0;
	assert_true(nbd_address_parse(text, &address, NULL) < 0);
	text[21 + 106] = 0;
	assert_int_equal(nbd_address_parse(text, &address, NULL), 0);
	free(text);
}

/* Before the data */

struct words {
	uint8_t bytes[65536];
	size_t size;
};

static void add(struct words *words, const void *data, size_t size)
{
	if (size)
		memcpy(words->bytes + words->size, data, size);
	words->size += size;
}

static void add_hello(struct words *words, uint16_t flags)
{
	uint8_t head[18];

	put16(put64(put64(head, NBD_MAGIC), NBD_OPTION_MAGIC), flags);
	add(words, head, sizeof head);
}

static void add_reply(struct words *words, uint32_t type, const void *data, uint32_t size)
{
	uint8_t head[20];

	put32(put32(put32(put64(head, NBD_REPLY_MAGIC), NBD_OPT_GO), type), size);
	add(words, head, sizeof head);
	add(words, data, size);
}

static void add_export(struct words *words, uint64_t size, uint16_t flags)
{
	uint8_t info[12];

	put16(put64(put16(info, NBD_INFO_EXPORT), size), flags);
	add_reply(words, NBD_REP_INFO, info, sizeof info);
}

static void add_blocks(struct words *words, uint32_t smallest, uint32_t most)
{
	uint8_t info[14];

	put32(put32(put32(put16(info, NBD_INFO_BLOCK_SIZE), smallest), 4096), most);
	add_reply(words, NBD_REP_INFO, info, sizeof info);
}

/* What the client makes of a server that says this and is gone. */
static int begin_with(const struct words *words, struct nbd_export *export, struct error *err)
{
	struct nbd_wire wire = {.deadline = clock_now() + 20000000000ull};
	int fd[2], r;

	*err = (struct error){""};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(send(fd[1], words->bytes, words->size, MSG_NOSIGNAL), words->size);
	shutdown(fd[1], SHUT_WR);
	wire.fd = fd[0];
	r = nbd_begin(&wire, "disk", NAME, export, err);
	close(fd[0]);
	close(fd[1]);
	assert_true(!r == !err->text[0]);
	return r;
}

static void begins(void **state)
{
	struct words *words = calloc(1, sizeof *words);
	struct nbd_export export;
	struct error err;

	assert_non_null(words);
	add_hello(words, 3);
	add_reply(words, NBD_REP_INFO, "\0\7more", 6); /* of a kind that is not known */
	add_export(words, SIZE, NBD_HAS_FLAGS | NBD_SEND_FLUSH);
	add_blocks(words, 512, 8u << 20);
	add_reply(words, NBD_REP_ACK, NULL, 0);
	assert_int_equal(begin_with(words, &export, &err), 0);
	assert_int_equal(export.size, SIZE);
	assert_int_equal(export.flags, NBD_HAS_FLAGS | NBD_SEND_FLUSH);
	assert_int_equal(export.smallest, 512);
	assert_int_equal(export.most, 8u << 20);
	/* Each server that breaks off before its end. */
	for (size_t cut = words->size; cut-- > 0;) {
		words->size = cut;
		assert_true(begin_with(words, &export, &err) < 0);
	}
	free(words);
}

static void refuses_exports(void **state)
{
	static const struct {
		uint64_t size;
		uint16_t flags;
		uint32_t smallest, most;
		const char *says;
	} bad[] = {
		{0, 1, 1, 1 << 20, "not a disk"},
		{UINT64_MAX, 1, 1, 1 << 20, "not a disk"},
		{SIZE, 0, 1, 1 << 20, "not a disk"},
		{SIZE + 1, 1, 1, 1 << 20, "multiple of 512"},
		{SIZE, 1, 4096, 1 << 20, "blocks of 4096"},
		{SIZE, 1, 0, 1 << 20, "blocks of 0"},
		{SIZE, 1, 3, 1 << 20, "blocks of 3"},
		{SIZE, 1, 1, 511, "moves no data"},
	};
	struct words *words = calloc(1, sizeof *words);
	struct nbd_export export;
	struct error err;

	assert_non_null(words);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		words->size = 0;
		add_hello(words, 3);
		add_export(words, bad[i].size, bad[i].flags);
		add_blocks(words, bad[i].smallest, bad[i].most);
		add_reply(words, NBD_REP_ACK, NULL, 0);
		assert_true(begin_with(words, &export, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].says));
	}
	free(words);
}

static void refuses_servers(void **state)
{
	static const struct {
		uint32_t type;
		const char *text, *says;
	} bad[] = {
		{NBD_REP_ERR_UNSUP, "", "too old"},
		{NBD_REP_ERR_UNKNOWN, "no such", "no export \"disk\""},
		{NBD_REP_ERR_TLS_REQD, "", "TLS"},
		{NBD_REP_ERR_POLICY, "", "does not want us"},
		{NBD_REP_ERR_TOO_BIG, "say\033 it", "say? it"},
		{NBD_REP_ACK, "", "does not tell"},
		{NBD_REP_SERVER, "x", "refuses"},
	};
	static const uint8_t much[20000];
	struct words *words = calloc(1, sizeof *words);
	struct nbd_export export;
	struct error err;

	assert_non_null(words);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		words->size = 0;
		add_hello(words, 3);
		add_reply(words, bad[i].type, bad[i].text, (uint32_t)strlen(bad[i].text));
		assert_true(begin_with(words, &export, &err) < 0);
		assert_non_null(strstr(err.text, bad[i].says));
	}
	for (unsigned flags = 0; flags < 3; flags++) {
		words->size = 0;
		add_hello(words, (uint16_t)flags);
		assert_true(begin_with(words, &export, &err) < 0);
	}
	/* Never an end; and more than any reply of those that we ask for. */
	words->size = 0;
	add_hello(words, 3);
	for (unsigned i = 0; i < 1000; i++)
		add_export(words, SIZE, 1);
	assert_true(begin_with(words, &export, &err) < 0);
	words->size = 0;
	add_hello(words, 3);
	add_reply(words, NBD_REP_INFO, much, sizeof much);
	assert_true(begin_with(words, &export, &err) < 0);
	free(words);
}

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

static void *serve(void *ctx)
{
	const int fd = (int)(intptr_t)ctx;
	struct words *words = calloc(1, sizeof *words);
	uint8_t asked[4 + 16 + 4 + 4 + 4];
	struct answer one, two;

	if (!words)
		abort();
	add_hello(words, 3);
	add_export(words, SIZE, rig.flags);
	add_reply(words, NBD_REP_ACK, NULL, 0);
	if (send(fd, words->bytes, words->size, MSG_NOSIGNAL) > 0 && get(fd, asked, sizeof asked)) {
		while (take_request(fd, &one)) {
			if (rig.backwards && take_request(fd, &two))
				give(fd, &two);
			give(fd, &one);
		}
	}
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
	/* Not once more for each. */
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
		cmocka_unit_test(takes_addresses),
		cmocka_unit_test(refuses_addresses),
		cmocka_unit_test(begins),
		cmocka_unit_test(refuses_exports),
		cmocka_unit_test(refuses_servers),
		cmocka_unit_test_setup_teardown(moves_data, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_less, setup, teardown),
		cmocka_unit_test_setup_teardown(read_only_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(errors_are_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_in_any_order, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(gives_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
