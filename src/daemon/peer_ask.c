/* SPDX-License-Identifier: Apache-2.0 */
/* What another host's daemon asks of this one. Who is not known may only show a token. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/migrate_peer.h"
#include "daemon/migration.h"
#include "daemon/op.h"
#include "daemon/peer_line.h"
#include "daemon/peers.h"

/* who: for the log. gone: it wants a guest that is not here. */
static void refuse_as(struct peer_line *line, const char *who, bool gone, const struct error *err)
{
	log_add(&peer_line_daemon(line)->log, "host %s: refused: %s", who, err->text);
	peer_line_answer(line,
		json_pack("{s:s, s:o*}", "error", err->text, "gone", gone ? json_true() : NULL),
		-1);
}

static void refuse(struct peer_line *line, const char *who, const struct error *err)
{
	refuse_as(line, who, false, err);
}

/* By a token it becomes known, and we to it. */
static void join(struct peer_line *line, const struct peer_ask *ask, const char *fingerprint,
	const char *from)
{
	char address[PEER_HOST_MAX + 16] = "";
	struct error err = {""};

	if (ask->port)
		snprintf(address, sizeof address, strchr(from, ':') ? "[%s]:%u" : "%s:%u", from,
			ask->port);
	if (peers_use_token(peer_line_daemon(line), ask->secret, address, fingerprint, &err))
		refuse(line, from, &err);
	else
		peer_line_answer(line, json_pack("{s:b}", "ready", true), -1);
}

static void take_guest(struct peer_line *line, struct peer *peer, const struct peer_ask *ask)
{
	struct error err = {""};
	const char *uuid;
	int fd = -1,
	    r = migrate_peer_receive(peer->daemon, ask->migrate, ask->owner ? ask->owner : "", &fd,
		    &uuid, &err);

	if (r) {
		refuse(line, peer->name, &err);
		return;
	}
	json_object_set_new(peer->came, uuid, json_true());
	if (peer_save(peer, &err))
		log_add(&peer->daemon->log, "host %s: that a guest comes from it is not kept: %s",
			peer->name, err.text);
	peer_line_answer(line, json_pack("{s:b}", "ready", true), fd);
}

/* A guest that goes back */

struct return_trip {
	bool begun, over;
	int r;
	struct error err;
};

/* What becomes of it afterwards its monitor tells both sides, and the log. */
static void returned(void *ctx, const struct operation_answer *answer)
{
	struct return_trip *trip = ctx;

	trip->over = true;
	trip->r = answer->r;
	if (answer->r)
		error_set(&trip->err, -answer->r, "%s", answer->text);
	if (trip->begun)
		free(trip);
}

static int depart(struct guest *guest, const struct peer_ask *ask, struct error *err)
{
	struct return_trip *trip = calloc(1, sizeof *trip);
	struct operation_arguments words;
	struct caller caller;
	int r;

	if (!trip)
		return error_nomem(err);
	operation_arguments_init(&operation_migrate, &words);
	words.ref = strdup(guest->config.uuid);
	words.storage = ask->storage;
	words.pause = ask->pause;
	words.rate = ask->rate;
	caller_of_user(&guest->daemon->policy, geteuid(), &caller);
	operation_begin(&operation_migrate, guest->daemon, &caller, &words, returned, trip);
	caller_free(&caller);
	r = trip->over ? trip->r : 0;
	trip->begun = true;
	if (trip->over) {
		error_set(err, -r, "%s", trip->err.text);
		free(trip);
	}
	return r;
}

static void give_back(struct peer_line *line, struct peer *peer, const struct peer_ask *ask)
{
	struct guest *guest = guest_by_uuid(peer->daemon, ask->fetch);
	struct error err = {""};
	json_t *answer = json_pack("{s:b}", "ready", true);
	int ends[2] = {-1, -1}, r = 0;

	if (!guest || !json_object_get(peer->came, ask->fetch))
		r = error_set(&err, ENOENT, "no such guest has come here from your host");
	else if (!guest_answers(guest))
		r = error_set(&err, ESRCH, "the guest does not run");
	if (!r)
		r = migration_check_leave(guest, &err);
	if (!r)
		r = migrate_peer_tell(answer, "guest", guest, NULL, false, ask->storage, &err);
	if (!r)
		r = migration_open_line(ends, &err);
	if (!r) {
		migration_set_line(guest, ends[1]);
		r = depart(guest, ask, &err);
		if (r)
			migration_set_line(guest, -1);
	}
	if (!r) {
		peer_line_answer(line, answer, ends[0]);
		return;
	}
	json_decref(answer);
	if (ends[0] >= 0)
		close(ends[0]);
	refuse_as(line, peer->name, !guest, &err);
}

void peer_asked(struct peer_line *line, const char *fingerprint, const char *from, const char *text,
	size_t len)
{
	struct peer *peer = peer_by_fingerprint(peer_line_daemon(line), fingerprint);
	struct error err = {""};
	struct peer_ask ask;
	json_t *json = NULL;
	int r = peer_ask_read(text, len, &json, &ask, &err);

	if (!r && !peer && !ask.secret)
		r = error_set(&err, EACCES,
			"this host does not know yours: 'dach host token' here makes a token for 'dach host add' there");
	if (r)
		refuse(line, peer ? peer->name : from, &err);
	else if (ask.secret)
		join(line, &ask, fingerprint, from);
	else if (ask.migrate)
		take_guest(line, peer, &ask);
	else
		give_back(line, peer, &ask);
	json_decref(json);
}
