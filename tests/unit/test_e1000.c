/* SPDX-License-Identifier: Apache-2.0 */
/* The 82540EM: its EEPROM and PHY, frames both ways with what is left to the card, what a driver may get wrong, states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bytes.h"
#include "e1000_rig.h"

#define SEND_RING 0x1000u
#define RECEIVE_RING 0x2000u
#define RING 8u
#define SEND_DATA 0x10000u
#define RECEIVE_DATA 0x40000u
#define BUFFER 2048u

struct descriptor {
	uint64_t address;
	uint32_t lower, upper;
};

static struct e1000_world world;

static void start(void)
{
	e1000_put(&world, TDBAL, SEND_RING);
	e1000_put(&world, TDLEN, RING * 16);
	e1000_put(&world, TCTL, 2);
	e1000_put(&world, RDBAL, RECEIVE_RING);
	e1000_put(&world, RDLEN, RING * 16);
	for (unsigned i = 0; i < RING; i++) {
		struct descriptor d = {.address = RECEIVE_DATA + i * BUFFER};

		memory_write(&world.memory, RECEIVE_RING + 16 * i, &d, sizeof d);
	}
	e1000_put(&world, RDT, RING - 1);
	e1000_put(&world, RCTL, 0x04008002); /* broadcasts; without the check sequence */
	e1000_put(&world, IMS, 0x1ffff);
	e1000_get(&world, ICR);
}

static int set_up(void **state)
{
	e1000_world_open(&world, false);
	start();
	return 0;
}

static int set_up_offloaded(void **state)
{
	e1000_world_open(&world, true);
	start();
	return 0;
}

static int tear_down(void **state)
{
	e1000_world_close(&world);
	return 0;
}

static uint8_t *at(uint64_t gpa)
{
	return memory_ptr(&world.memory, gpa, 0x10000);
}

/* --- the chips -------------------------------------------------------------------------------------- */

static void clock_out(uint32_t bits, unsigned count)
{
	while (count--) {
		const uint32_t in = bits >> count & 1 ? 4 : 0;

		e1000_put(&world, EECD, 0x42 | in);
		e1000_put(&world, EECD, 0x43 | in);
	}
	e1000_put(&world, EECD, 0x42);
}

static uint16_t clock_in(void)
{
	uint16_t word = 0;

	for (unsigned i = 0; i < 16; i++) {
		e1000_put(&world, EECD, 0x43);
		word = word << 1 | (e1000_get(&world, EECD) & 8 ? 1 : 0);
		e1000_put(&world, EECD, 0x42);
	}
	return word;
}

static void eeprom(void **state)
{
	uint16_t sum = 0;

	assert_int_equal(e1000_get(&world, EECD) & 0x180, 0x100);
	e1000_put(&world, EECD, 0x40);
	assert_int_equal(e1000_get(&world, EECD) & 0x80, 0x80);
	for (unsigned i = 0; i < 64; i++) {
		uint16_t word;

		clock_out(6, 3);
		clock_out(i, 6);
		word = clock_in();
		sum += word;
		if (i == 1) /* the next one follows by itself */
			assert_int_equal(clock_in(), 0x0100);
		e1000_put(&world, EECD, 0x40);
		e1000_put(&world, EERD, i << 8 | 1);
		assert_int_equal(e1000_get(&world, EERD), (uint32_t)word << 16 | i << 8 | 0x10);
	}
	assert_int_equal(sum, 0xbaba);
	e1000_put(&world, EERD, 0xff01);
	assert_int_equal(e1000_get(&world, EERD), 0xff10);
	assert_int_equal(e1000_get(&world, RA), 2);
	assert_int_equal(e1000_get(&world, RA + 4), 0x80000100);
}

static uint32_t mdio(uint32_t what, unsigned reg, uint16_t value)
{
	e1000_put(&world, MDIC, what << 26 | 1 << 21 | reg << 16 | value);
	return e1000_get(&world, MDIC);
}

