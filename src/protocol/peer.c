/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/peer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "protocol/limits.h"
#include "protocol/request.h"
#include "protocol/walls.h"

const struct field peer_order_fields[] = {
	FIELD_ROW(STRING, peer_order, address, .max = PEER_HOST_MAX + 8),
	FIELD_ROW(STRING, peer_order, fingerprint, .max = PEER_FINGERPRINT_LEN),
	FIELD_ROW(STRING, peer_order, ask, .max = PEER_LINE_MAX),
	FIELD_STRINGS_ROW("known", peer_order, known, knowns, PEER_FINGERPRINT_LEN, PEERS_MAX),
	FIELD_ROW(SET, peer_order, walls, .max = WALLS_ALL, .names = wall_words),
	{.key = NULL},
};

/* Lines */

static json_t *parse(const char *line, size_t len, const char *what, struct error *err)
{
	json_t *json = len > PEER_LINE_MAX ? NULL : json_parse(line, len, what, err);

	if (json && json_is_object(json))
		return json;
	json_decref(json);
	error_set(err, EPROTO, "%s: not one of dach", what);
	return NULL;
}

static int read_join(const json_t *join, struct peer_ask *ask, struct error *err)
{
	const json_int_t port = json_integer_value(json_object_get(join, "port"));

	ask->secret = json_string_value(json_object_get(join, "secret"));
	if (!ask->secret || strlen(ask->secret) != PEER_SECRET_LEN || port < 0 || port > 65535)
		return error_set(err, EPROTO, "what the other host says of its token is none");
	ask->port = (unsigned)port;
	return 0;
}

static int read_fetch(const json_t *fetch, struct peer_ask *ask, struct error *err)
{
	const json_int_t pause = json_integer_value(json_object_get(fetch, "pause")),
			 rate = json_integer_value(json_object_get(fetch, "rate"));

	ask->fetch = json_string_value(json_object_get(fetch, "uuid"));
	if (!ask->fetch || strlen(ask->fetch) > LIMIT_UUID || pause < 0 ||
		pause > MIGRATE_PAUSE_MAX || rate < 0)
		return error_set(err, EPROTO,
			"what the other host says of a guest that it wants back is not known here");
	ask->storage = json_get_true(fetch, "storage");
	ask->pause = (unsigned)pause;
	ask->rate = (uint64_t)rate;
	return 0;
}

int peer_ask_read(const char *line, size_t len, json_t **json, struct peer_ask *ask,
	struct error *err)
{
	const json_t *version, *fetch, *join;

	*ask = (struct peer_ask){.migrate = NULL};
	*json = parse(line, len, "what the other host asks", err);
	if (!*json)
		return -EPROTO;
	version = json_object_get(*json, "dach-peer");
	if (json_integer_value(version) != PEER_VERSION)
		return error_set(err, EPROTO,
			"the other host speaks version %lld of what hosts say to each other, this one %d",
			(long long)json_integer_value(version), PEER_VERSION);
	ask->migrate = json_object_get(*json, "migrate");
	ask->owner = json_string_value(json_object_get(*json, "owner"));
	fetch = json_object_get(*json, "fetch");
	join = json_object_get(*json, "join");
	if (json_is_object(join) && !ask->migrate && !fetch)
		return read_join(join, ask, err);
	if (json_is_object(ask->migrate) && !fetch)
		return 0;
	if (json_is_object(fetch) && !ask->migrate)
		return read_fetch(fetch, ask, err);
	return error_set(err, EPROTO, "the other host asks for what is not known here");
}

int peer_answer_read(const char *line, size_t len, json_t **json, struct error *err)
{
	const char *refused;

	*json = parse(line, len, "the other host's answer", err);
	if (!*json)
		return -EPROTO;
	refused = json_string_value(json_object_get(*json, "error"));
	if (refused)
		return error_set(err, json_get_true(*json, "gone") ? ENOENT : EBUSY, "%s", refused);
	return json_is_true(json_object_get(*json, "ready"))
		? 0
		: error_set(err, EPROTO, "the other host's answer is neither yes nor no");
}

/* Words */

static bool read_digits(const char *text, size_t count, char *to)
{
	for (size_t i = 0; i < count; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
		to[i] = (char)tolower((unsigned char)text[i]);
	}
	to[count] = 0;
	return true;
}

int peer_fingerprint_read(const char *text, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	struct error *err)
{
	if (strlen(text) == PEER_FINGERPRINT_LEN &&
		read_digits(text, PEER_FINGERPRINT_LEN, fingerprint))
		return 0;
	*fingerprint = 0;
	return error_set(err, EINVAL,
		"'%.80s' is no fingerprint, which has %d hexadecimal digits: 'dach host show' there tells it",
		text, PEER_FINGERPRINT_LEN);
}

int peer_token_read(const char *text, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	char secret[PEER_SECRET_LEN + 1], struct error *err)
{
	if (strlen(text) == PEER_TOKEN_LEN &&
		read_digits(text, PEER_FINGERPRINT_LEN, fingerprint) &&
		read_digits(text + PEER_FINGERPRINT_LEN, PEER_SECRET_LEN, secret))
		return 0;
	*fingerprint = *secret = 0;
	return error_set(err, EINVAL,
		"that is no token, which has %d hexadecimal digits: 'dach host token' on the other host makes one",
		PEER_TOKEN_LEN);
}

int peer_address_read(const char *text, char *host, unsigned *port, struct error *err)
{
	const bool brackets = *text == '[';
	const char *from = text + brackets,
		   *end = brackets ? strchr(text, ']') : strrchr(text, ':');
	const char *number;
	unsigned long value = PEER_PORT;
	char *rest = NULL;
	size_t len;

	/* An IPv6 address without a port, or no port at all. */
	if (!brackets && (!end || strchr(text, ':') != end))
		end = text + strlen(text);
	len = end ? (size_t)(end - from) : 0;
	number = end ? end + brackets : "";
	if (*number == ':' && isdigit((unsigned char)number[1])) {
		value = strtoul(number + 1, &rest, 10);
		number = rest;
	}
	if (!len || len > PEER_HOST_MAX || *number || !value || value > 65535 || *from == '-')
		return error_set(err, EINVAL,
			"'%.80s' is no address: HOST, HOST:PORT or [IPV6]:PORT", text);
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)from[i]) && !strchr(".:-_%", from[i]))
			return error_set(err, EINVAL, "'%.80s' is no address", text);
	memcpy(host, from, len);
	host[len] = 0;
	*port = (unsigned)value;
	return 0;
}

int peer_name_check(const char *name, struct error *err)
{
	size_t len = strlen(name);
	bool good = len && len <= PEER_NAME_MAX && *name != '.' && *name != '-';

	for (size_t i = 0; good && i < len; i++)
		good = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
	return good
		? 0
		: error_set(err, EINVAL,
			  "'%.80s' is no host's name: letters, digits, '.', '_' and '-', at most %d",
			  name, PEER_NAME_MAX);
}
