/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of HTTP/1.1 (RFC 9112) as a client of dachd needs: a request with a body, an answer whose
 * body has a length, comes in chunks, or ends with the connection. One struct a connection.
 * Everything that is read is bounded.
 */
#ifndef DACH_CLIENT_HTTP_H
#define DACH_CLIENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 8192u
#define HTTP_BODY_MAX (64u << 20)

struct http {
	int fd;
	char buf[HTTP_HEAD_MAX]; /* read, not yet used: start to end */
	size_t start, end;
	/* Of the last answer. */
	int status;
	bool chunked, keep;
	int64_t length; /* -1: not said */
	uint64_t left;  /* in the chunk that is being read */
	bool begun;     /* a chunk was read: its line end comes next */
	bool exact;     /* never read more than the answer: somebody else uses the socket next */
};

/* fd becomes the struct's. */
void http_init(struct http *http, int fd);
void http_close(struct http *http);

/* upgrade: NULL, or the protocol to change to. body: NULL, or JSON. 0 or a negative errno. */
int http_send(struct http *http, const char *method, const char *path, const char *upgrade,
	const char *body);
/* Reads an answer's head. -EPROTO: it is none. -EPIPE: the connection ended before it. */
int http_head(struct http *http);
/* Reads all of the body, with a 0 behind it; the caller's to free(). */
int http_body(struct http *http, char **body, size_t *len);

/*
 * Part of a body that comes in chunks: how many bytes (0: its end), -EAGAIN when the socket has no
 * more for now (it must not block), or an error.
 */
int http_read(struct http *http, char *to, size_t room);

#endif
