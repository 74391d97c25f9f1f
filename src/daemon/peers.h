/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other hosts whose daemons this one knows, each by a name, an address and its certificate's fingerprint, and what they ask
 * of it. What they may is much: a guest that comes from one is what it says it is, with the disks that it names, so one that
 * is known is trusted as one who manages this host. Whether they are listened to at all says the policy ("listen").
 */
#ifndef DACH_DAEMON_PEERS_H
#define DACH_DAEMON_PEERS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "protocol/peer.h"

struct daemon;
struct peer_line;

struct peer {
	struct peer *next;
	struct daemon *daemon;
	char name[PEER_NAME_MAX + 1];
	char *address; /* as peer_address_read() takes it; "": it cannot be called */
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	json_t *came; /* guests here that came from it: an object whose keys are their UUIDs */
	json_t *away; /* guests that were evacuated to it: their names by UUID */
};

/* Before everything else here; and at the daemon's end. */
int peers_create(struct daemon *daemon, struct error *err);
void peers_destroy(struct daemon *daemon);
/* One as the store has it. */
int peers_load(struct daemon *daemon, const char *text, struct error *err);
/* Listens, or no longer, as the policy has it; what is wrong is in the log. */
void peers_listen(struct daemon *daemon);
bool peers_are_listening(const struct daemon *daemon);

/* This daemon's own key and certificate, made when they are first asked for. */
int peers_identity(struct daemon *daemon, const char **pem, const char **fingerprint,
	struct error *err);
/* Those that may call, for a dach-peer. NULL: out of memory. */
json_t *peers_fingerprints(const struct daemon *daemon);

struct peer *peer_first(const struct daemon *daemon);
struct peer *peer_find(const struct daemon *daemon, const char *name);
struct peer *peer_by_fingerprint(const struct daemon *daemon, const char *fingerprint);
/* Whether there may be such a new one. -EEXIST: its name or its certificate is known. */
int peer_check_new(struct daemon *daemon, const char *name, const char *address,
	const char *fingerprint, struct error *err);
/* It is in the store and in the list from now on. */
int peer_add(struct daemon *daemon, const char *name, const char *address, const char *fingerprint,
	struct error *err);
int peer_set_address(struct peer *peer, const char *address, struct error *err);
int peer_remove(struct peer *peer, struct error *err);
/* As the store has it; what is known only of guests that are gone is forgotten with that. */
int peer_save(struct peer *peer, struct error *err);
json_t *peer_describe(const struct peer *peer);
/* This host, as others are to know it. */
json_t *peers_describe_self(struct daemon *daemon, struct error *err);

/*
 * A token for the host that is to be called name here: once, and not for long. *token: PEER_TOKEN_LEN digits, the caller's to
 * free().
 */
#define PEERS_TOKEN_SECONDS 600
int peers_make_token(struct daemon *daemon, const char *name, char **token, struct error *err);
/*
 * Who has this certificate is known from now on by the name that the token was made for. Used up, it does for the same one again, who may
 * not have heard that it has done. -EACCES: there is no such token; a failure leaves it as it was.
 */
int peers_use_token(struct daemon *daemon, const char *secret, const char *address,
	const char *fingerprint, struct error *err);

/* peer_ask.c: what a host asks, one line; answered by peer_line_answer(). */
void peer_asked(struct peer_line *line, const char *fingerprint, const char *from, const char *text,
	size_t len);

#endif
