/* SPDX-License-Identifier: Apache-2.0 */
#include "client/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void http_init(struct http *http, int fd)
{
	*http = (struct http){.fd = fd, .length = -1};
}

void http_close(struct http *http)
{
	if (http->fd >= 0)
		close(http->fd);
	http->fd = -1;
}

static int send_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= n;
	}
	return 0;
}

int http_send(struct http *http, const char *method, const char *path, const char *upgrade,
	const char *body)
{
	char *head;
	size_t len = body ? strlen(body) : 0;
	int r = asprintf(&head,
		"%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s%sContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		method, path, upgrade ? "Connection: Upgrade\r\nUpgrade: " : "",
		upgrade ? upgrade : "", upgrade ? "\r\n" : "", len, body ? body : "");

	if (r < 0)
		return -ENOMEM;
	r = send_all(http->fd, head, r);
	free(head);
	return r;
}

/* More into buf. 0 is the end of the connection. */
static int fill(struct http *http)
{
	ssize_t n;

	if (http->start == http->end)
		http->start = http->end = 0;
	if (http->start) {
		memmove(http->buf, http->buf + http->start, http->end - http->start);
		http->end -= http->start;
		http->start = 0;
	}
	if (http->end == sizeof http->buf)
		return -EPROTO;
	do
		n = recv(http->fd, http->buf + http->end,
			http->exact ? 1 : sizeof http->buf - http->end, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	http->end += n;
	return n;
}

/* The next line without its end, terminated, inside buf. */
static int line(struct http *http, char **text)
{
	for (;;) {
		char *from = http->buf + http->start;
		char *end = memchr(from, '\n', http->end - http->start);
		int r;

		if (end) {
			http->start = end + 1 - http->buf;
			if (end > from && end[-1] == '\r')
				end--;
			*end = 0;
			*text = from;
			return 0;
		}
		r = fill(http);
		if (r <= 0)
			return r ? r : -EPIPE;
	}
}

static void header(struct http *http, const char *text)
{
	if (!strncasecmp(text, "Content-Length:", 15)) {
		char *end;

		http->length = strtoll(text + 15, &end, 10);
		if (*end || http->length < 0)
			http->length = -2;
	} else if (!strncasecmp(text, "Transfer-Encoding:", 18)) {
		http->chunked = strcasestr(text + 18, "chunked") != NULL;
	} else if (!strncasecmp(text, "Connection:", 11)) {
		http->keep = !strcasestr(text + 11, "close");
	}
}

int http_head(struct http *http)
{
	char *text;
	int r = line(http, &text);

	if (r)
		return r;
	if (sscanf(text, "HTTP/1.%*1[01] %3d", &http->status) != 1)
		return -EPROTO;
	http->keep = true;
	http->chunked = http->begun = false;
	http->length = -1;
	http->left = 0;
	for (unsigned lines = 0;; lines++) {
		r = line(http, &text);
		if (r || !*text)
			break;
		if (lines > 100)
			return -EPROTO;
		header(http, text);
	}
	return r ? r : http->length == -2 ? -EPROTO : 0;
}

/* The line before a chunk. */
static int chunk(struct http *http)
{
	char *text, *end;
	int r;

	if (http->begun) {
		r = line(http, &text);
		if (r)
			return r;
		if (*text)
			return -EPROTO;
		http->begun = false;
	}
	r = line(http, &text);
	if (r)
		return r;
	errno = 0;
	http->left = strtoull(text, &end, 16);
	if (errno || end == text || (*end && *end != ';') || http->left > HTTP_BODY_MAX)
		return -EPROTO;
	if (http->left) {
		http->begun = true;
		return 0;
	}
	do
		r = line(http, &text);
	while (!r && *text);
	http->chunked = r != 0;
	http->length = 0;
	return r;
}

/* Bytes that are there as they come, at most room. */
static int take(struct http *http, char *to, size_t room)
{
	size_t have = http->end - http->start;

	if (!have) {
		int r = fill(http);

		if (r <= 0)
			return r;
		have = r;
	}
	if (have > room)
		have = room;
	memcpy(to, http->buf + http->start, have);
	http->start += have;
	return have;
}

int http_read(struct http *http, char *to, size_t room)
{
	int r;

	if (http->chunked && !http->left) {
		r = chunk(http);
		if (r)
			return r;
	}
	if (!http->chunked)
		return 0;
	r = take(http, to, room < http->left ? room : http->left);
	if (r > 0)
		http->left -= r;
	return r ? r : -EPIPE;
}

static int grow(char **body, size_t *room, size_t need)
{
	char *more;

	if (need >= HTTP_BODY_MAX)
		return -EMSGSIZE;
	if (need < *room)
		return 0;
	*room = need < 2048 ? 4096 : need * 2;
	more = realloc(*body, *room);
	if (!more)
		return -ENOMEM;
	*body = more;
	return 0;
}

int http_body(struct http *http, char **out, size_t *len)
{
	char *body = NULL;
	size_t room = 0, used = 0;
	bool chunked = http->chunked;
	int r;

	if (!chunked && http->length > HTTP_BODY_MAX)
		return -EMSGSIZE;
	for (;;) {
		size_t want;

		r = grow(&body, &room, used + 1);
		if (r)
			break;
		want = room - 1 - used;
		if (chunked) {
			r = http_read(http, body + used, want);
		} else {
			if (http->length >= 0 && want > http->length - used)
				want = http->length - used;
			r = want ? take(http, body + used, want) : 0;
			if (!r && http->length >= 0 && used < http->length)
				r = -EPIPE;
		}
		if (r <= 0)
			break;
		used += r;
	}
	if (r < 0) {
		free(body);
		return r;
	}
	if (!chunked && http->length < 0)
		http->keep = false;
	body[used] = 0;
	*out = body;
	*len = used;
	return 0;
}
