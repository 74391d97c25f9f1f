/* SPDX-License-Identifier: Apache-2.0 */
/* What server and client agree upon before data flow. */
#include <stdio.h>

#include "nbd/nbd.h"
#include "nbd/serving.h"

#define OPTIONS_MAX 64u      /* of one client */
#define DATA_MAX 8192u       /* bytes of an option that is looked at: a name has 4096 at most */
#define DATA_SKIP (1u << 20) /* and of one that is refused */
#define CONTEXT_MAX 128u
#define BLOCK_PREFERRED 65536u

enum next { OPTIONS, TRANSMISSION, GONE };

static bool reply(struct nbd_client *client, uint32_t option, uint32_t type, const void *data,
	uint32_t size)
{
	uint8_t head[20], *to = put64(head, NBD_REPLY_MAGIC);

	to = put32(to, option);
	to = put32(to, type);
	put32(to, size);
	return wire_write(&client->wire, head, sizeof head, data, size);
}

static enum next answer(struct nbd_client *client, uint32_t option, uint32_t type)
{
	return reply(client, option, type, NULL, 0) ? OPTIONS : GONE;
}

static uint16_t flags(const struct nbd_client *client)
{
	return NBD_HAS_FLAGS | NBD_READ_ONLY | NBD_CAN_MULTI_CONN |
		(client->structured ? NBD_SEND_DF : 0);
}

static bool is_ours(const struct nbd_client *client, const uint8_t *name, size_t size)
{
	const char *own = client->source->name;

	return !size || (size == strlen(own) && !memcmp(name, own, size));
}

/* The old way: there is no answer but the export, or the end. */
static enum next export_name(struct nbd_client *client, const uint8_t *data, uint32_t size)
{
	uint8_t out[8 + 2 + 124] = {0};

	if (!is_ours(client, data, size))
		return GONE;
	put16(put64(out, client->source->size), flags(client));
	return wire_write(&client->wire, out, client->no_zeroes ? 10 : sizeof out, NULL, 0)
		? TRANSMISSION
		: GONE;
}

static enum next list(struct nbd_client *client, uint32_t size)
{
	const char *name = client->source->name;
	uint8_t length[4];
	uint8_t head[20], *to = put64(head, NBD_REPLY_MAGIC);

	if (size)
		return answer(client, NBD_OPT_LIST, NBD_REP_ERR_INVALID);
	put32(length, (uint32_t)strlen(name));
	to = put32(to, NBD_OPT_LIST);
	to = put32(to, NBD_REP_SERVER);
	put32(to, (uint32_t)(sizeof length + strlen(name)));
	if (!wire_write(&client->wire, head, sizeof head, length, sizeof length) ||
		!wire_write(&client->wire, name, strlen(name), NULL, 0))
		return GONE;
	return answer(client, NBD_OPT_LIST, NBD_REP_ACK);
}

static bool tell_export(struct nbd_client *client, uint32_t option)
{
	uint8_t info[12], block[14], *to;

	put16(put64(put16(info, NBD_INFO_EXPORT), client->source->size), flags(client));
	to = put16(block, NBD_INFO_BLOCK_SIZE);
	to = put32(to, 1);
	to = put32(to, BLOCK_PREFERRED);
	put32(to, NBD_LENGTH_MAX);
	return reply(client, option, NBD_REP_INFO, info, sizeof info) &&
		reply(client, option, NBD_REP_INFO, block, sizeof block);
}

/* A name's length, the name, how many kinds of information are asked for, and which: all are told. */
static enum next go(struct nbd_client *client, uint32_t option, const uint8_t *data, uint32_t size)
{
	uint32_t name;

	if (size < 6)
		return answer(client, option, NBD_REP_ERR_INVALID);
	name = get32(data);
	if (name > size - 6 || size - 6 - name != 2u * get16(data + 4 + name))
		return answer(client, option, NBD_REP_ERR_INVALID);
	if (!is_ours(client, data + 4, name))
		return answer(client, option, NBD_REP_ERR_UNKNOWN);
	if (!tell_export(client, option))
		return GONE;
	if (answer(client, option, NBD_REP_ACK) == GONE)
		return GONE;
	return option == NBD_OPT_GO ? TRANSMISSION : OPTIONS;
}

/* Its name; "": there is none. */
static void name_context(const struct nbd_client *client, enum nbd_context context,
	char name[CONTEXT_MAX])
{
	*name = 0;
	if (context == CONTEXT_ALLOCATION)
		snprintf(name, CONTEXT_MAX, "base:allocation");
	else if (client->source->bitmap)
		snprintf(name, CONTEXT_MAX, "qemu:dirty-bitmap:%s", client->source->bitmap);
}

