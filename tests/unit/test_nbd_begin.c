/* SPDX-License-Identifier: Apache-2.0 */
/* An NBD server before the data: addresses, and what it may say of its export. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "nbd/address.h"
#include "nbd_rig.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_addresses),
		cmocka_unit_test(refuses_addresses),
		cmocka_unit_test(begins),
		cmocka_unit_test(refuses_exports),
		cmocka_unit_test(refuses_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
