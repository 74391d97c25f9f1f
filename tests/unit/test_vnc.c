/* SPDX-License-Identifier: Apache-2.0 */
/* The VNC server: how a client gets in, what it is sent in each encoding, what its keys become, and bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine/chipset/ps2.h"
#include "vnc/internal.h"

#define WIDTH 100u
#define HEIGHT 70u

struct rig {
	int monitor[2];
	struct vnc_server server;
	struct vnc_screen screen;
	struct vnc_client *client;
};

static void begin(struct rig *rig, const char *password)
{
	rig->client = vnc_client_create(&rig->server, &rig->screen, password, -1);
	assert_non_null(rig->client);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof *rig);

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, rig->monitor), 0);
	rig->server.monitor = rig->monitor[1];
	rig->server.name = "web";
	rig->screen.shown = (struct vga_picture){WIDTH, HEIGHT, calloc(WIDTH * HEIGHT, 4)};
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	vnc_client_destroy(rig->client);
	close(rig->monitor[0]);
	close(rig->monitor[1]);
	free(rig->screen.shown.pixels);
	free(rig);
	return 0;
}

static void say(struct rig *rig, const char *bytes, size_t len)
{
	vnc_client_take(rig->client, (const uint8_t *)bytes, len);
}

#define SAY(rig, bytes) say(rig, bytes, sizeof(bytes) - 1)

/* So many of the bytes that it has been sent; the others wait. */
static const uint8_t *hear(struct rig *rig, size_t len)
{
	static uint8_t bytes[1 << 20];
	struct vnc_bytes *out = &rig->client->out;

	assert_true(len <= sizeof bytes && len <= out->len);
	memcpy(bytes, out->data, len);
	memmove(out->data, out->data + len, out->len - len);
	out->len -= len;
	return bytes;
}

#define HEAR(rig, bytes)                                                                     \
	do {                                                                                 \
		assert_memory_equal(hear(rig, sizeof(bytes) - 1), bytes, sizeof(bytes) - 1); \
	} while (0)

static void nothing_more(struct rig *rig)
{
	assert_int_equal(rig->client->out.len, 0);
}

static void get_in(struct rig *rig)
{
	begin(rig, NULL);
	HEAR(rig, "RFB 003.008\n");
	SAY(rig, "RFB 003.008\n");
	HEAR(rig, "\1\1");
	SAY(rig, "\1");
	HEAR(rig, "\0\0\0\0");
	SAY(rig, "\1");
	HEAR(rig, "\0\144\0\106\x20\x18\0\1\0\xff\0\xff\0\xff\x10\x08\0\0\0\0\0\0\0\3web");
	nothing_more(rig);
	assert_int_equal(rig->client->state, VNC_NORMAL);
}

static void old_versions_get_in(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	hear(rig, 12);
	SAY(rig, "RFB 003.007\n");
	HEAR(rig, "\1\1");
	SAY(rig, "\1\1"); /* no result there */
	hear(rig, 27);
	nothing_more(rig);
	vnc_client_destroy(rig->client);
	begin(rig, NULL);
	hear(rig, 12);
	for (unsigned i = 0; i < 12; i++) /* in pieces */
		say(rig, &"RFB 003.003\n"[i], 1);
	HEAR(rig, "\0\0\0\1");
	SAY(rig, "\0");
	hear(rig, 27);
	nothing_more(rig);
}

