/* SPDX-License-Identifier: Apache-2.0 */
/* Large TCP frames: taking them apart, and their checksums. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "net/frame.h"

#define TCP 34

static void make_frame(uint8_t *frame, size_t len, unsigned options)
{
	static const uint8_t head[] = {
		2, 0, 0, 0, 0, 1, 0x52, 0x55, 10, 0, 2, 2, 8, 0, /* Ethernet */
		0x45, 0, 0, 0, 0xff, 0xfe, 0, 0, 64, 6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15, /* IP */
		0x12, 0x34, 0x56, 0x78, 0xff, 0xff, 0xff, 0, 1, 2, 3, 4, 0x50, 0x99, 0xff, 0xff, 0,
		0, 0, 0, /* TCP: CWR, ACK, PSH, FIN */
	};

	for (size_t i = 0; i < len; i++)
		frame[i] = i * 13 + (i >> 8);
	memcpy(frame, head, sizeof(head));
	frame[TCP + 12] = (5 + options) << 4;
}

/* As a receiver checks them: both sums over all, the pseudo header included, come to all ones. */
static void expect_good_sums(const uint8_t *frame, size_t len)
{
	uint8_t pseudo[12];
	uint32_t sum;

	assert_int_equal(frame[16] << 8 | frame[17], len - 14);
	assert_int_equal(checksum_add(frame + 14, 20), 0xffff);
	memcpy(pseudo, frame + 26, 8);
	pseudo[8] = 0;
	pseudo[9] = 6;
	pseudo[10] = (len - TCP) >> 8;
	pseudo[11] = len - TCP;
	sum = checksum_add(pseudo, 12) + checksum_add(frame + TCP, len - TCP);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

static void test_segments(void **state)
{
	static uint8_t frame[14 + 65535], whole[14 + 65535], out[FRAME_ETHERNET + FRAME_MTU];
	static const size_t lengths[] = {54, 55, 1514, 1515, 2974, 2975, 40001, 14 + 65535};

	for (unsigned options = 0; options <= 10; options += 5) {
		for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			size_t len = lengths[i] + 4 * options, done = TCP + 20 + 4 * options;
			struct frame_tcp tcp;

			if (len > sizeof(frame))
				len = sizeof(frame);
			make_frame(frame, len, options);
			assert_true(frame_parse_tcp(frame, len, &tcp));
			assert_int_equal(tcp.payload, done);
			memcpy(whole, frame, done);
			for (unsigned n = 0; n < frame_segments(&tcp); n++) {
				size_t part = frame_segment(frame, &tcp, n, out);
				bool last = n == frame_segments(&tcp) - 1;
				uint32_t sequence;

				assert_true(part <= sizeof(out));
				assert_true(last || part == sizeof(out));
				expect_good_sums(out, part);
				memcpy(&sequence, out + TCP + 4, 4);
				assert_int_equal(ntohl(sequence),
					0xffffff00u + (uint32_t)(done - tcp.payload));
				assert_int_equal(out[TCP + 13],
					0x10 | (last ? 9 : 0) | (n ? 0 : 0x80));
				memcpy(whole + done, out + tcp.payload, part - tcp.payload);
				done += part - tcp.payload;
			}
			assert_int_equal(done, len);
			assert_memory_equal(whole, frame, len);
			frame_finish_tcp(frame, &tcp);
			expect_good_sums(frame, len);
		}
	}
}

#define TCP6 54

static void make_frame6(uint8_t *frame, size_t len)
{
	static const uint8_t head[] = {2, 0, 0, 0, 0, 1, 0x52, 0x55, 10, 0, 2, 2, 0x86,
		0xdd, /* Ethernet */
		0x60, 1, 2, 3, 0, 0, 6, 64, 0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
		0xfe, 0xc0, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56, /* IP */
		0x12, 0x34, 0x56, 0x78, 0xff, 0xff, 0xff, 0, 1, 2, 3, 4, 0x80, 0x99, 0xff, 0xff, 0,
		0, 0, 0}; /* TCP, with 12 bytes of options */

	for (size_t i = 0; i < len; i++)
		frame[i] = i * 13 + (i >> 8);
	memcpy(frame, head, sizeof head);
}

static void expect_good_sum6(const uint8_t *frame, size_t len)
{
	const uint8_t rest[4] = {0, 6, (len - TCP6) >> 8, len - TCP6};
	uint32_t sum = checksum_add(frame + 22, 32) + checksum_add(rest, 4) +
		checksum_add(frame + TCP6, len - TCP6);

	assert_int_equal(frame[18] << 8 | frame[19], len - TCP6);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
}

