/* SPDX-License-Identifier: Apache-2.0 */
/* The network device over user-mode networking, with frames made by hand. */
#include "virtio_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "net/frame.h"
#include "virtio/net.h"

#define HDR 12
#define FEATURES                                                                                 \
	(VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
		0xffffff)
#define RX_DATA RIG_DATA
#define TX_DATA (RIG_DATA + 0x100000)
enum { RX, TX };

struct fixture {
	struct rig rig;
	struct net *net;
	struct nic *nic;
	struct ring ring[2];
	uint8_t *rx, *tx;
	uint32_t rx_len;
};

static void setup_spec(struct fixture *f, const struct net_spec *spec, uint64_t features)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct error err = {0};

	assert_int_equal(net_open(spec, &f->net, &err), 0);
	rig_open(&f->rig);
	assert_int_equal(virtio_net_create(&f->rig.pci, &f->rig.mem, f->net, mac, NULL, &f->nic,
				 &err),
		0);
	rig_start(&f->rig, features, f->ring, 2);
	f->rx = memory_ptr(&f->rig.mem, RX_DATA, 0x100000);
	f->tx = memory_ptr(&f->rig.mem, TX_DATA, 0x20000);
	f->rx_len = 0;
}

static void setup(struct fixture *f, const char *text, uint64_t features)
{
	struct error err = {0};
	struct net_spec spec;

	assert_int_equal(net_spec_parse(text, &spec, &err), 0);
	setup_spec(f, &spec, features);
	net_spec_free(&spec);
}

static void teardown(struct fixture *f)
{
	nic_destroy(f->nic);
	net_close(f->net);
	rig_close(&f->rig);
}

static void offer_rx(struct fixture *f, uint32_t len)
{
	uint16_t at = ring_desc(&f->ring[RX], 0, len, VIRTQ_DESC_WRITE);

	f->ring[RX].desc[at].addr = RX_DATA + 0x10000 * at;
	f->rx_len = len;
	ring_offer(&f->ring[RX], at);
}

static void transmit(struct fixture *f, uint32_t len)
{
	ring_offer(&f->ring[TX], ring_desc(&f->ring[TX], TX_DATA, HDR + len, 0));
	ring_notify(&f->ring[TX]);
}

static void make_arp(uint8_t *frame)
{
	static const uint8_t arp[42] = {
		0xff,
		0xff,
		0xff,
		0xff,
		0xff,
		0xff,
		2,
		0,
		0,
		0,
		0,
		1,
		8,
		6, /* Ethernet */
		0,
		1,
		8,
		0,
		6,
		4,
		0,
		1,
		2,
		0,
		0,
		0,
		0,
		1,
		10,
		0,
		2,
		15, /* who has, tell */
		0,
		0,
		0,
		0,
		0,
		0,
		10,
		0,
		2,
		2,
	};

	memcpy(frame, arp, sizeof(arp));
}

static void expect_arp_reply(const uint8_t *frame)
{
	assert_memory_equal(frame, "\2\0\0\0\0\1", 6);
	assert_memory_equal(frame + 12, "\x08\x06", 2);
	assert_int_equal(frame[21], 2);
	assert_memory_equal(frame + 28, "\x0a\0\2\2", 4);
}

static void test_config(void **state)
{
	struct fixture f;

	setup(&f, "user", FEATURES);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG, 4), 2);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 4, 2), 0x0100);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 6, 2), 1);
	nic_set_link(f.nic, false);
	assert_false(nic_link_seen(f.nic));
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 4, 2), 0x0100);
	assert_false(nic_link_seen(f.nic));
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 6, 2), 0);
	assert_true(nic_link_seen(f.nic));
	assert_int_equal(f.rig.msi[0], 1);
	nic_set_link(f.nic, false);
	assert_int_equal(f.rig.msi[0], 1);
	nic_set_mac(f.nic, (const uint8_t[]){0x06, 7, 8, 9, 10, 11});
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG, 4), 0x09080706);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 4, 2), 0x0b0a);
	teardown(&f);
}

