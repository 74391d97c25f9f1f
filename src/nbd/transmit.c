/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers, one after the other. */
#include <errno.h>

#include "nbd/nbd.h"
#include "nbd/serving.h"

#define EXTENTS_MAX 512 /* in one answer */

struct nbd_request {
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t length;
};

static uint32_t code_of(int r)
{
	return r == -EINVAL ? NBD_EINVAL : NBD_EIO;
}

static bool simple(struct nbd_client *client, const struct nbd_request *request, uint32_t error)
{
	uint8_t head[16];

	put64(put32(put32(head, NBD_SIMPLE_MAGIC), error), request->cookie);
	return wire_write(&client->wire, head, sizeof head, NULL, 0);
}

/* The head of a chunk, and behind it the fields that are in what it counts. Where the next goes. */
static uint8_t *chunk_head(uint8_t *to, const struct nbd_request *request, uint16_t type, bool done,
	uint32_t size)
{
	to = put32(to, NBD_CHUNK_MAGIC);
	to = put16(to, done ? NBD_CHUNK_DONE : 0);
	to = put16(to, type);
	to = put64(to, request->cookie);
	return put32(to, size);
}

static bool refuse(struct nbd_client *client, const struct nbd_request *request, uint32_t error)
{
	uint8_t out[20 + 6];

	if (!client->structured)
		return simple(client, request, error);
	put16(put32(chunk_head(out, request, NBD_CHUNK_ERROR, true, 6), error), 0);
	return wire_write(&client->wire, out, sizeof out, NULL, 0);
}

/* Into client->piece, from its first sector on; *at: where the first byte is. length is less than a piece by two sectors. */
static int read_piece(struct nbd_client *client, uint64_t offset, uint64_t length,
	const uint8_t **at)
{
	const uint64_t first = offset / NBD_SECTOR * NBD_SECTOR;
	uint64_t end = (offset + length + NBD_SECTOR - 1) / NBD_SECTOR * NBD_SECTOR;

	*at = client->piece + (offset - first);
	return client->source->read(client->source->ctx, first, end - first, client->piece);
}

static uint64_t piece_of(uint64_t left)
{
	const uint64_t most = NBD_PIECE - 2 * NBD_SECTOR;

	return left < most ? left : most;
}

/* How far it is one hole, or none. What is not whole sectors is no hole. */
static int look(struct nbd_client *client, uint64_t offset, uint64_t *length, bool *zero)
{
	uint64_t part = *length / NBD_SECTOR * NBD_SECTOR;
	int r;

	*zero = false;
	if (offset % NBD_SECTOR || !part) {
		uint64_t rest = NBD_SECTOR - offset % NBD_SECTOR;

		if (*length > rest)
			*length = rest;
		return 0;
	}
	r = client->source->find_zero(client->source->ctx, offset, &part, zero);
	if (!r && (!part || part > *length))
		r = -EIO;
	*length = part;
	return r;
}

static bool send_hole(struct nbd_client *client, const struct nbd_request *request, uint64_t offset,
	uint32_t length, bool done)
{
	uint8_t out[20 + 12];

	put32(put64(chunk_head(out, request, NBD_CHUNK_HOLE, done, 12), offset), length);
	return wire_write(&client->wire, out, sizeof out, NULL, 0);
}

/* Chunks, as many as there are pieces. */
static bool read_in_chunks(struct nbd_client *client, const struct nbd_request *request)
{
	uint64_t offset = request->offset, end = offset + request->length;

	while (offset < end) {
		uint64_t part = end - offset;
		const uint8_t *at;
		uint8_t head[20 + 8];
		bool zero;
		int r = look(client, offset, &part, &zero);

		if (!r && zero) {
			if (!send_hole(client, request, offset, (uint32_t)part,
				    offset + part == end))
				return false;
			offset += part;
			continue;
		}
		part = piece_of(part);
		if (!r)
			r = read_piece(client, offset, part, &at);
		if (r)
			return refuse(client, request, code_of(r));
		put64(chunk_head(head, request, NBD_CHUNK_DATA, offset + part == end,
			      (uint32_t)part + 8),
			offset);
		if (!wire_write(&client->wire, head, sizeof head, at, part))
			return false;
		offset += part;
	}
	return true;
}

