/* SPDX-License-Identifier: Apache-2.0 */
/* Large TCP frames: taking them apart, and their checksums. */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
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
		cmocka_unit_test(test_not_tcp),
		cmocka_unit_test(test_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