static void test_arp(void **state)
{
	struct virtq_used_elem used;
	struct fixture f;

	setup(&f, "user", FEATURES);
	offer_rx(&f, 2048);
	make_arp(f.tx + HDR);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[TX], &used));
	assert_true(ring_wait(&f.ring[RX], &used));
	assert_true(used.len >= HDR + 42);
	assert_int_equal(f.rx[10], 1); /* num_buffers */
	assert_int_equal(f.rx[0], 2);  /* its checksums are good */
	expect_arp_reply(f.rx + HDR);
	teardown(&f);
}

/* A frame comes in pieces when buffers are small, and waits when there are none. */
static void test_mergeable_and_waiting(void **state)
{
	struct virtq_used_elem used;
	struct fixture f;
	uint8_t frame[64];
	uint32_t len = 0;

	setup(&f, "user", FEATURES);
	make_arp(f.tx + HDR);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[TX], &used));
	usleep(20000);
	assert_int_equal(f.ring[RX].used->idx, 0);
	for (unsigned i = 0; i < 4; i++)
		offer_rx(&f, 20);
	ring_notify(&f.ring[RX]);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(ring_wait(&f.ring[RX], &used));
		memcpy(frame + len, f.rx + 0x10000 * used.id, used.len);
		len += used.len;
	}
	assert_true(len >= HDR + 42);
	assert_int_equal(frame[10], f.ring[RX].used->idx);
	expect_arp_reply(frame + HDR);
	teardown(&f);
}

/*
 * One buffer of several that a frame needs: the device waits for another, without its lock, whatever
 * way the guest is told that more are wanted.
 */
static void waits_for_the_rest(uint64_t features)
{
	struct virtq_used_elem used;
	struct fixture f;

	setup(&f, "user", features);
	offer_rx(&f, 20);
	make_arp(f.tx + HDR);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[TX], &used));
	usleep(20000);
	/* nothing is given back, and the device still answers */
	assert_int_equal(f.ring[RX].used->idx, 0);
	assert_int_equal(rig_status(&f.rig), 15);
	ring_notify(&f.ring[RX]);
	usleep(20000);
	assert_int_equal(f.ring[RX].used->idx, 0);
	offer_rx(&f, 2048);
	ring_notify(&f.ring[RX]);
	assert_true(ring_wait(&f.ring[RX], &used));
	assert_int_equal(used.id, 0);
	assert_true(ring_wait(&f.ring[RX], &used));
	assert_int_equal(f.rx[10], 2);
	/* it stops in the middle of the wait, too */
	f.ring[RX].free = 0;
	offer_rx(&f, 20);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[TX], &used));
	usleep(20000);
	teardown(&f);
}

static void test_one_buffer_of_two(void **state)
{
	waits_for_the_rest(FEATURES);
	waits_for_the_rest(FEATURES & ~VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX));
}

/* Without mergeable buffers a frame that does not fit is dropped, and the next one comes. */
static void test_small_buffer(void **state)
{
	struct virtq_used_elem used;
	struct fixture f;

	setup(&f, "user", 0);
	offer_rx(&f, 30);
	make_arp(f.tx + HDR);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[TX], &used));
	usleep(20000);
	assert_int_equal(f.ring[RX].used->idx, 0);
	f.ring[RX].desc[0].len = 100;
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[RX], &used));
	assert_int_equal(f.rx[0], 0);
	expect_arp_reply(f.rx + HDR);
	teardown(&f);
}

