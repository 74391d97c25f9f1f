/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another host's daemon asks and answers, the pieces that are carried then, and what its administrator hands over: tokens,
 * fingerprints, addresses, names.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "peer/pack.h"
#include "protocol/limits.h"
#include "protocol/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void fuzz_lines(const char *text, size_t size)
{
	struct error err = {""};
	struct peer_ask ask;
	json_t *json = NULL;

	if (!peer_ask_read(text, size, &json, &ask, &err)) {
		check(!!ask.migrate + !!ask.fetch + !!ask.secret == 1);
		check(!ask.migrate || json_is_object(ask.migrate));
		check(!ask.fetch || strlen(ask.fetch) <= LIMIT_UUID);
		check(!ask.secret || (strlen(ask.secret) == PEER_SECRET_LEN && ask.port <= 65535));
	} else {
		check(*err.text);
	}
	json_decref(json);
	err.text[0] = 0;
	check(!peer_answer_read(text, size, &json, &err) || *err.text);
	json_decref(json);
}

static void fuzz_words(const char *text)
{
	char fingerprint[PEER_FINGERPRINT_LEN + 1], secret[PEER_SECRET_LEN + 1],
		host[PEER_HOST_MAX + 1];
	unsigned port;

	if (!peer_token_read(text, fingerprint, secret, NULL))
		check(strlen(fingerprint) == PEER_FINGERPRINT_LEN &&
			strlen(secret) == PEER_SECRET_LEN);
	if (!peer_fingerprint_read(text, fingerprint, NULL))
		check(strlen(fingerprint) == PEER_FINGERPRINT_LEN);
	if (!peer_address_read(text, host, &port, NULL))
		check(*host && *host != '-' && port && port <= 65535);
	if (!peer_name_check(text, NULL))
		check(strlen(text) <= PEER_NAME_MAX && !strpbrk(text, "/ \n"));
}

/* What comes as a piece; and what is sent as one, which comes back the same. */
static void fuzz_pieces(const uint8_t *data, size_t size)
{
	static uint8_t piece[PACK_HEAD + PACK_PIECE];
	/* Of its own, so that an input does the same each time. */
	struct pieces *pieces = pieces_create();
	const uint8_t *out, *back;
	size_t stored, len;

	check(pieces);
	if (size >= PACK_HEAD && !pieces_read_head(data, &stored, &len) &&
		stored <= size - PACK_HEAD) {
		uint8_t *body = malloc(stored);

		check(body);
		memcpy(body, data + PACK_HEAD, stored);
		pieces_unpack(pieces, body, stored, len, &back);
		free(body);
	}
	for (unsigned packs = 0; size && size <= PACK_PIECE && packs < 2; packs++) {
		pieces_try(pieces, packs);
		memcpy(piece + PACK_HEAD, data, size);
		len = pieces_pack(pieces, piece, size, 1 + packs, &out);
		check(packs || out == piece);
		check(!pieces_read_head(out, &stored, &len) && len == size);
		check(!pieces_unpack(pieces, out + PACK_HEAD, stored, len, &back));
		check(!memcmp(back, data, size));
	}
	pieces_destroy(pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	fuzz_lines(text, size);
	fuzz_words(text);
	fuzz_pieces(data, size);
	free(text);
	return 0;
}