static void password_is_asked_for(void **state)
{
	struct rig *rig = *state;
	uint8_t answer[16];

	/* The answer that a client makes of this password and this challenge (FIPS 46-3). */
	vnc_password_answer("COW", (const uint8_t *)"0123456789abcdef", answer);
	assert_memory_equal(answer,
		"\x8c\x3e\x75\xaf\x95\x86\xee\x25\xbb\x47\x67\x7a\x36\x34\x89\xce", 16);
	begin(rig, "secret");
	hear(rig, 12);
	SAY(rig, "RFB 003.008\n");
	HEAR(rig, "\1\2");
	SAY(rig, "\1"); /* without one */
	assert_int_equal(rig->client->state, VNC_ENDED);
	vnc_client_destroy(rig->client);
	begin(rig, "secret");
	hear(rig, 12);
	SAY(rig, "RFB 003.008\n");
	HEAR(rig, "\1\2");
	SAY(rig, "\2");
	vnc_password_answer("secreT", hear(rig, 16), answer);
	say(rig, (const char *)answer, 16);
	HEAR(rig, "\0\0\0\1\0\0\0\x0ewrong password");
	assert_int_equal(rig->client->state, VNC_ENDED);
	assert_true(rig->client->refused);
	SAY(rig, "\1");
	nothing_more(rig);
	vnc_client_destroy(rig->client);
	begin(rig, "secret");
	hear(rig, 12);
	SAY(rig, "RFB 003.003\n");
	HEAR(rig, "\0\0\0\2");
	vnc_password_answer("secret", hear(rig, 16), answer);
	say(rig, (const char *)answer, 16);
	HEAR(rig, "\0\0\0\0");
	assert_int_equal(rig->client->state, VNC_INIT);
}

static void expect(struct rig *rig, uint8_t key, bool down)
{
	struct vnc_event event;

	assert_int_equal(recv(rig->monitor[0], &event, sizeof event, MSG_DONTWAIT), sizeof event);
	assert_int_equal(event.kind, VNC_KEY);
	assert_int_equal(event.key, key);
	assert_int_equal(event.down, down);
}

static void expect_nothing(struct rig *rig)
{
	struct vnc_event event;

	assert_int_equal(recv(rig->monitor[0], &event, sizeof event, MSG_DONTWAIT), -1);
}

static void keys_are_told(void **state)
{
	struct rig *rig = *state;

	get_in(rig);
	SAY(rig, "\4\1\0\0\0\0\0a\4\0\0\0\0\0\0a");
	expect(rig, 0x1e, true);
	expect(rig, 0x1e, false);
	SAY(rig, "\4\0\0\0\0\0\0b"); /* it is not down */
	SAY(rig, "\4\1\0\0\0\0\x12\x34");
	expect_nothing(rig);
	/* By their codes. */
	SAY(rig, "\xff\0\0\1\0\0\0\0\0\0\0\x15");
	expect(rig, 0x15, true);
	SAY(rig, "\xff\0\0\1\0\0\0\0\0\0\xe0\x48");
	expect(rig, 0xc8, true);
	SAY(rig, "\xff\0\0\1\0\0\0\0\0\1\0\x48");
	expect_nothing(rig);
	/* Who goes holds nothing. */
	vnc_client_destroy(rig->client);
	rig->client = NULL;
	expect(rig, 0x15, false);
	expect(rig, 0xc8, false);
	expect_nothing(rig);
	assert_int_equal(vnc_key_of('%'), 0x06);
	assert_int_equal(vnc_key_of(0xffc6), 0x43);
	assert_int_equal(vnc_key_of(0xff53), 0xcd);
	assert_int_equal(vnc_key_of(0xe4), 0);
}

static void mouse_is_told(void **state)
{
	struct rig *rig = *state;
	struct vnc_event event;

	get_in(rig);
	SAY(rig, "\5\0\0\x0a\0\x14\5\1\0\x0d\0\x10\5\x0a\0\x0d\0\x10");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(recv(rig->monitor[0], &event, sizeof event, MSG_DONTWAIT),
			sizeof event);
		assert_int_equal(event.kind, VNC_POINTER);
		assert_int_equal(event.dx, i == 1 ? 3 : 0);
		assert_int_equal(event.dy, i == 1 ? -4 : 0);
		assert_int_equal(event.dz, i == 2 ? -1 : 0);
		assert_int_equal(event.buttons, i == 2 ? 4 : i);
	}
}

static void paint(struct rig *rig)
{
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		rig->screen.shown.pixels[i] = i % WIDTH < 16 ? 0x112233 : 0;
}