static void test_bad_frames(void **state)
{
	struct virtq_used_elem used;
	struct fixture f;

	setup(&f, "user", FEATURES);
	for (unsigned len = 0; len < 60; len++) { /* shorter than their headers */
		memset(f.tx, 0, HDR);
		make_arp(f.tx + HDR);
		f.tx[0] = len & 1;
		f.tx[6] = len;
		f.tx[8] = 2 * len;
		f.ring[TX].free = 0;
		ring_offer(&f.ring[TX], ring_desc(&f.ring[TX], TX_DATA, len + 1, 0));
		ring_notify(&f.ring[TX]);
		assert_true(ring_wait(&f.ring[TX], &used));
	}
	memset(f.tx + HDR, 0x45, 0x10000); /* and a huge one */
	memset(f.tx, 0, HDR);
	memcpy(f.tx + HDR + 12, "\x08\x00", 2);
	transmit(&f, 65520 + 14);
	assert_true(ring_wait(&f.ring[TX], &used));
	transmit(&f, 0x1ffff - HDR);
	assert_true(ring_wait(&f.ring[TX], &used));
	assert_int_equal(rig_status(&f.rig), 15);
	/* A receive buffer that is to be read */
	ring_offer(&f.ring[RX], ring_desc(&f.ring[RX], RX_DATA, 100, 0));
	make_arp(f.tx + HDR);
	transmit(&f, 42);
	for (unsigned i = 0; i < 1000 && rig_status(&f.rig) == 15; i++)
		usleep(1000);
	assert_int_equal(rig_status(&f.rig), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	teardown(&f);
}

/* UDP to a port of the host by an address, its checksum left to the device. Does it arrive? */
static bool reaches(const char *net, uint32_t to)
{
	static const uint8_t packet[] = {
		0x52, 0x55, 10, 0, 2, 2, 2, 0, 0, 0, 0, 1, 8, 0,                    /* Ethernet */
		0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 15, 0, 0, 0, 0, /* IP */
		0x12, 0x34, 0, 0, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o',             /* UDP */
	};
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	const struct timeval patience = {.tv_usec = 300000};
	socklen_t addr_len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint16_t sum,
		word[6] = {htons(0x0a00), htons(0x020f), htons((uint16_t)(to >> 16)),
			htons((uint16_t)to), htons(17), htons(13)};
	struct virtq_used_elem used;
	struct fixture f;
	char buf[16];
	bool arrived;

	to = htonl(to);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &addr_len), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setup(&f, net, FEATURES);
	memset(f.tx, 0, HDR);
	f.tx[0] = 1;  /* needs a checksum */
	f.tx[6] = 34; /* from here */
	f.tx[8] = 6;  /* to there */
	memcpy(f.tx + HDR, packet, sizeof(packet));
	memcpy(f.tx + HDR + 30, &to, 4);
	memcpy(f.tx + HDR + 36, &addr.sin_port, 2);
	sum = ~checksum_add(f.tx + HDR + 14, 20);
	memcpy(f.tx + HDR + 24, &sum, 2);
	sum = checksum_add((const uint8_t *)word, sizeof(word));
	memcpy(f.tx + HDR + 40, &sum, 2);
	transmit(&f, sizeof(packet));
	assert_true(ring_wait(&f.ring[TX], &used));
	arrived = recv(fd, buf, sizeof(buf), 0) == 5 && !memcmp(buf, "hello", 5);
	close(fd);
	teardown(&f);
	return arrived;
}

static void test_checksum_offload(void **state)
{
	assert_true(reaches("user,loopback", 0x0a000202));
}

/* What listens on the host's loopback addresses is out of reach, whatever name the guest has for it. */
static void test_loopback(void **state)
{
	assert_false(reaches("user", 0x0a000202));
	for (unsigned loopback = 0; loopback < 2; loopback++) {
		const char *net = loopback ? "user,loopback" : "user";

		assert_false(reaches(net, 0x7f000001));
		assert_false(reaches(net, 0x7f0000ff));
		assert_false(reaches(net, 0));
		assert_false(reaches(net, 0xa9fea9fe));
	}
}

/* A port of this host that nobody uses now. */
static uint16_t free_port(int type)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t addr_len = sizeof(addr);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &addr_len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