static void phy(void **state)
{
	assert_int_equal(mdio(2, 2, 0), 0x18220141);
	assert_int_equal(mdio(2, 3, 0) & 0xffff, 0x0c20);
	assert_int_equal(mdio(2, 1, 0) & 0x24, 0x24);
	mdio(1, 4, 0x1234);
	assert_int_equal(mdio(2, 4, 0) & 0xffff, 0x1234);
	mdio(1, 0, 0x8000);
	assert_int_equal(mdio(2, 4, 0) & 0xffff, 0x0de1);
	/* They agree at once; then the cable is pulled. */
	e1000_get(&world, ICR);
	mdio(1, 0, 0x1340);
	assert_int_equal(e1000_get(&world, ICR), INT_LINK);
	assert_int_equal(mdio(2, 0, 0) & 0xffff, 0x1140);
	nic_set_link(world.nic, false);
	assert_true(world.line);
	assert_false(nic_link_seen(world.nic));
	assert_int_equal(e1000_get(&world, STATUS) & 2, 0);
	assert_true(nic_link_seen(world.nic));
	assert_int_equal(mdio(2, 1, 0) & 0x24, 0);
	/* Nobody else is there. */
	e1000_put(&world, MDIC, 2 << 26 | 3 << 21 | 1 << 16);
	assert_int_equal(e1000_get(&world, MDIC) >> 28, 5);
	/* By ports. */
	bus_write(&world.io, E1000_PORTS, 4, RA);
	assert_int_equal(bus_read(&world.io, E1000_PORTS + 4, 4), 2);
	bus_write(&world.io, E1000_PORTS, 4, 0x1fffc);
	bus_write(&world.io, E1000_PORTS + 4, 4, 1);
	assert_int_equal(bus_read(&world.io, E1000_PORTS + 4, 4), 0);
}

/* --- sending ----------------------------------------------------------------------------------------- */

static void describe(unsigned n, uint64_t address, uint32_t lower, uint32_t upper)
{
	struct descriptor d = {address, lower, upper};

	memory_write(&world.memory, SEND_RING + n * 16, &d, sizeof d);
}

/* Up to there. */
static void send_to(unsigned tail)
{
	e1000_put(&world, TDT, tail);
	world.net.client.transmit(world.net.client.ctx);
}

static uint32_t outcome(unsigned n)
{
	return ((struct descriptor *)at(SEND_RING))[n].upper & 0xff;
}

/* A TCP segment over IPv4 with so many bytes of data, at SEND_DATA; its sums are nought. */
static size_t make_segment(size_t data)
{
	static const uint8_t head[54] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0,
		1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 81, 0, 0, 0, 1, 0, 0,
		0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0};

	memcpy(at(SEND_DATA), head, sizeof head);
	for (size_t i = 0; i < data; i++)
		at(SEND_DATA)[sizeof head + i] = i * 7;
	return sizeof head + data;
}

/* The sum of TCP is as it should be. */
static void check_tcp_sum(const uint8_t *frame, size_t len)
{
	struct frame_tcp tcp;
	uint32_t sum;

	assert_true(frame_parse_tcp(frame, len, &tcp));
	sum = frame_pseudo_sum(frame, &tcp) + checksum_add(frame + tcp.tcp, len - tcp.tcp);
	assert_int_equal(sum % 0xffff, 0);
}

/* And that of IP. */
static void check_sums(const uint8_t *frame, size_t len)
{
	check_tcp_sum(frame, len);
	assert_int_equal(checksum_add(frame + 14, 20), 0xffff);
}

static void sends(void **state)
{
	memset(at(SEND_DATA), 0x11, 300);
	describe(0, SEND_DATA, 100, 0);
	describe(1, SEND_DATA + 100, 50 | 0x09000000, 0);
	send_to(1);
	assert_int_equal(world.frames, 0);
	send_to(2);
	assert_int_equal(world.frames, 1);
	assert_int_equal(world.len, 150);
	assert_memory_equal(world.frame, at(SEND_DATA), 150);
	assert_int_equal(outcome(0), 0);
	assert_int_equal(outcome(1), 1);
	assert_int_equal(e1000_get(&world, ICR), INT_SENT | INT_RING_EMPTY);
	assert_int_equal(e1000_get(&world, TDH), 2);
	/* Short ones are filled up, and tags are put in. */
	e1000_put(&world, CTRL, CTRL_VLANS);
	describe(2, SEND_DATA, 20 | 0x49000000, 0x01230000);
	send_to(3);
	assert_int_equal(world.len, 60);
	assert_memory_equal(world.frame + 12, "\x81\0\x01\x23", 4);
	assert_int_equal(world.frame[30], 0);
	assert_int_equal(e1000_get(&world, GPTC), 2);
	assert_int_equal(e1000_get(&world, GPTC), 0);
}

