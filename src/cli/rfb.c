/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rfb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SECONDS 30 /* without an answer */
#define SIDE_MAX 8192u
#define TEXT_MAX (1u << 20)

static int lost(struct error *err)
{
	return error_set(err, EIO, "the connection to the screen was lost: %s",
		errno == EAGAIN ? "no answer"
			: errno ? strerror(errno)
				: "it was closed");
}

static int get(struct rfb *rfb, void *to, size_t len, struct error *err)
{
	uint8_t *at = to;

	while (len) {
		ssize_t n = recv(rfb->fd, at, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		errno = n ? errno : 0;
		if (n <= 0)
			return lost(err);
		at += n;
		len -= n;
	}
	return 0;
}

static int put(struct rfb *rfb, const void *from, size_t len, struct error *err)
{
	const uint8_t *at = from;

	while (len) {
		ssize_t n = send(rfb->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return lost(err);
		at += n;
		len -= n;
	}
	return 0;
}

static uint32_t number(const uint8_t *at, unsigned size)
{
	uint32_t value = 0;

	while (size--)
		value = value << 8 | *at++;
	return value;
}

static int strange(struct error *err)
{
	return error_set(err, EPROTO, "what shows the screen answers something strange");
}

static int skip(struct rfb *rfb, uint32_t len, struct error *err)
{
	uint8_t bytes[512];
	int r = len > TEXT_MAX ? strange(err) : 0;

	for (uint32_t part; !r && len; len -= part) {
		part = len < sizeof bytes ? len : sizeof bytes;
		r = get(rfb, bytes, part, err);
	}
	return r;
}

int rfb_begin(struct rfb *rfb, int fd, struct error *err)
{
	/* Raw, with red, green and blue in the upper bytes of a big-endian pixel. */
	static const uint8_t format[20] = {0, 0, 0, 0, 32, 24, 1, 1, 0, 255, 0, 255, 0, 255, 24, 16,
		8},
			     encodings[8] = {2, 0, 0, 1, 0, 0, 0, 0};
	const struct timeval wait = {.tv_sec = SECONDS};
	uint8_t bytes[24];
	int r;

	*rfb = (struct rfb){.fd = fd};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	r = get(rfb, bytes, 12, err);
	if (!r && memcmp(bytes, "RFB 003.008\n", 12))
		r = strange(err);
	if (!r)
		r = put(rfb, bytes, 12, err);
	if (!r)
		r = get(rfb, bytes, 2, err);
	if (!r && (bytes[0] != 1 || bytes[1] != 1))
		r = strange(err);
	if (!r)
		r = put(rfb, "\1", 1, err);
	if (!r)
		r = get(rfb, bytes, 4, err);
	if (!r && number(bytes, 4))
		r = strange(err);
	if (!r)
		r = put(rfb, "\1", 1, err);
	if (!r)
		r = get(rfb, bytes, 24, err);
	if (r)
		return r;
	rfb->width = number(bytes, 2);
	rfb->height = number(bytes + 2, 2);
	if (!rfb->width || !rfb->height || rfb->width > SIDE_MAX || rfb->height > SIDE_MAX)
		return strange(err);
	r = skip(rfb, number(bytes + 20, 4), err);
	if (!r)
		r = put(rfb, format, sizeof format, err);
	return r ? r : put(rfb, encodings, sizeof encodings, err);
}

static int get_rect(struct rfb *rfb, uint8_t *pixels, size_t *seen, struct error *err)
{
	uint8_t head[12], line[4 * SIDE_MAX];
	unsigned x, y, width, height;
	int r = get(rfb, head, sizeof head, err);

	if (r)
		return r;
	x = number(head, 2);
	y = number(head + 2, 2);
	width = number(head + 4, 2);
	height = number(head + 6, 2);
	if (number(head + 8, 4) || x + width > rfb->width || y + height > rfb->height)
		return strange(err);
	for (unsigned row = 0; !r && row < height; row++) {
		uint8_t *to = pixels + 3 * ((size_t)(y + row) * rfb->width + x);

		r = get(rfb, line, 4 * (size_t)width, err);
		for (unsigned i = 0; !r && i < width; i++)
			memcpy(to + 3 * i, line + 4 * i, 3);
	}
	*seen += (size_t)width * height;
	return r;
}

static int request(struct rfb *rfb, bool incremental, struct error *err)
{
	const uint8_t bytes[10] = {3, incremental, 0, 0, 0, 0, rfb->width >> 8, rfb->width,
		rfb->height >> 8, rfb->height};

	return put(rfb, bytes, sizeof bytes, err);
}

/* The next update; others of its messages are passed over. */
static int get_update(struct rfb *rfb, uint8_t *pixels, size_t *seen, struct error *err)
{
	uint8_t head[4];
	int r = get(rfb, head, sizeof head, err);

	if (!r && head[0])
		r = strange(err);
	for (unsigned n = r ? 0 : number(head + 2, 2); !r && n; n--)
		r = get_rect(rfb, pixels, seen, err);
	return r;
}

int rfb_picture(struct rfb *rfb, uint8_t **pixels, struct error *err)
{
	size_t seen = 0, all = (size_t)rfb->width * rfb->height;
	int r = 0;

	*pixels = calloc(all, 3);
	if (!*pixels)
		return error_nomem(err);
	/* A large picture comes in parts. */
	for (bool more = false; !r && seen < all; more = true) {
		r = request(rfb, more, err);
		if (!r)
			r = get_update(rfb, *pixels, &seen, err);
	}
	if (r)
		free(*pixels);
	return r;
}

int rfb_key(struct rfb *rfb, uint32_t keysym, bool down, struct error *err)
{
	const uint8_t bytes[8] = {4, down, 0, 0, keysym >> 24, keysym >> 16, keysym >> 8, keysym};

	return put(rfb, bytes, sizeof bytes, err);
}

int rfb_settle(struct rfb *rfb, struct error *err)
{
	/* The corner is sent whatever it shows. */
	static const uint8_t corner[10] = {3, 0, 0, 0, 0, 0, 0, 1, 0, 1};
	uint8_t *pixels = calloc((size_t)rfb->width * rfb->height, 3);
	size_t seen = 0;
	int r = pixels ? put(rfb, corner, sizeof corner, err) : error_nomem(err);

	if (!r)
		r = get_update(rfb, pixels, &seen, err);
	free(pixels);
	return r;
}
