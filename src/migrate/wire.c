/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate/wire.h"

#include <errno.h>
#include <string.h>

#define MAGIC "dachmove"
#define HEAD 8u

struct hello {
	char magic[8];
	uint32_t version;
} __attribute__((packed));

void wire_init(struct wire *wire, const struct wire_io *io)
{
	wire->io = *io;
	wire->left = 0;
	wire->sent = 0;
	wire->failed.text[0] = 0;
	wire->used = 0;
	wire->disk = NULL;
	wire->disk_ctx = NULL;
}

static void put_head(uint8_t *to, enum wire_type type, size_t len)
{
	const uint32_t head[2] = {type, (uint32_t)len};

	memcpy(to, head, HEAD);
}

int wire_flush(struct wire *wire)
{
	const size_t used = wire->used;

	if (!used)
		return 0;
	wire->used = 0;
	put_head(wire->piece, WIRE_STATE, used);
	wire->sent += HEAD + used;
	return wire->io.write(wire->io.ctx, wire->piece, HEAD + used);
}

int wire_send(struct wire *wire, enum wire_type type, const void *data, size_t len)
{
	int r = wire_flush(wire);

	if (r)
		return r;
	put_head(wire->piece, type, len);
	if (len)
		memcpy(wire->piece + HEAD, data, len);
	wire->sent += HEAD + len;
	return wire->io.write(wire->io.ctx, wire->piece, HEAD + len);
}

int wire_send_hello(struct wire *wire)
{
	const struct hello hello = {MAGIC, WIRE_VERSION};

	return wire_send(wire, WIRE_HELLO, &hello, sizeof hello);
}

int wire_send_failed(struct wire *wire, const char *text)
{
	const size_t len = strlen(text);

	return wire_send(wire, WIRE_FAILED, text, len < WIRE_TEXT ? len : WIRE_TEXT);
}

int wire_send_disk(struct wire *wire, const struct wire_disk *piece, const void *data)
{
	const size_t len = piece->what == WIRE_DISK_DATA ? (size_t)piece->length : 0;
	int r = wire_flush(wire);

	if (r)
		return r;
	put_head(wire->piece, WIRE_DISK, sizeof *piece + len);
	memcpy(wire->piece + HEAD, piece, sizeof *piece);
	wire->sent += HEAD + sizeof *piece + len;
	r = wire->io.write(wire->io.ctx, wire->piece, HEAD + sizeof *piece);
	return r || !len ? r : wire->io.write(wire->io.ctx, data, len);
}

int wire_write_state(void *ctx, const void *data, size_t len)
{
	struct wire *wire = ctx;
	const uint8_t *from = data;
	int r = 0;

	while (!r && len) {
		size_t part = WIRE_PIECE - wire->used;

		if (part > len)
			part = len;
		memcpy(wire->piece + HEAD + wire->used, from, part);
		wire->used += part;
		from += part;
		len -= part;
		if (wire->used == WIRE_PIECE)
			r = wire_flush(wire);
	}
	return r;
}

/* All of it: 0, -EPIPE where it ends before that, or what the reader says. */
static int get(struct wire *wire, void *data, size_t len)
{
	uint8_t *to = data;

	while (len) {
		long n = wire->io.read(wire->io.ctx, to, len);

		if (n <= 0)
			return n ? (int)n : -EPIPE;
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

/* What it says goes to a terminal: one line of what can be printed. */
static int take_failed(struct wire *wire, uint32_t len)
{
	char text[WIRE_TEXT + 1];
	int r;

	if (len > WIRE_TEXT)
		return -EPROTO;
	r = get(wire, text, len);
	if (r)
		return r;
	text[len] = 0;
	for (uint32_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 127)
			text[i] = '?';
	error_set(&wire->failed, EREMOTEIO, "%s", text);
	return -EREMOTEIO;
}

static int take_disk(struct wire *wire, uint32_t len)
{
	struct wire_disk piece;
	uint64_t data;
	int r;

	if (!wire->disk || len < sizeof piece || len > sizeof piece + WIRE_PIECE)
		return -EPROTO;
	r = get(wire, &piece, sizeof piece);
	data = piece.what == WIRE_DISK_DATA ? piece.length : 0;
	if (!r && data != len - sizeof piece)
		r = -EPROTO;
	if (!r)
		r = get(wire, wire->piece, (size_t)data);
	return r ? r : wire->disk(wire->disk_ctx, &piece, wire->piece);
}

static int give_mark(struct wire *wire, uint32_t len)
{
	return len ? -EPROTO : wire_send(wire, WIRE_MARK, NULL, 0);
}

/* The next frame's head: its length, or a negative errno. */
static long next(struct wire *wire, enum wire_type type)
{
	uint32_t head[2];
	int r = get(wire, head, HEAD);

	while (!r && type == WIRE_STATE && (head[0] == WIRE_DISK || head[0] == WIRE_MARK)) {
		r = head[0] == WIRE_DISK ? take_disk(wire, head[1]) : give_mark(wire, head[1]);
		if (!r)
			r = get(wire, head, HEAD);
	}
	if (r)
		return r;
	if (head[0] == WIRE_FAILED)
		return take_failed(wire, head[1]);
	return head[0] == type && head[1] <= WIRE_PIECE ? (long)head[1] : -EPROTO;
}

static int take_hello(struct wire *wire, long len, struct error *err)
{
	struct hello hello;
	int r = len == sizeof hello ? get(wire, &hello, sizeof hello) : -EPROTO;

	if (r || memcmp(hello.magic, MAGIC, sizeof hello.magic))
		return r ? r : -EPROTO;
	if (hello.version == WIRE_VERSION)
		return 0;
	return error_set(err, ENOTSUP,
		"the other side moves guests in another way (version %u, here %u): both need the same dach",
		hello.version, WIRE_VERSION);
}

static int explain(const struct wire *wire, int r, struct error *err)
{
	switch (r) {
	case -EREMOTEIO:
		return error_set(err, EREMOTEIO, "%s", wire->failed.text);
	case -EPIPE:
	case -ECONNRESET:
		return error_set(err, ECONNRESET, "the connection to the other side is lost");
	case -ETIMEDOUT:
		return error_set(err, ETIMEDOUT, "the other side does not answer");
	case -EPROTO:
		return error_set(err, EPROTO, "the other side says what makes no sense");
	default:
		return error_set(err, -r, "the other side: %s", strerror(-r));
	}
}

int wire_expect(struct wire *wire, enum wire_type type, struct error *err)
{
	long len = wire->left ? -EPROTO : next(wire, type);
	int r;

	if (len < 0)
		return explain(wire, (int)len, err);
	if (type != WIRE_HELLO)
		return len ? explain(wire, -EPROTO, err) : 0;
	r = take_hello(wire, len, err);
	return r && r != -ENOTSUP ? explain(wire, r, err) : r;
}

long wire_read_state(void *ctx, void *data, size_t len)
{
	struct wire *wire = ctx;
	long n;

	while (!wire->left) {
		n = next(wire, WIRE_STATE);
		if (n < 0)
			return n == -EPIPE ? 0 : n;
		wire->left = (uint32_t)n;
		/* Nothing of it: it would be read for ever. */
		if (!n)
			return -EPROTO;
	}
	n = wire->io.read(wire->io.ctx, data, len < wire->left ? len : wire->left);
	if (n > 0)
		wire->left -= (uint32_t)n;
	return n;
}
