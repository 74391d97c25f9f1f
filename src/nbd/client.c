/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd/client.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/loop.h"
#include "nbd/address.h"

#define REPLIES_MAX 64u       /* to one option */
#define TEXT_MAX 512u         /* of what a server says when it refuses */
#define REPLY_MAX (16u << 10) /* bytes of one reply: those that we ask for are short */
#define SECTOR 512u
#define ASK_MS 10000u

struct reply {
	uint32_t type, size;
	uint8_t data[TEXT_MAX];
};

static int broken(const char *server, const char *what, struct error *err)
{
	return error_set(err, EPROTO, "%s: %s", server, what);
}

static bool skip(const struct nbd_wire *wire, uint32_t size)
{
	uint8_t room[256];

	for (uint32_t part; size; size -= part) {
		part = size < sizeof room ? size : (uint32_t)sizeof room;
		if (!wire_read(wire, room, part))
			return false;
	}
	return true;
}

/* As much of it as there is room for. */
static bool read_reply(const struct nbd_wire *wire, struct reply *reply)
{
	uint8_t head[20];
	uint32_t part;

	if (!wire_read(wire, head, sizeof head) || get64(head) != NBD_REPLY_MAGIC ||
		get32(head + 8) != NBD_OPT_GO)
		return false;
	reply->type = get32(head + 12);
	reply->size = get32(head + 16);
	if (reply->size > REPLY_MAX)
		return false;
	part = reply->size < sizeof reply->data ? reply->size : (uint32_t)sizeof reply->data;
	if (!wire_read(wire, reply->data, part) || !skip(wire, reply->size - part))
		return false;
	reply->size = part;
	return true;
}

static int refused(const struct reply *reply, const char *name, const char *server,
	struct error *err)
{
	static const struct {
		uint32_t type;
		const char *text;
	} reasons[] = {
		{NBD_REP_ERR_UNSUP, "its server is too old for dach (no NBD_OPT_GO)"},
		{NBD_REP_ERR_POLICY, "its server does not want us"},
		{NBD_REP_ERR_TLS_REQD, "its server wants TLS, which is not there"},
		{NBD_REP_ERR_BLOCK_SIZE_REQD, "its server wants larger blocks than 512 bytes"},
	};

	if (reply->type == NBD_REP_ERR_UNKNOWN)
		return error_set(err, ENOENT, "%s: its server has no export \"%s\"", server, name);
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reply->type == reasons[i].type)
			return broken(server, reasons[i].text, err);
	return error_set(err, EPROTO, "%s: its server refuses (%08x): %.*s", server, reply->type,
		(int)reply->size, (const char *)reply->data);
}

static void take_info(const struct reply *reply, struct nbd_export *export, bool *told)
{
	if (reply->size < 2)
		return;
	if (get16(reply->data) == NBD_INFO_EXPORT && reply->size == 12) {
		export->size = get64(reply->data + 2);
		export->flags = get16(reply->data + 10);
		*told = true;
	}
	if (get16(reply->data) == NBD_INFO_BLOCK_SIZE && reply->size == 14) {
		export->smallest = get32(reply->data + 2);
		export->most = get32(reply->data + 10);
	}
}

static int check(const struct nbd_export *export, const char *server, struct error *err)
{
	if (!(export->flags & NBD_HAS_FLAGS) || !export->size || export->size > INT64_MAX)
		return broken(server, "not a disk", err);
	if (export->size % SECTOR)
		return error_set(err, EINVAL, "%s: its size, %llu bytes, is not a multiple of %u",
			server, (unsigned long long)export->size, SECTOR);
	if (!export->smallest || SECTOR % export->smallest)
		return error_set(err, ENOTSUP, "%s: its server wants blocks of %u bytes", server,
			export->smallest);
	if (export->most < SECTOR)
		return broken(server, "its server moves no data", err);
	return 0;
}