static void sends_with_sums(void **state)
{
	const size_t len = make_segment(100);
	uint8_t *data = at(SEND_DATA);
	struct frame_tcp tcp;
	uint16_t sum;

	data[16] = 0;
	data[17] = 140;
	assert_true(frame_parse_tcp(data, len, &tcp));
	sum = frame_pseudo_sum(data, &tcp);
	memcpy(data + 50, &sum, 2);
	/* Where the sums are: IP's from 14 to 33 at 24, TCP's from 34 to the end at 50. */
	describe(0, 14 | 24 << 8 | 33 << 16 | (uint64_t)(34 | 50 << 8) << 32, 0x20000000, 0);
	describe(1, SEND_DATA, len | 0x29100000, 0x0300);
	send_to(2);
	assert_int_equal(world.frames, 1);
	check_sums(world.frame, world.len);
	/* One of the old kind has one of them. */
	describe(2, SEND_DATA, len | 50 << 16 | 0x0d000000, 34 << 8);
	send_to(3);
	assert_int_equal(world.frames, 2);
	check_tcp_sum(world.frame, world.len);
	assert_int_equal(world.frame[24] | world.frame[25], 0);
}

/* The same over IPv6. */
static size_t make_segment6(size_t data)
{
	const size_t len = make_segment(data);
	uint8_t *frame = at(SEND_DATA);

	memmove(frame + 74, frame + 54, data);
	memmove(frame + 54, frame + 34, 20);
	memset(frame + 14, 0, 40);
	memcpy(frame + 12, "\x86\xdd\x60", 3);
	memcpy(frame + 20, "\6\x40\xfd\0", 4);
	frame[37] = 1;
	frame[38] = 0xfd;
	frame[53] = 2;
	return len + 20;
}

/* The driver's three descriptors for one that is to be cut up every mss bytes; tag: among the last one's bits. */
static void send_cut(bool ipv6, size_t len, unsigned mss, uint32_t tag)
{
	const unsigned header = ipv6 ? 74 : 54;

	describe(0,
		14 | 24 << 8 | (header - 21) << 16 |
			(uint64_t)((header - 20) | (header - 4) << 8) << 32,
		ipv6 ? 0x25000000 : 0x27000000, header << 8 | mss << 16);
	describe(1, SEND_DATA, header | 0x24100000 | tag, 0x0300);
	describe(2, SEND_DATA + header, (len - header) | 0x2d100000 | tag, 0x01230300);
	send_to(3);
}

/* Large ones go on as they are, in order, to who cuts them up. */
static void sends_large(bool offloaded, bool ipv6)
{
	const size_t len = ipv6 ? make_segment6(5000) : make_segment(5000);
	struct frame_tcp tcp;

	send_cut(ipv6, len, 1000, 0);
	assert_int_equal(world.frames, 1);
	assert_int_equal(world.len, len);
	if (ipv6)
		assert_int_equal(world.frame[18] << 8 | world.frame[19], len - 54);
	else
		assert_int_equal(world.frame[16] << 8 | world.frame[17], len - 14);
	if (!offloaded) {
		check_tcp_sum(world.frame, len);
		if (!ipv6)
			check_sums(world.frame, len);
		return;
	}
	assert_int_equal(world.header.gso_type,
		ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(world.header.gso_size, 1000);
	assert_int_equal(world.header.csum_start, ipv6 ? 54 : 34);
	assert_int_equal(world.header.csum_offset, 16);
	assert_true(frame_parse_tcp(world.frame, len, &tcp));
	assert_int_equal(*(uint16_t *)(world.frame + tcp.tcp + 16),
		frame_pseudo_sum(world.frame, &tcp));
}

static void cuts_up(void **state)
{
	sends_large(false, false);
}

static void cuts_up_ipv6(void **state)
{
	sends_large(false, true);
}

static void has_it_cut_up(void **state)
{
	sends_large(true, false);
}

static void has_ipv6_cut_up(void **state)
{
	sends_large(true, true);
}

/* With a tag they are cut up by the card, whatever is behind it. */
static void cuts_up_tagged(void **state)
{
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		const size_t header = ipv6 ? 74 : 54;
		size_t len = ipv6 ? make_segment6(4010) : make_segment(4010);

		world.frames = 0;
		e1000_put(&world, CTRL, CTRL_VLANS);
		e1000_put(&world, TDH, 0);
		send_cut(ipv6, len, 1000, 0x40000000);
		/* The last of them: ten bytes. */
		assert_int_equal(world.frames, 5);
		assert_int_equal(world.len, header + 14);
		assert_memory_equal(world.frame + 12,
			ipv6 ? "\x81\0\x01\x23\x86\xdd" : "\x81\0\x01\x23\x08\0", 6);
		assert_memory_equal(world.frame + header + 4, at(SEND_DATA) + header + 4000, 10);
		memmove(world.frame + 12, world.frame + 16, world.len - 16);
		check_tcp_sum(world.frame, world.len - 4);
		/* In too many pieces: not at all. */
		e1000_put(&world, TDH, 0);
		send_cut(ipv6, len, 63, 0x40000000);
		assert_int_equal(world.frames, 5);
	}
}