/* For a wire, and for a network that takes more at once. */
static void test_segments6(void **state)
{
	static uint8_t frame[54 + 65535], whole[54 + 65535], out[16398];
	static const size_t lengths[] = {86, 87, 1514, 1515, 16398, 16399, 40001, 54 + 65535},
			    most[] = {FRAME_ETHERNET + FRAME_MTU, sizeof out};

	for (unsigned i = 0; i < 16; i++) {
		const size_t len = lengths[i / 2];
		size_t done = TCP6 + 32;
		struct virtio_net_hdr_v1 header;
		struct frame_tcp tcp;
		uint8_t sum[2];
		size_t at;

		make_frame6(frame, len);
		assert_true(frame_parse_tcp(frame, len, &tcp));
		assert_true(tcp.ipv6 && tcp.tcp == TCP6 && tcp.payload == done);
		assert_int_equal(tcp.mss, FRAME_MTU - 72);
		assert_int_equal(frame_describe(frame, len, &header, &at, sum), len > 1514);
		if (len > 1514)
			assert_true(header.gso_type == VIRTIO_NET_HDR_GSO_TCPV6 &&
				header.csum_start == TCP6 && at == TCP6 + 16);
		tcp.mss = most[i % 2] - done;
		memcpy(whole, frame, done);
		for (unsigned n = 0; n < frame_segments(&tcp); n++) {
			const size_t part = frame_segment(frame, &tcp, n, out);
			const bool last = n == frame_segments(&tcp) - 1;

			assert_true(last ? part <= most[i % 2] : part == most[i % 2]);
			expect_good_sum6(out, part);
			assert_memory_equal(out, frame, 18);
			assert_int_equal(out[TCP6 + 13], 0x10 | (last ? 9 : 0) | (n ? 0 : 0x80));
			memcpy(whole + done, out + tcp.payload, part - tcp.payload);
			done += part - tcp.payload;
		}
		assert_int_equal(done, len);
		assert_memory_equal(whole, frame, len);
		/* What a guest leaves to be done, if it is what it says. */
		header = (struct virtio_net_hdr_v1){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
		assert_false(frame_finish(&header, frame, len));
		header.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		assert_true(frame_finish(&header, frame, len));
		expect_good_sum6(frame, len);
	}
	/* Another header in between, another version, nothing behind. */
	make_frame6(frame, 100);
	for (size_t len = 0; len < 86; len++) {
		struct frame_tcp tcp;

		assert_false(frame_parse_tcp(frame, len, &tcp));
	}
	for (unsigned i = 0; i < 3; i++) {
		static const unsigned where[] = {20, 14, TCP6 + 12};
		struct frame_tcp tcp;

		make_frame6(frame, 100);
		frame[where[i]] = i == 2 ? 0x40 : 0x44;
		assert_false(frame_parse_tcp(frame, 100, &tcp));
	}
}

static void test_not_tcp(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} change[] = {
		{12, 0x86},
		{13, 0x06},
		{14, 0x65},
		{14, 0x44},
		{14, 0x4f},
		{20, 0x20},
		{21, 1},
		{23, 17},
		{TCP + 12, 0x40},
		{TCP + 12, 0xf0},
	};
	struct frame_tcp tcp;
	uint8_t frame[80];

	for (unsigned i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		make_frame(frame, sizeof(frame), 0);
		assert_true(frame_parse_tcp(frame, sizeof(frame), &tcp));
		frame[change[i].at] = change[i].value;
		assert_false(frame_parse_tcp(frame, sizeof(frame), &tcp));
	}
	make_frame(frame, sizeof(frame), 0);
	for (unsigned len = 0; len < 54; len++)
		assert_false(frame_parse_tcp(frame, len, &tcp));
}

static void test_checksum(void **state)
{
	static const uint8_t example[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	static uint8_t odd[70001];
	uint32_t plain = 0;

	assert_int_equal(htons(checksum_add(example, 8)), 0xddf2); /* RFC 1071, 3 */
	for (unsigned i = 0; i < sizeof(odd); i++)
		odd[i] = i * 31;
	for (unsigned i = 0; i < sizeof(odd); i += 2) {
		plain += odd[i] << 8 | (i + 1 < sizeof(odd) ? odd[i + 1] : 0);
		plain = (plain & 0xffff) + (plain >> 16);
	}
	assert_int_equal(htons(checksum_add(odd, sizeof(odd))), plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_segments6),
		cmocka_unit_test(test_not_tcp),
		cmocka_unit_test(test_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