static bool ask(const struct nbd_wire *wire, const char *name)
{
	uint8_t head[4 + 16 + 4], tail[4], *to = put32(head, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	const uint32_t size = (uint32_t)strlen(name);

	to = put32(put32(put64(to, NBD_OPTION_MAGIC), NBD_OPT_GO), size + 8);
	put32(to, size);
	/* One thing that we want to know besides: its blocks. */
	put16(put16(tail, 1), NBD_INFO_BLOCK_SIZE);
	return wire_write(wire, head, sizeof head, name, size) &&
		wire_write(wire, tail, sizeof tail, NULL, 0);
}

int nbd_begin(const struct nbd_wire *wire, const char *export_name, const char *server,
	struct nbd_export *export, struct error *err)
{
	uint8_t hello[18];
	struct reply reply;
	bool told = false;

	*export = (struct nbd_export){.most = NBD_LENGTH_MAX, .smallest = 1};
	if (!wire_read(wire, hello, sizeof hello))
		return broken(server,
			"its server says nothing; it may have room for one client only (qemu-nbd -e 2)",
			err);
	if (get64(hello) != NBD_MAGIC || get64(hello + 8) != NBD_OPTION_MAGIC ||
		!(get16(hello + 16) & NBD_FIXED_NEWSTYLE) || !(get16(hello + 16) & NBD_NO_ZEROES))
		return broken(server, "does not speak NBD, or of 2013 and before", err);
	if (!ask(wire, export_name))
		return broken(server, "its server has gone", err);
	for (unsigned i = 0; i < REPLIES_MAX; i++) {
		if (!read_reply(wire, &reply))
			return broken(server, "its server breaks off, or is no NBD server", err);
		if (reply.type == NBD_REP_ACK)
			return told ? check(export, server, err)
				    : broken(server, "its server does not tell of the disk", err);
		if (reply.type != NBD_REP_INFO)
			return refused(&reply, export_name, server, err);
		take_info(&reply, export, &told);
		if (export->most > NBD_LENGTH_MAX)
			export->most = NBD_LENGTH_MAX;
	}
	return broken(server, "its server does not come to an end", err);
}

static int ask_size(const char *name, struct nbd_address *address, uint64_t *size,
	struct error *err)
{
	struct nbd_wire wire;
	struct nbd_export export;
	uint8_t head[NBD_REQUEST_SIZE];
	int r = nbd_address_parse(name, address, err);

	if (!r)
		r = nbd_connect(address, ASK_MS, &wire.fd, err);
	if (r)
		return r;
	wire.deadline = clock_now() + ASK_MS * 1000000ull;
	r = nbd_begin(&wire, address->export, name, &export, err);
	nbd_put_request(head, NBD_CMD_DISC, 0, 0, 0, 0);
	if (!r && wire_write(&wire, head, sizeof head, NULL, 0))
		*size = export.size;
	close(wire.fd);
	return r;
}

int nbd_ask_size(const char *name, uint64_t *size, struct error *err)
{
	struct nbd_address *address = malloc(sizeof *address);
	int r = address ? ask_size(name, address, size, err) : error_nomem(err);

	free(address);
	return r;
}

void nbd_put_request(uint8_t to[NBD_REQUEST_SIZE], enum nbd_command command, uint16_t flags,
	uint64_t cookie, uint64_t offset, uint32_t length)
{
	to = put16(put16(put32(to, NBD_REQUEST_MAGIC), flags), (uint16_t)command);
	put32(put64(put64(to, cookie), offset), length);
}

static int errno_of(uint32_t code)
{
	switch (code) {
	case 0:
		return 0;
	case NBD_EPERM:
		return -EPERM;
	case NBD_EINVAL:
		return -EINVAL;
	case NBD_ENOSPC:
		return -ENOSPC;
	}
	return -EIO;
}

bool nbd_read_answer(const struct nbd_wire *wire, uint64_t *cookie, int *result)
{
	uint8_t head[16];

	if (!wire_read(wire, head, sizeof head) || get32(head) != NBD_SIMPLE_MAGIC)
		return false;
	*result = errno_of(get32(head + 4));
	*cookie = get64(head + 8);
	return true;
}
