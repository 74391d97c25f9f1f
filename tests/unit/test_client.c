/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of HTTP, with answers as they should and should not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"
#include "client/http.h"

/* An answer that somebody sent before he closed; what reading it gives. */
static int answer(const char *text, struct http *http, char **body, size_t *len)
{
	int pair[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[1], text, strlen(text)), strlen(text));
	close(pair[1]);
	http_init(http, pair[0]);
	*body = NULL;
	r = http_head(http);
	if (!r)
		r = http_body(http, body, len);
	http_close(http);
	return r;
}

static void test_good(void **state)
{
	struct http http;
	char *body;
	size_t len;

	assert_int_equal(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &http, &body,
				 &len),
		0);
	assert_int_equal(http.status, 200);
	assert_true(http.keep);
	assert_string_equal(body, "hello");
	free(body);
	assert_int_equal(answer("HTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\nConnection: close"
				"\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
				 &http, &body, &len),
		0);
	assert_int_equal(http.status, 404);
	assert_false(http.keep);
	assert_string_equal(body, "abc0123456789");
	free(body);
	assert_int_equal(answer("HTTP/1.1 200 OK\r\n\r\nto the end", &http, &body, &len), 0);
	assert_string_equal(body, "to the end");
	assert_false(http.keep);
	free(body);
}

static void test_bad(void **state)
{
	static const char *const texts[] = {
		"",
		"HTTP/1.1",
		"FTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 xyz\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
	};
	struct http http;
	char *body, *long_text;
	size_t len;

	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_true(answer(texts[i], &http, &body, &len) < 0);
		assert_null(body);
	}
	long_text = malloc(20001);
	memset(long_text, 'a', 20000);
	long_text[20000] = 0;
	memcpy(long_text, "HTTP/1.1 200 OK\r\n", 17);
	assert_int_equal(answer(long_text, &http, &body, &len), -EPROTO);
	free(long_text);
}

static void test_path(void **state)
{
	char buf[64];

	assert_string_equal(client_guest_path(buf, sizeof buf, "vm-1.a_b~", "/pause"),
		"/v1/guests/vm-1.a_b~/pause");
	assert_string_equal(client_guest_path(buf, sizeof buf, "a/../b c", ""),
		"/v1/guests/a%2F..%2Fb%20c");
	assert_null(client_guest_path(buf, sizeof buf,
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/pause"));
	for (size_t size = 16; size < sizeof buf; size++) {
		buf[size - 1] = 'x';
		client_guest_path(buf, size - 1, "%%%%%%%%%%%%%%%%%%", "/pause");
		assert_int_equal(buf[size - 1], 'x');
	}
}

static void test_nobody(void **state)
{
	struct client *client;
	struct error err = {0};

	assert_int_equal(client_open_socket("/nowhere/dachd.sock", &client, &err), -ENOENT);
	assert_null(client);
	assert_non_null(strstr(err.text, "/nowhere/dachd.sock"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
