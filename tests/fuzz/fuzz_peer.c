/* SPDX-License-Identifier: Apache-2.0 */
/* What another host's daemon asks and answers, and what its administrator hands over: tokens, fingerprints, addresses, names. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	fuzz_lines(text, size);
	fuzz_words(text);
	free(text);
	return 0;
}