/* A datagram to a forwarded port arrives, once the guest has said where it is. */
static void test_udp_forward(void **state)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	uint16_t port = free_port(SOCK_DGRAM);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct virtq_used_elem used;
	struct fixture f;
	char text[80];
	uint8_t *frame;

	snprintf(text, sizeof(text), "user,fwd=udp:127.0.0.1:%u-:5353", port);
	setup(&f, text, FEATURES);
	for (unsigned i = 0; i < 8; i++)
		offer_rx(&f, 2048);
	addr.sin_port = htons(port);
	assert_int_equal(sendto(fd, "datagram", 8, 0, (struct sockaddr *)&addr, sizeof(addr)), 8);
	assert_true(ring_wait(&f.ring[RX], &used));
	frame = f.rx + 0x10000 * used.id + HDR;
	assert_memory_equal(frame + 12, "\x08\x06", 2); /* who has 10.0.2.15? */
	assert_memory_equal(frame + 38, "\x0a\0\2\x0f", 4);
	make_arp(f.tx + HDR);
	memcpy(f.tx + HDR, frame + 6, 6);
	f.tx[HDR + 21] = 2; /* a reply */
	memcpy(f.tx + HDR + 32, frame + 22, 10);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[RX], &used));
	frame = f.rx + 0x10000 * used.id + HDR;
	assert_memory_equal(frame, "\2\0\0\0\0\1", 6);
	assert_int_equal(frame[23], 17);
	assert_int_equal(frame[36] << 8 | frame[37], 5353);
	assert_memory_equal(frame + 42, "datagram", 8);
	close(fd);
	teardown(&f);
}

static void test_busy_port(void **state)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t addr_len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct error err = {0};
	struct net_spec spec;
	struct net *net = NULL;
	char text[80];

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &addr_len), 0);
	snprintf(text, sizeof(text), "user,fwd=tcp:127.0.0.1:%u-:22", ntohs(addr.sin_port));
	assert_int_equal(net_spec_parse(text, &spec, &err), 0);
	assert_int_equal(net_open(&spec, &net, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "127.0.0.1"));
	assert_non_null(strstr(err.text, "in use"));
	net_spec_free(&spec);
	close(fd);
	/* Free again, it can be had; twice it cannot. */
	assert_int_equal(net_spec_parse(text, &spec, &err), 0);
	assert_int_equal(net_open(&spec, &net, &err), 0);
	net_close(net);
	net_spec_free(&spec);
	net_close(NULL);
}

static void test_reset_under_load(void **state)
{
	struct virtq_used_elem used;
	struct fixture f;

	setup(&f, "user", FEATURES);
	for (unsigned i = 0; i < 300; i++) {
		for (unsigned j = 0; j < 5; j++) {
			offer_rx(&f, 2048);
			make_arp(f.tx + HDR);
			transmit(&f, 42);
		}
		rig_start(&f.rig, FEATURES, f.ring, 2);
	}
	offer_rx(&f, 2048);
	transmit(&f, 42);
	assert_true(ring_wait(&f.ring[RX], &used));
	teardown(&f);
}

/* A port of a switch is a socket: what comes out of its other end, at no more than a rate. */
static void test_rate(void **state)
{
	static uint8_t frame[2048];
	struct net_spec spec = {.kind = NET_TAP, .rate = 1000000, .rate_interval = 20000};
	struct virtq_used_elem used;
	struct fixture f;
	uint64_t start;
	size_t got = 0;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	spec.fd = ends[0];
	setup_spec(&f, &spec, FEATURES);
	memset(f.tx, 0, HDR);
	memset(f.tx + HDR, 0x5a, 1500);
	start = clock_now();
	for (unsigned i = 0; i < 200; i++) {
		struct pollfd wait = {ends[1], POLLIN, 0};
		ssize_t n;

		transmit(&f, 1500);
		assert_int_equal(poll(&wait, 1, 20000), 1);
		n = read(ends[1], frame, sizeof frame);
		assert_int_equal(n, HDR + 1500);
		assert_memory_equal(frame + HDR, f.tx + HDR, 1500);
		assert_true(ring_wait(&f.ring[TX], &used));
		got += 1500;
	}
	/* 20 kB at once, one frame too many, and the rest at a megabyte a second. */
	assert_true(clock_now() - start >= (got - 20000 - 1500) * 1000);
	teardown(&f);
	close(ends[1]);
}