static void refuses_to_send(void **state)
{
	/* Too long, too short, from nowhere, and to be cut up without being TCP. */
	for (unsigned i = 0; i < 6; i++)
		describe(i, SEND_DATA, 0xffff | 0x20100000 | (i == 5 ? 0x01000000u : 0), 0);
	send_to(6);
	describe(6, SEND_DATA, 13 | 0x09000000, 0);
	describe(7, E1000_MEMORY - 16, 64 | 0x09000000, 0);
	send_to(0);
	assert_int_equal(outcome(7), 1);
	describe(0, 0, 0x26000000, 54 << 8 | 1000u << 16);
	describe(1, SEND_DATA, 400 | 0x2d100000, 0x0300);
	send_to(2);
	assert_int_equal(world.frames, 0);
	/* A good one goes all the same. */
	describe(2, SEND_DATA, 64 | 0x09000000, 0);
	send_to(3);
	assert_int_equal(world.frames, 1);
	/* Rings that end before they begin. */
	e1000_put(&world, TDT, 0xffff);
	assert_false(world.net.client.transmit(world.net.client.ctx));
	e1000_put(&world, TDH, 0xffff);
	assert_false(world.net.client.transmit(world.net.client.ctx));
	e1000_put(&world, TDLEN, 0);
	e1000_put(&world, TDH, 0);
	e1000_put(&world, TDT, 1);
	assert_false(world.net.client.transmit(world.net.client.ctx));
	/* A ring that lies nowhere has descriptors without anything. */
	e1000_put(&world, TDLEN, RING * 16);
	e1000_put(&world, TDBAL, 0xfffff000);
	world.net.client.transmit(world.net.client.ctx);
	assert_int_equal(world.frames, 1);
	assert_int_equal(e1000_get(&world, TDH), 1);
}

/* --- receiving --------------------------------------------------------------------------------------- */

static uint8_t incoming[NET_FRAME_MAX];

static bool comes(size_t len)
{
	const bool taken = e1000_world_receive(&world, incoming, len);

	world.net.client.flush(world.net.client.ctx);
	return taken;
}

static const uint8_t *received(unsigned n)
{
	return at(RECEIVE_RING) + 16 * n;
}

static void to(const char *mac)
{
	memset(incoming, 0x22, sizeof incoming);
	memcpy(incoming, mac, 6);
}

static void receives(void **state)
{
	to("\2\0\0\0\0\1");
	assert_true(comes(100));
	assert_int_equal(e1000_get(&world, RDH), 1);
	assert_int_equal(received(0)[8], 100);
	assert_int_equal(received(0)[12], 7);
	assert_memory_equal(at(RECEIVE_DATA), incoming, 100);
	assert_int_equal(e1000_get(&world, ICR), INT_RECEIVED);
	/* Of somebody else's, none; of all, yes; of groups, those in the table. */
	to("\2\0\0\0\0\2");
	assert_true(comes(100));
	assert_int_equal(e1000_get(&world, RDH), 1);
	to("\xff\xff\xff\xff\xff\xff");
	assert_true(comes(20));
	assert_int_equal(e1000_get(&world, RDH), 2);
	assert_int_equal(received(1)[8], 60);
	assert_int_equal(at(RECEIVE_DATA + BUFFER)[30], 0);
	to("\1\0\x5e\0\x12\x34");
	assert_true(comes(100));
	assert_int_equal(e1000_get(&world, RDH), 2);
	e1000_put(&world, MTA + (0x341 / 32) * 4, 1u << 0x341 % 32);
	assert_true(comes(100));
	assert_int_equal(e1000_get(&world, RDH), 3);
	/* Too long, unless it takes long ones; those take several buffers. */
	to("\2\0\0\0\0\1");
	assert_true(comes(5000));
	assert_int_equal(e1000_get(&world, RDH), 3);
	e1000_put(&world, RCTL, 0x04008022);
	assert_true(comes(5000));
	assert_int_equal(e1000_get(&world, RDH), 6);
	assert_int_equal(received(3)[12] & 3, 1);
	assert_int_equal(received(5)[12] & 3, 3);
	assert_int_equal(received(5)[8] | received(5)[9] << 8, 5000 - 2 * BUFFER);
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(at(RECEIVE_DATA + 3 * BUFFER)[i], incoming[i]);
	assert_true(e1000_get(&world, ICR) & INT_FEW_BUFFERS);
	/* There are too few. */
	assert_false(comes(5000));
	assert_true(comes(100));
	assert_false(comes(100));
	e1000_put(&world, RDT, 6);
	assert_true(comes(5000));
	/* There never are. */
	e1000_put(&world, RCTL, 0x04038022);
	assert_true(comes(5000));
	/* With the check sequence. */
	e1000_put(&world, RDH, 0);
	e1000_put(&world, RCTL, 0x00008002);
	assert_true(comes(100));
	assert_int_equal(received(0)[8], 104);
}

