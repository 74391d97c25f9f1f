/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that move between this host and others that it knows (peers.h): what is said before op_migrate.c's part begins. */
#ifndef DACH_DAEMON_MIGRATE_PEER_H
#define DACH_DAEMON_MIGRATE_PEER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct caller;
struct daemon;
struct guest;
struct operation;
struct peer;

/* A guest leaves for the host that the operation names; ends the operation, now or later. */
void migrate_peer_call(struct operation *op, struct guest *guest);
/* It is here, wherever it was or was to go. */
void migrate_peer_is_here(const struct guest *guest);

/*
 * What the other side is told of a guest that goes there, added to a line of protocol/peer.h: what POST /v1/receive takes, as key, and its
 * owner. config: it is to be that there; NULL: what it is.
 */
int migrate_peer_tell(json_t *line, const char *key, const struct guest *guest,
	const json_t *config, bool paused, bool storage, struct error *err);
/*
 * A guest comes from there, as its daemon tells it: *fd is what its monitor waits at, and uuid its own in body.
 */
int migrate_peer_receive(struct daemon *daemon, const json_t *body, const char *owner, int *fd,
	const char **uuid, struct error *err);
/* Who asks where another host's daemon does. -ENOENT: there is no such user here. caller_free() afterwards. */
int migrate_peer_caller(struct daemon *daemon, const char *owner, struct caller *caller,
	struct error *err);

#endif
