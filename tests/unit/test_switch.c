/* SPDX-License-Identifier: Apache-2.0 */
/* The switch of a user's guests: ports handed to it as the daemon does, and frames made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/frame.h"
#include "net/net.h"
#include "protocol/switch.h"
#include "switch/guard.h"
#include "switch/switch.h"

#define PORTS 3

static struct sw *sw;
static pthread_t thread;
static char path[] = "/tmp/dach-switch-XXXXXX";
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int port[PORTS];
static const uint8_t macs[PORTS][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}};

static void *run(void *arg)
{
	switch_run(sw);
	return NULL;
}

/* As the daemon gives one; false: it is not taken. */
static bool join(const struct switch_port *wish, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec iov = {(void *)(uintptr_t)wish, sizeof *wish};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
	struct cmsghdr *head = (struct cmsghdr *)&control;
	int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	char byte;
	bool taken;

	assert_int_equal(connect(s, (struct sockaddr *)&address, sizeof address), 0);
	if (fd >= 0) {
		message.msg_controllen = sizeof control;
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(head), &fd, sizeof fd);
	}
	/* who is slow to send is not waited for */
	taken = sendmsg(s, &message, MSG_NOSIGNAL) > 0 && read(s, &byte, 1) == 1;
	close(s);
	return taken;
}

static int new_port(const uint8_t *mac)
{
	struct switch_port wish = {.version = SWITCH_VERSION};
	int ends[2];

	memcpy(wish.mac, mac, 6);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	for (unsigned tries = 0; !join(&wish, ends[1]); tries++)
		assert_true(tries < 20);
	close(ends[1]);
	return ends[0];
}