static void all_is_sent_raw(void **state)
{
	struct rig *rig = *state;
	const uint8_t *bytes;

	get_in(rig);
	paint(rig);
	assert_false(vnc_wants_update(rig->client));
	SAY(rig, "\3\0\0\0\0\0\0\144\0\106");
	assert_true(vnc_wants_update(rig->client));
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\0\0\0\0\144\0\106\0\0\0\0");
	bytes = hear(rig, 4 * WIDTH * HEIGHT);
	assert_memory_equal(bytes + 4 * WIDTH + 60, "\x33\x22\x11\0\0\0\0\0", 8);
	nothing_more(rig);
	/* Only what has changed, and only when it is asked for. */
	vnc_mark(rig->client, &(struct vnc_rect){96, 64, 4, 6});
	assert_false(vnc_wants_update(rig->client));
	SAY(rig, "\3\1\0\0\0\0\0\144\0\106");
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\x60\0\x40\0\4\0\6\0\0\0\0");
	hear(rig, 4 * 4 * 6);
	nothing_more(rig);
	/* In the client's own form: 16 bits, big-endian. */
	SAY(rig, "\0\0\0\0\x10\x10\1\1\0\x1f\0\x3f\0\x1f\x0b\5\0\0\0\0");
	SAY(rig, "\3\0\0\0\0\0\0\1\0\1");
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\0\0\0\0\144\0\106\0\0\0\0\x11\x06\x11\x06");
}

static void hextile_is_sent(void **state)
{
	struct rig *rig = *state;

	get_in(rig);
	paint(rig);
	rig->screen.shown.pixels[20] = rig->screen.shown.pixels[21] = 0xffffff;
	SAY(rig, "\2\0\0\2\0\0\0\5\0\0\0\0\3\1\0\0\0\0\0\144\0\106");
	vnc_mark(rig->client, &(struct vnc_rect){0, 0, 32, 16});
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\0\0\0\0\x20\0\x10\0\0\0\5");
	HEAR(rig, "\2\x33\x22\x11\0");
	HEAR(rig, "\x0e\0\0\0\0\xff\xff\xff\0\1\x40\x10");
	nothing_more(rig);
}