/* A query is a name or, of a list, what one or more begin with, up to a colon. */
static bool is_meant(const char *name, const uint8_t *query, uint32_t size, bool lists)
{
	if (!*name || size > strlen(name) || memcmp(query, name, size))
		return false;
	return size == strlen(name) || (lists && size && query[size - 1] == ':');
}

static bool tell_context(struct nbd_client *client, uint32_t option, enum nbd_context context)
{
	char name[CONTEXT_MAX];
	uint8_t out[4 + CONTEXT_MAX];

	name_context(client, context, name);
	memcpy(put32(out, option == NBD_OPT_SET_META_CONTEXT ? context + 1 : 0), name,
		strlen(name));
	return reply(client, option, NBD_REP_META_CONTEXT, out, (uint32_t)(4 + strlen(name)));
}

/* Those that a query means, as bits. */
static unsigned find_contexts(const struct nbd_client *client, const uint8_t *query, uint32_t size,
	bool lists)
{
	unsigned found = 0;

	for (unsigned i = 0; i < CONTEXTS; i++) {
		char name[CONTEXT_MAX];

		name_context(client, (enum nbd_context)i, name);
		found |= is_meant(name, query, size, lists) ? 1u << i : 0;
	}
	return found;
}

static unsigned all_contexts(const struct nbd_client *client)
{
	return 1u << CONTEXT_ALLOCATION | (client->source->bitmap ? 1u << CONTEXT_DIRTY : 0);
}

/* A name's length, the name, a number of queries, and each with its length. */
static enum next meta_context(struct nbd_client *client, uint32_t option, const uint8_t *data,
	uint32_t size)
{
	const bool lists = option == NBD_OPT_LIST_META_CONTEXT;
	uint32_t name, queries, at;
	unsigned wanted;

	client->contexts = lists ? client->contexts : 0;
	if (size < 8 || (name = get32(data)) > size - 8)
		return answer(client, option, NBD_REP_ERR_INVALID);
	if (!lists && !client->structured)
		return answer(client, option, NBD_REP_ERR_INVALID);
	queries = get32(data + 4 + name);
	at = 8 + name;
	wanted = lists && !queries ? all_contexts(client) : 0;
	for (uint32_t i = 0; i < queries; i++) {
		uint32_t length;

		if (size - at < 4 || (length = get32(data + at)) > size - at - 4)
			return answer(client, option, NBD_REP_ERR_INVALID);
		wanted |= find_contexts(client, data + at + 4, length, lists);
		at += 4 + length;
	}
	if (at != size)
		return answer(client, option, NBD_REP_ERR_INVALID);
	if (!is_ours(client, data + 4, name))
		return answer(client, option, NBD_REP_ERR_UNKNOWN);
	for (unsigned i = 0; i < CONTEXTS; i++)
		if (wanted & 1u << i && !tell_context(client, option, (enum nbd_context)i))
			return GONE;
	client->contexts |= lists ? 0 : wanted;
	return answer(client, option, NBD_REP_ACK);
}

static enum next serve_option(struct nbd_client *client, uint32_t option, uint32_t size)
{
	const uint8_t *data = client->piece;

	if (size > DATA_MAX) {
		if (size > DATA_SKIP || !nbd_skip(client, size))
			return GONE;
		return answer(client, option, NBD_REP_ERR_TOO_BIG);
	}
	if (!wire_read(&client->wire, client->piece, size))
		return GONE;
	switch (option) {
	case NBD_OPT_EXPORT_NAME:
		return export_name(client, data, size);
	case NBD_OPT_ABORT:
		answer(client, option, NBD_REP_ACK);
		return GONE;
	case NBD_OPT_LIST:
		return list(client, size);
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		return go(client, option, data, size);
	case NBD_OPT_STRUCTURED_REPLY:
		client->structured |= !size;
		return answer(client, option, size ? NBD_REP_ERR_INVALID : NBD_REP_ACK);
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		return meta_context(client, option, data, size);
	default:
		return answer(client, option, NBD_REP_ERR_UNSUP);
	}
}

bool nbd_handshake(struct nbd_client *client)
{
	uint8_t hello[18], answered[4], head[16];
	enum next next = OPTIONS;
	uint32_t asked;

	put16(put64(put64(hello, NBD_MAGIC), NBD_OPTION_MAGIC), NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);
	if (!wire_write(&client->wire, hello, sizeof hello, NULL, 0) ||
		!wire_read(&client->wire, answered, sizeof answered))
		return false;
	asked = get32(answered);
	if (asked & ~(NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES))
		return false;
	client->no_zeroes = asked & NBD_NO_ZEROES;
	for (unsigned i = 0; next == OPTIONS && i < OPTIONS_MAX; i++) {
		if (!wire_read(&client->wire, head, sizeof head) || get64(head) != NBD_OPTION_MAGIC)
			return false;
		next = serve_option(client, get32(head + 8), get32(head + 12));
	}
	return next == TRANSMISSION;
}