static int start(void **state)
{
	struct error err = {""};
	int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	assert_non_null(mkdtemp(path));
	snprintf(address.sun_path, sizeof address.sun_path, "%s/s", path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(switch_create(listener, &sw, &err), 0);
	assert_int_equal(switch_start(sw, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
	for (unsigned i = 0; i < PORTS; i++)
		port[i] = new_port(macs[i]);
	return 0;
}

/* Ends by itself when its last guest has gone. */
static int stop(void **state)
{
	for (unsigned i = 0; i < PORTS; i++)
		close(port[i]);
	pthread_join(thread, NULL);
	switch_destroy(sw);
	unlink(address.sun_path);
	rmdir(path);
	return 0;
}

static void send_frame(unsigned from, const struct virtio_net_hdr_v1 *header, const uint8_t *frame,
	size_t len)
{
	struct virtio_net_hdr_v1 none = {0};
	const struct iovec iov[2] = {{(void *)(uintptr_t)(header ? header : &none), sizeof none},
		{(void *)(uintptr_t)frame, len}};

	assert_int_equal(writev(port[from], iov, 2), sizeof none + len);
}

/* The next frame that is not IPv6 (routers advertise themselves); 0: none within the time. */
static size_t next(unsigned to, struct virtio_net_hdr_v1 *header, uint8_t *frame, int ms)
{
	struct iovec iov[2] = {{header, sizeof *header}, {frame, NET_FRAME_MAX}};
	struct pollfd wait = {port[to], POLLIN, 0};

	while (poll(&wait, 1, ms) > 0) {
		ssize_t n = readv(port[to], iov, 2);

		assert_true(n > (ssize_t)sizeof *header);
		if (frame[12] == 0x86 && frame[13] == 0xdd)
			continue;
		return (size_t)n - sizeof *header;
	}
	return 0;
}

/* IPv4, a datagram of that many bytes. */
static size_t make(uint8_t *frame, unsigned from, const uint8_t *to, size_t data)
{
	memset(frame, 0, 42 + data);
	memcpy(frame, to, 6);
	memcpy(frame + 6, macs[from], 6);
	memcpy(frame + 12, "\x08\x00\x45", 3);
	frame[16] = (28 + data) >> 8;
	frame[17] = 28 + data;
	frame[22] = 64;
	frame[23] = 17;
	memcpy(frame + 26, "\x0a\0\2\x0f\x0a\0\2\x10\x03\xe8\x03\xe9", 12);
	for (size_t i = 0; i < data; i++)
		frame[42 + i] = i;
	return 42 + data;
}

static uint8_t sent[NET_FRAME_MAX], got[NET_FRAME_MAX];

/* What others' questions have left there. */
static void drain(unsigned from)
{
	struct virtio_net_hdr_v1 header;

	while (next(from, &header, got, 200)) {
	}
}

static void test_to_one(void **state)
{
	struct virtio_net_hdr_v1 header;

	drain(1);
	drain(2);
	for (size_t data = 1; data < 60000; data = data * 3 + 1) {
		size_t len = make(sent, 0, macs[1], data);

		send_frame(0, NULL, sent, len);
		assert_int_equal(next(1, &header, got, 10000), len);
		assert_memory_equal(got, sent, len);
	}
	/* The third has got nothing: what comes next there is what is sent to it. */
	send_frame(0, NULL, sent, make(sent, 0, macs[2], 7));
	assert_int_equal(next(2, &header, got, 10000), 49);
}

static void test_to_all(void **state)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
	struct virtio_net_hdr_v1 header;
	size_t len = make(sent, 1, all, 10);

	send_frame(1, NULL, sent, len);
	assert_int_equal(next(0, &header, got, 10000), len);
	assert_int_equal(next(2, &header, got, 10000), len);
}

/* 10.0.2.2 is there for each of them. */
static void test_way_out(void **state)
{
	static const uint8_t arp[22] = {8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
	struct virtio_net_hdr_v1 header;

	for (unsigned i = 0; i < 2; i++) {
		memset(sent, 255, 6);
		memcpy(sent + 6, macs[i], 6);
		memcpy(sent + 12, arp, sizeof arp);
		memcpy(sent + 22, macs[i], 6);
		memcpy(sent + 28, "\x0a\0\2\x0f", 4);
		sent[31] = 15 + i;
		memset(sent + 32, 0, 6);
		memcpy(sent + 38, "\x0a\0\2\2", 4);
		send_frame(i, NULL, sent, 42);
		do
			assert_true(next(i, &header, got, 10000) >= 42);
		while (got[12] != 8 || got[13] != 6 || got[21] != 2);
		assert_memory_equal(got, macs[i], 6);
		assert_memory_equal(got + 28, "\x0a\0\2\2", 4);
	}
}

/* Each is followed by a good one, which has to be the next that comes. */
static void refuse(const uint8_t *frame, size_t len, const struct virtio_net_hdr_v1 *bad,
	const char *what)
{
	static uint8_t good[64];
	struct virtio_net_hdr_v1 header;
	size_t good_len = make(good, 0, macs[2], 11);

	send_frame(0, bad, frame, len);
	send_frame(0, NULL, good, good_len);
	do {
		if (!next(2, &header, got, 10000))
			fail_msg("nothing comes behind %s", what);
		if (!memcmp(got, frame, len < 42 ? len : 42))
			fail_msg("%s comes through", what);
	} while (memcmp(got, good, good_len));
}

static void test_refused(void **state)
{
	struct virtio_net_hdr_v1 header = {0};
	size_t len = make(sent, 0, macs[2], 20);

	sent[6 + 5] = 2;
	refuse(sent, len, NULL, "another MAC");
	make(sent, 0, macs[2], 20);
	sent[26 + 3] = 2;
	refuse(sent, len, NULL, "the network's own address");
	make(sent, 0, macs[2], 20);
	sent[35] = 67;
	sent[34] = 0;
	refuse(sent, len, NULL, "an answer of DHCP");
	make(sent, 0, macs[2], 20);
	memcpy(sent + 12, "\x81\0\0\1\x08\0", 6);
	refuse(sent, len, NULL, "a VLAN tag");
	make(sent, 0, macs[2], 20);
	memcpy(sent + 12, "\x08\x06\0\1\x08\0\6\4\0\2\2\0\0\0\0\2\x0a\0\2\x0f", 20);
	refuse(sent, len, NULL, "ARP as another card");
	memcpy(sent + 22, "\2\0\0\0\0\1\x0a\0\2\2", 10);
	refuse(sent, len, NULL, "ARP for the way out");
	make(sent, 0, macs[2], 20);
	header = (struct virtio_net_hdr_v1){.flags = 1, .csum_start = 60, .csum_offset = 16};
	refuse(sent, len, &header, "a checksum behind the end");
	header = (struct virtio_net_hdr_v1){.flags = 1, .gso_type = 1};
	refuse(sent, len, &header, "segments of nothing");
	header = (struct virtio_net_hdr_v1){.flags = 1, .gso_type = 3, .gso_size = 100};
	refuse(sent, len, &header, "a kind of segments that is not on offer");
	memset(sent, 0, 100);
	memcpy(sent, macs[2], 6);
	memcpy(sent + 6, macs[0], 6);
	memcpy(sent + 12, "\x86\xdd\x60", 3);
	sent[20] = 58;
	sent[54] = 134;
	refuse(sent, 78, NULL, "a router advertisement");
	sent[20] = 0;
	sent[54] = 58;
	sent[62] = 134;
	refuse(sent, 86, NULL, "one behind options");
	sent[20] = 44;
	sent[21] = 255;
	refuse(sent, 86, NULL, "one in pieces");
	sent[20] = 17;
	sent[54] = 2;
	sent[55] = 0x23;
	refuse(sent, 86, NULL, "an answer of DHCPv6");
}

static void test_joining(void **state)
{
	struct switch_port wish = {.version = SWITCH_VERSION + 1, .mac = {2}};
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_false(join(&wish, ends[1]));
	wish.version = SWITCH_VERSION;
	assert_false(join(&wish, -1));
	wish.mac[0] = 1;
	assert_false(join(&wish, ends[1]));
	close(ends[0]);
	close(ends[1]);
	/* One that has gone makes room. */
	for (unsigned i = 0; i < SWITCH_PORTS_MAX + 20; i++)
		close(new_port((const uint8_t[]){2, 0, 0, 9, 9, i}));
	test_to_one(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_to_one),
		cmocka_unit_test(test_to_all),
		cmocka_unit_test(test_way_out),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_joining),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