static void receives_tcp(void **state)
{
	const size_t len = make_segment(4000);
	struct frame_tcp tcp;

	memcpy(incoming, at(SEND_DATA), len);
	memcpy(incoming, "\2\0\0\0\0\1", 6);
	assert_true(frame_parse_tcp(incoming, len, &tcp));
	frame_finish_tcp(incoming, &tcp);
	/* Cut up for it, with a word on the sums. */
	e1000_put(&world, RXCSUM, 0x300);
	assert_true(comes(len));
	assert_int_equal(e1000_get(&world, RDH), 3);
	assert_int_equal(received(0)[8] | received(0)[9] << 8, 1514);
	assert_int_equal(received(0)[12], 0x63);
	check_sums(at(RECEIVE_DATA), 1514);
	check_sums(at(RECEIVE_DATA + 2 * BUFFER), received(2)[8] | received(2)[9] << 8);
	/* From where it stopped: two of three had room. */
	e1000_put(&world, RDT, 5);
	assert_false(comes(len));
	assert_int_equal(e1000_get(&world, RDH), 5);
	e1000_put(&world, RDT, 7);
	assert_true(comes(len));
	assert_int_equal(e1000_get(&world, RDH), 6);
	/* The network gives one up in the middle: the next large one comes from its beginning. */
	assert_false(comes(len));
	e1000_put(&world, RDT, 6);
	assert_true(comes(100));
	e1000_put(&world, RDT, 5);
	assert_true(comes(len));
	assert_int_equal(e1000_get(&world, RDH), 3);
}

static void receives_tagged(void **state)
{
	to("\2\0\0\0\0\1");
	memcpy(incoming + 12, "\x81\0\0\x05\x08\0", 6);
	assert_true(comes(100));
	assert_int_equal(received(0)[8], 100);
	e1000_put(&world, CTRL, CTRL_VLANS);
	assert_true(comes(100));
	assert_int_equal(received(1)[8], 96);
	assert_int_equal(received(1)[12] & 8, 8);
	assert_int_equal(received(1)[14] | received(1)[15] << 8, 5);
	assert_memory_equal(at(RECEIVE_DATA + BUFFER) + 12, "\x08\0", 2);
	/* Another VLAN than is wanted. */
	e1000_put(&world, RCTL, 0x04048002);
	assert_true(comes(100));
	assert_int_equal(e1000_get(&world, RDH), 2);
	e1000_put(&world, VFTA, 1u << 5);
	assert_true(comes(100));
	assert_int_equal(e1000_get(&world, RDH), 3);
	/* One that ends where its tag begins has none. */
	assert_true(comes(14));
	assert_int_equal(e1000_get(&world, RDH), 4);
	assert_int_equal(received(3)[12] & 8, 0);
}

static void resets(void **state)
{
	struct nic_counters counters;

	to("\2\0\0\0\0\1");
	assert_true(comes(100));
	assert_true(world.line);
	e1000_put(&world, CTRL, CTRL_RESET);
	assert_false(world.line);
	assert_int_equal(e1000_get(&world, RDLEN) | e1000_get(&world, IMS), 0);
	assert_int_equal(e1000_get(&world, RA + 4), 0x80000100);
	assert_true(comes(100));
	nic_counters(world.nic, &counters);
	assert_int_equal(counters.rx_frames, 1);
	assert_int_equal(counters.rx_bytes, 100);
	/* Another address, for who starts now; and the network is told. */
	nic_set_mac(world.nic, (uint8_t[6]){2, 0, 0, 0, 0, 7});
	e1000_put(&world, CTRL, CTRL_RESET);
	assert_int_equal(e1000_get(&world, RA + 4), 0x80000700);
	nic_announce(world.nic, NULL, 0);
	world.net.client.transmit(world.net.client.ctx);
	assert_int_equal(world.frames, 1);
	assert_int_equal(world.len, 60);
	assert_int_equal(world.frame[11], 7);
	nic_announce(world.nic, &(const uint8_t[16]){0xfe, 0x80}, 1);
	world.net.client.transmit(world.net.client.ctx);
	assert_int_equal(world.frames, 3);
}