/* Frames of which something is left to do, both ways; and the other end goes. */
static void test_unfinished(void **state)
{
	static uint8_t frame[70000];
	const struct virtio_net_hdr_v1 tso = {.flags = 1,
		.gso_type = 4,
		.hdr_len = 74,
		.gso_size = 1000,
		.csum_start = 54,
		.csum_offset = 16};
	struct net_spec spec = {.kind = NET_TAP, .mtu = 1400};
	struct virtio_net_hdr_v1 header;
	struct virtq_used_elem used;
	struct fixture f;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	spec.fd = ends[0];
	setup_spec(&f, &spec, FEATURES);
	assert_int_equal(rig_read(&f.rig, VIRTIO_PCI_CONFIG + 10, 2), 1400);
	memcpy(f.tx, &tso, sizeof tso);
	memset(f.tx + HDR, 0x5a, 9000);
	transmit(&f, 9000);
	assert_int_equal(read(ends[1], frame, sizeof frame), HDR + 9000);
	assert_memory_equal(frame, &tso, sizeof tso);
	offer_rx(&f, 0x10000);
	assert_int_equal(write(ends[1], frame, HDR + 9000), HDR + 9000);
	assert_true(ring_wait(&f.ring[RX], &used));
	memcpy(&header, f.rx, sizeof header);
	assert_int_equal(header.gso_type, 4);
	assert_int_equal(header.gso_size, 1000);
	assert_int_equal(header.num_buffers, 1);
	assert_memory_equal(f.rx + HDR, frame + HDR, 9000);
	/* Frames that are none do no harm. */
	assert_int_equal(write(ends[1], frame, 5), 5);
	close(ends[1]);
	transmit(&f, 100);
	teardown(&f);
}

/* What ICMPv6's checksum has to come to, with the pseudo header (RFC 8200, 8.1). */
static unsigned sum_of(const uint8_t *ip, size_t len)
{
	unsigned sum = (unsigned)len + 58;

	for (size_t i = 8; i < 40 + len; i += 2)
		sum += (unsigned)ip[i] << 8 | ip[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A guest that has come says so on its network, once: of its MAC, and of the addresses that are known. */
static void announces(void **state)
{
	static const uint8_t address[2][ANNOUNCE_ADDRESS] = {{0xfd, 5, [15] = 9},
		{0x20, 1, [15] = 1}};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct net_spec spec = {.kind = NET_TAP};
	struct fixture f;
	uint8_t got[256];
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	spec.fd = ends[0];
	setup_spec(&f, &spec, FEATURES);
	nic_announce(f.nic, address, 2);
	for (unsigned n = 0; n < 3; n++) {
		struct pollfd wait = {ends[1], POLLIN, 0};
		const uint8_t *frame = got + HDR, *ip = frame + 14;

		assert_int_equal(poll(&wait, 1, 20000), 1);
		assert_int_equal(read(ends[1], got, sizeof got), HDR + (n ? 86 : 60));
		assert_memory_equal(frame + 6, mac, 6);
		if (!n) {
			assert_memory_equal(frame + 12, "\x80\x35", 2);
			continue;
		}
		assert_memory_equal(frame, "\x33\x33\0\0\0\1", 6);
		assert_memory_equal(frame + 12, "\x86\xdd\x60\0\0\0\0\x20\x3a\xff", 10);
		assert_memory_equal(ip + 8, address[n - 1], 16);
		assert_memory_equal(ip + 24, "\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
		assert_memory_equal(ip + 40, "\x88\0", 2);
		/* No flag: nobody's address is taken from who has it. */
		assert_memory_equal(ip + 44, "\0\0\0\0", 4);
		assert_memory_equal(ip + 48, address[n - 1], 16);
		assert_memory_equal(ip + 64, "\2\1", 2);
		assert_memory_equal(ip + 66, mac, 6);
		assert_int_equal(sum_of(ip, 32), 0xffff);
	}
	teardown(&f);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(announces),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_mergeable_and_waiting),
		cmocka_unit_test(test_one_buffer_of_two),
		cmocka_unit_test(test_small_buffer),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_checksum_offload),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_udp_forward),
		cmocka_unit_test(test_busy_port),
		cmocka_unit_test(test_reset_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