static void zrle_is_sent(void **state)
{
	struct rig *rig = *state;
	uint8_t unpacked[8192];
	z_stream zlib = {0};
	const uint8_t *bytes;
	uint32_t len;

	get_in(rig);
	paint(rig);
	for (unsigned i = 0; i < 40; i++)
		rig->screen.shown.pixels[i] = 0x010101 * i;
	SAY(rig, "\2\0\0\1\0\0\0\x10\3\0\0\0\0\0\0\144\0\106");
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\0\0\0\0\144\0\106\0\0\0\x10");
	bytes = hear(rig, 4);
	len = bytes[2] << 8 | bytes[3];
	assert_int_equal(inflateInit(&zlib), Z_OK);
	zlib.next_in = (uint8_t *)hear(rig, len);
	zlib.avail_in = len;
	zlib.next_out = unpacked;
	zlib.avail_out = sizeof unpacked;
	assert_int_equal(inflate(&zlib, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(zlib.avail_in, 0);
	assert_memory_equal(unpacked, "\x80\0\0\0\0\1\1\1\0\2\2\2\0", 13); /* runs */
	/* The tiles to the right and below are of one colour, or two. */
	assert_memory_equal(zlib.next_out - 4, "\1\0\0\0", 4);
	nothing_more(rig);
	inflateEnd(&zlib);
}

static void sizes_and_codes_are_told(void **state)
{
	struct rig *rig = *state;

	get_in(rig);
	SAY(rig, "\2\0\0\2\xff\xff\xff\x21\xff\xff\xfe\xfe\3\1\0\0\0\0\0\144\0\106");
	assert_true(vnc_wants_update(rig->client));
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\0\0\0\0\0\0\0\xff\xff\xfe\xfe");
	rig->screen.shown.width = 50;
	SAY(rig, "\3\1\0\0\0\0\0\144\0\106");
	vnc_send_update(rig->client);
	HEAR(rig, "\0\0\0\1\0\0\0\0\0\x32\0\x46\xff\xff\xff\x21");
	nothing_more(rig);
	/* The extended form. */
	SAY(rig, "\2\0\0\1\xff\xff\xfe\xcc\3\1\0\0\0\0\0\144\0\106");
	vnc_send_update(rig->client);
	HEAR(rig,
		"\0\0\0\1\0\0\0\0\0\x32\0\x46\xff\xff\xfe\xcc\1\0\0\0\0\0\0\0\0\0\0\0\0\x32\0\x46\0\0\0\0");
	nothing_more(rig);
	/* Fences and continuous updates. */
	SAY(rig, "\2\0\0\2\xff\xff\xfe\xc8\xff\xff\xfe\xc7");
	HEAR(rig, "\xf8\0\0\0\x80\0\0\0\0\x96");
	SAY(rig, "\xf8\0\0\0\x80\0\1\1\3abc");
	HEAR(rig, "\xf8\0\0\0\0\0\0\1\3abc");
	SAY(rig, "\x96\1\0\0\0\0\0\x32\0\x46");
	assert_true(vnc_wants_update(rig->client));
	vnc_send_update(rig->client);
	hear(rig, rig->client->out.len);
	assert_false(vnc_wants_update(rig->client));
	vnc_mark(rig->client, &(struct vnc_rect){0, 0, 1, 1});
	assert_true(vnc_wants_update(rig->client));
	SAY(rig, "\x96\0\0\0\0\0\0\0\0\0");
	HEAR(rig, "\x96");
}

static void slow_clients_get_no_more(void **state)
{
	struct rig *rig = *state;
	size_t len;

	get_in(rig);
	SAY(rig, "\3\0\0\0\0\0\0\144\0\106");
	vnc_send_update(rig->client);
	len = rig->client->out.len;
	for (unsigned i = 0; i < 1000; i++)
		SAY(rig, "\3\0\0\0\0\0\0\144\0\106");
	assert_false(vnc_wants_update(rig->client));
	assert_int_equal(rig->client->out.len, len);
}

#define BAD(rig, bytes)                                            \
	do {                                                       \
		get_in(rig);                                       \
		SAY(rig, bytes);                                   \
		assert_int_equal((rig)->client->state, VNC_ENDED); \
		vnc_client_destroy((rig)->client);                 \
		(rig)->client = NULL;                              \
	} while (0)

static void bad_clients_go(void **state)
{
	struct rig *rig = *state;

	begin(rig, NULL);
	SAY(rig, "GET / HTTP/1.1\r\n");
	assert_int_equal(rig->client->state, VNC_ENDED);
	vnc_client_destroy(rig->client);
	BAD(rig, "\1");                       /* no such message */
	BAD(rig, "\2\0\xff\xff");             /* so many encodings */
	BAD(rig, "\6\0\0\0\x7f\xff\xff\xff"); /* so much text */
	BAD(rig, "\6\0\0\0\x80\0\0\0");
	BAD(rig, "\xff\1\0\0\0\0\0\0\0\0\0\0");                   /* sound */
	BAD(rig, "\xf8\0\0\0\0\0\0\0\x41");                       /* a long fence */
	BAD(rig, "\0\0\0\0\x08\x08\0\0\0\7\0\7\0\3\0\3\6\0\0\0"); /* a table of colours */
	BAD(rig, "\0\0\0\0\x18\x18\0\1\0\7\0\7\0\3\0\3\6\0\0\0"); /* 24 bits */
	BAD(rig, "\0\0\0\0\x08\x08\0\1\0\7\0\7\0\3\0\3\7\0\0\0"); /* beyond the pixel */
	BAD(rig, "\0\0\0\0\x20\x18\0\1\0\0\0\7\0\3\0\3\7\0\0\0"); /* no red */
	/* Text in pieces is passed over, and areas beyond the screen are cut. */
	get_in(rig);
	SAY(rig, "\6\0\0\0\0\0\0\6abc");
	SAY(rig, "def\3\0\xff\xff\xff\xff\xff\xff\xff\xff");
	SAY(rig, "\3\0\0\0\0\0\xff\xff\xff\xff");
	SAY(rig, "\xfb\0\xff\xff\xff\xff\2\0aaaabbbbccccddddaaaabbbbccccdddd");
	assert_int_equal(rig->client->in_len, 0);
	assert_int_equal(rig->client->state, VNC_NORMAL);
	vnc_send_update(rig->client);
	hear(rig, 16 + 4 * WIDTH * HEIGHT);
	nothing_more(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(old_versions_get_in, setup, teardown),
		cmocka_unit_test_setup_teardown(password_is_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(mouse_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(all_is_sent_raw, setup, teardown),
		cmocka_unit_test_setup_teardown(hextile_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(zrle_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes_and_codes_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_clients_get_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_clients_go, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
