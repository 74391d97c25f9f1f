/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemons of two hosts that know each other. Between them stands a process of each, dach-peer: TLS 1.3, in which either
 * side has a certificate of its own making and knows the other's by its fingerprint. Over it goes one line of JSON from the
 * side that called, and one back; then bytes both ways, in pieces (peer/pack.h), which are the monitors' (migrate/wire.h):
 *
 *   {"dach-peer": 2, "migrate": {...}, "owner": "ann"}       what POST /v1/receive takes; no owner: the daemon's own user
 *   {"dach-peer": 2, "fetch": {"uuid": "...", "storage": true, "pause": 30, "rate": 0}}    a guest that went there from here
 *   {"dach-peer": 2, "join": {"secret": "...", "port": 7420}}    by a token of that side's; port: where ours listens, or 0
 *
 *   {"ready": true}, with fetch and "guest": {...} and "owner", or {"error": "sentence"}, with "gone": true where no guest
 *   that is fetched is there
 *
 * To its daemon it is a child with these descriptors. The order is a file in memory: a struct peer_order as a line of JSON, and
 * behind it the daemon's key and certificate (peer/identity.h). Who is called says on the control socket
 * "FINGERPRINT ADDRESS\n" and the line that came, and gets the answer's; who calls says the answer. In place of either may be
 * "!sentence\n": there was none. Then the daemon gives the socket of those bytes (descriptors_send()), or ends the control
 * socket: there are none.
 */
#ifndef DACH_PROTOCOL_PEER_H
#define DACH_PROTOCOL_PEER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/fields.h"

#define PEER_VERSION 2
#define PEER_PORT 7420
#define PEER_NAME_MAX 64
#define PEERS_MAX 256
#define PEER_LINE_MAX ((1u << 20) + 4096) /* bytes of either line, without the newline */
#define PEER_STRANGER_MAX 1024            /* of one from who is not known */
#define PEER_FINGERPRINT_LEN 64 /* SHA-256 of the certificate, in small hexadecimal digits */
#define PEER_SECRET_LEN 32      /* 128 bits, the same */
#define PEER_TOKEN_LEN (PEER_FINGERPRINT_LEN + PEER_SECRET_LEN)

/* Descriptors of a dach-peer; all else is closed. It has no socket where it is to call. */
enum peer_descriptor { PEER_CONTROL = 3, PEER_ORDER, PEER_SOCKET, PEER_DESCRIPTORS };

struct peer_order {
	char *address;     /* whom to call; NULL: we are called */
	char *fingerprint; /* that it has to have */
	char *ask;         /* what it is asked, one line */
	char **known;      /* fingerprints that may call */
	unsigned knowns;
	unsigned walls; /* 1 << WALL_...: what the host has to have; else it does nothing */
};
extern const struct field peer_order_fields[];

/* What is asked. Texts are the JSON's, which the caller keeps. */
struct peer_ask {
	const json_t *migrate; /* NULL: not that */
	const char *owner;     /* of migrate; NULL */
	const char *fetch;     /* a guest's UUID; NULL */
	bool storage;          /* of fetch, as the next: POST /v1/guests/{ref}/migrate's */
	unsigned pause;
	uint64_t rate;
	const char *secret; /* join; NULL */
	unsigned port;      /* join */
};
/* line: without its newline. *json: the caller's to json_decref(), also after a failure. -EPROTO: it is no question of this version. */
int peer_ask_read(const char *line, size_t len, json_t **json, struct peer_ask *ask,
	struct error *err);
/* The answer to ours: 0, or what the other side refuses (-EBUSY; -ENOENT: the guest is not there), or -EPROTO. *json as above. */
int peer_answer_read(const char *line, size_t len, json_t **json, struct error *err);

/* "" if it is not one. Both take capital digits, too. */
int peer_fingerprint_read(const char *text, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	struct error *err);
/* What one side's administrator is given, for the other's: the fingerprint of the one who made it, and a secret. */
int peer_token_read(const char *text, char fingerprint[PEER_FINGERPRINT_LEN + 1],
	char secret[PEER_SECRET_LEN + 1], struct error *err);

/*
 * HOST, HOST:PORT or [IPV6]:PORT, a name or an address. host has room for PEER_HOST_MAX + 1 bytes.
 */
#define PEER_HOST_MAX 255
int peer_address_read(const char *text, char *host, unsigned *port, struct error *err);
/* As a name is of a host that is known: letters, digits, '.', '_' and '-', no '.' or '-' first. */
int peer_name_check(const char *name, struct error *err);

#endif