/* One answer, whose head says that all is well before it is known: if it is not, this is the end. */
static bool read_in_one(struct nbd_client *client, const struct nbd_request *request)
{
	uint64_t offset = request->offset, end = offset + request->length, part;
	uint8_t head[20 + 8];
	const uint8_t *at;
	size_t size;
	int r;

	part = piece_of(end - offset);
	r = read_piece(client, offset, part, &at);
	if (r)
		return refuse(client, request, code_of(r));
	size = client->structured
		? (size_t)(put64(chunk_head(head, request, NBD_CHUNK_DATA, true,
					 request->length + 8),
				   offset) -
			  head)
		: (size_t)(put64(put32(put32(head, NBD_SIMPLE_MAGIC), 0), request->cookie) - head);
	for (;;) {
		if (!wire_write(&client->wire, head, size, at, part))
			return false;
		offset += part;
		if (offset == end)
			return true;
		size = 0;
		part = piece_of(end - offset);
		if (read_piece(client, offset, part, &at))
			return false;
	}
}

static bool serve_read(struct nbd_client *client, const struct nbd_request *request)
{
	if (client->structured && !(request->flags & NBD_FLAG_DF))
		return read_in_chunks(client, request);
	return read_in_one(client, request);
}

/* The state of a context there, and for how many of the bytes it is so. */
static int look_in(struct nbd_client *client, enum nbd_context context, uint64_t offset,
	uint64_t *length, uint32_t *state)
{
	const struct nbd_source *source = client->source;
	bool zero;
	int r;

	if (context == CONTEXT_ALLOCATION) {
		r = look(client, offset, length, &zero);
		*state = !r && zero ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0;
		return r;
	}
	*state = source->changed(source->ctx, offset, length) ? NBD_STATE_DIRTY : 0;
	return *length ? 0 : -EIO;
}

/* Into client->piece: lengths and states. How many; negative: an errno. */
static int find_extents(struct nbd_client *client, const struct nbd_request *request,
	enum nbd_context context)
{
	uint64_t offset = request->offset, end = offset + request->length;
	const int most = request->flags & NBD_FLAG_REQ_ONE ? 1 : EXTENTS_MAX;
	uint8_t *to = client->piece;
	uint32_t last = 0, length = 0;
	int count = 0;

	while (offset < end) {
		uint64_t part = end - offset;
		uint32_t state;
		int r = look_in(client, context, offset, &part, &state);

		if (r)
			return r;
		if (!count || state != last) {
			if (count == most)
				break;
			to = client->piece + 8 * (size_t)count++;
			length = 0;
		}
		last = state;
		length += (uint32_t)part;
		put32(put32(to, length), state);
		offset += part;
	}
	return count;
}

/* A chunk for each context that was asked for. */
static bool serve_status(struct nbd_client *client, const struct nbd_request *request)
{
	for (unsigned i = 0; i < CONTEXTS; i++) {
		const bool last = !(client->contexts >> i >> 1);
		uint8_t head[20 + 4];
		int count;

		if (!(client->contexts >> i & 1))
			continue;
		count = find_extents(client, request, (enum nbd_context)i);
		if (count < 0)
			return refuse(client, request, code_of(count));
		put32(chunk_head(head, request, NBD_CHUNK_STATUS, last, 4 + 8 * (uint32_t)count),
			i + 1);
		if (!wire_write(&client->wire, head, sizeof head, client->piece, 8 * (size_t)count))
			return false;
	}
	return true;
}

static uint32_t check(const struct nbd_client *client, const struct nbd_request *request)
{
	if (!request->length || request->offset > client->source->size ||
		request->length > client->source->size - request->offset)
		return NBD_EINVAL;
	if (request->type == NBD_CMD_READ && request->length > NBD_LENGTH_MAX)
		return NBD_EOVERFLOW;
	return 0;
}

static bool serve(struct nbd_client *client, const struct nbd_request *request)
{
	uint32_t error;

	switch (request->type) {
	case NBD_CMD_READ:
		error = check(client, request);
		return error ? refuse(client, request, error) : serve_read(client, request);
	case NBD_CMD_BLOCK_STATUS:
		error = client->contexts ? check(client, request) : NBD_EINVAL;
		return error ? refuse(client, request, error) : serve_status(client, request);
	case NBD_CMD_WRITE:
		if (request->length > NBD_LENGTH_MAX || !nbd_skip(client, request->length))
			return false;
		return refuse(client, request, NBD_EPERM);
	case NBD_CMD_TRIM:
	case NBD_CMD_WRITE_ZEROES:
		return refuse(client, request, NBD_EPERM);
	case NBD_CMD_DISC:
		return false;
	default:
		return refuse(client, request, NBD_EINVAL);
	}
}

void nbd_transmit(struct nbd_client *client)
{
	uint8_t head[28];
	struct nbd_request request;

	do {
		if (!wire_read(&client->wire, head, sizeof head) ||
			get32(head) != NBD_REQUEST_MAGIC)
			return;
		request = (struct nbd_request){.flags = get16(head + 4),
			.type = get16(head + 6),
			.cookie = get64(head + 8),
			.offset = get64(head + 16),
			.length = get32(head + 24)};
	} while (serve(client, &request));
}