static int describe_it(struct bytes *b, bool loads, struct error *err)
{
	struct e1000 *e = e1000_of(&world);
	struct state *s;
	int r;

	b->at = 0;
	assert_int_equal(loads ? state_load(BYTES_FROM(b), "saved", &s, err)
			       : state_save(BYTES_TO(b), "saved", &s, err),
		0);
	e->pci.ops->quiesce(&e->pci, true);
	e->pci.ops->describe(&e->pci, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

/* In the middle of a frame, and of a request to the EEPROM. */
static void saved(void **state)
{
	struct bytes b = {0};
	struct error err = {""};
	struct e1000 *e;

	memset(at(SEND_DATA), 0x11, 300);
	describe(0, SEND_DATA, 100, 0);
	send_to(1);
	e1000_put(&world, EECD, 0x40);
	clock_out(6, 3);
	nic_set_mac(world.nic, (uint8_t[6]){2, 0, 0, 0, 0, 5});
	mdio(1, 4, 0x1234);
	assert_int_equal(describe_it(&b, false, &err), 0);
	/* Nothing moves meanwhile. */
	to("\2\0\0\0\0\1");
	assert_false(comes(100));
	tear_down(NULL);
	e1000_world_open(&world, false);
	assert_int_equal(describe_it(&b, true, &err), 0);
	e = e1000_of(&world);
	e->pci.ops->quiesce(&e->pci, false);
	memset(at(SEND_DATA), 0x11, 300);
	describe(1, SEND_DATA, 50 | 0x09000000, 0);
	send_to(2);
	assert_int_equal(world.len, 150);
	clock_out(2, 6);
	assert_int_equal(clock_in(), 0x0500);
	assert_int_equal(mdio(2, 4, 0) & 0xffff, 0x1234);
	assert_int_equal(e1000_get(&world, RCTL), 0x04008002);
	free(b.data);
}

static void refuses_state(const char *what)
{
	struct bytes b = {0};
	struct error err = {""};

	assert_int_equal(describe_it(&b, false, &err), 0);
	assert_int_not_equal(describe_it(&b, true, &err), 0);
	assert_non_null(strstr(err.text, what));
	free(b.data);
	tear_down(NULL);
	set_up(NULL);
}

static void hostile_states(void **state)
{
	struct bytes b = {0};
	struct error err = {""};

	e1000_of(&world)->wire.count = 10;
	refuses_state("too many bits");
	e1000_of(&world)->wire.out = 16;
	refuses_state("too many bits");
	e1000_of(&world)->address = 0x20000;
	refuses_state("beyond its end");
	/* Bits that no register has do not come. */
	*e1000_reg(e1000_of(&world), RDLEN) = 0xffffffff;
	*e1000_reg(e1000_of(&world), 0x5c00) = 1;
	assert_int_equal(describe_it(&b, false, &err), 0);
	assert_int_equal(describe_it(&b, true, &err), 0);
	assert_int_equal(e1000_get(&world, RDLEN), 0xfff80);
	assert_int_equal(e1000_get(&world, 0x5c00), 0);
	free(b.data);
	nic_lose(world.nic);
	b = (struct bytes){0};
	assert_int_not_equal(describe_it(&b, false, &err), 0);
	free(b.data);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(eeprom),
		TEST(phy),
		TEST(sends),
		TEST(sends_with_sums),
		TEST(cuts_up),
		TEST(cuts_up_ipv6),
		TEST(cuts_up_tagged),
		cmocka_unit_test_setup_teardown(has_it_cut_up, set_up_offloaded, tear_down),
		cmocka_unit_test_setup_teardown(has_ipv6_cut_up, set_up_offloaded, tear_down),
		cmocka_unit_test_setup_teardown(cuts_up_tagged, set_up_offloaded, tear_down),
		TEST(refuses_to_send),
		TEST(receives),
		TEST(receives_tcp),
		TEST(receives_tagged),
		TEST(resets),
		TEST(saved),
		TEST(hostile_states),
	};

	return cmocka_run_group_tests_name("e1000", tests, NULL, NULL);
}
