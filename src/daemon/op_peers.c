/* SPDX-License-Identifier: Apache-2.0 */
/* About other hosts that this one knows, and guests that were evacuated to them: for who manages this host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/migrate_peer.h"
#include "daemon/op.h"
#include "daemon/peer_line.h"
#include "daemon/peers.h"
#include "protocol/limits.h"
#include "protocol/request.h"

static bool may(struct operation *op)
{
	if (!op->manager)
		op_refuse(op, -EACCES, "other hosts are for who manages this one");
	return op->manager;
}

/* NULL: it has been refused. */
static struct peer *find(struct operation *op)
{
	struct peer *peer = may(op) ? peer_find(op->daemon, op->arguments.ref) : NULL;
	struct error err = {""};

	if (!peer && !op->finished) {
		error_set(&err, ENOENT, "there is no host '%.64s'", op->arguments.ref);
		op_refuse_error(op, -ENOENT, &err);
	}
	return peer;
}

static void list(struct operation *op)
{
	struct error err = {""};
	json_t *hosts, *self;

	if (!may(op))
		return;
	self = peers_describe_self(op->daemon, &err);
	if (!self) {
		op_refuse_error(op, -EIO, &err);
		return;
	}
	hosts = json_array();
	for (const struct peer *at = peer_first(op->daemon); at; at = at->next)
		json_array_append_new(hosts, peer_describe(at));
	op_finish(op, json_pack("{s:o, s:o}", "hosts", hosts, "self", self));
}

const struct operation_kind operation_hosts = {"hosts_list", "HostList", .run = list};

static void get(struct operation *op)
{
	struct peer *peer = find(op);

	if (peer)
		op_finish(op, peer_describe(peer));
}

const struct operation_kind operation_host_get = {"other_host_get", "OtherHost", .run = get};

static void delete (struct operation *op)
{
	struct peer *peer = find(op);
	json_t *was = peer ? peer_describe(peer) : NULL;
	struct error err = {""};
	int r;

	if (!peer)
		return;
	r = peer_remove(peer, &err);
	if (!r) {
		op_finish(op, was);
		return;
	}
	json_decref(was);
	op_refuse_error(op, r, &err);
}

const struct operation_kind operation_host_delete = {"other_host_delete", "OtherHost",
	.run = delete};

static const struct field token_arguments[] = {
	FIELD_ROW(STRING, operation_arguments, name, .needed = true, .min = 1,
		.max = PEER_NAME_MAX),
	{.key = NULL},
};

static void make_token(struct operation *op)
{
	struct error err = {""};
	char *token = NULL;
	int r;

	if (!may(op))
		return;
	r = peers_make_token(op->daemon, op->arguments.name, &token, &err);
	if (r)
		op_refuse_error(op, r, &err);
	else
		op_finish(op,
			json_pack("{s:s, s:i, s:o}", "token", token, "seconds", PEERS_TOKEN_SECONDS,
				"self", peers_describe_self(op->daemon, &err)));
	free(token);
}

const struct operation_kind operation_host_token = {"host_token", "HostToken",
	.arguments = token_arguments, .run = make_token};

/* Adding */

static const struct field add_arguments[] = {
	FIELD_ROW(STRING, operation_arguments, name, .needed = true, .min = 1,
		.max = PEER_NAME_MAX),
	FIELD_ROW(STRING, operation_arguments, address, .min = 1, .max = PEER_HOST_MAX + 8),
	FIELD_ROW(STRING, operation_arguments, fingerprint, .min = 1, .max = PEER_FINGERPRINT_LEN),
	FIELD_ROW(STRING, operation_arguments, token, .min = 1, .max = PEER_TOKEN_LEN),
	{.key = NULL},
};

static void added(struct operation *op, int r, const struct error *err)
{
	if (r)
		op_refuse_error(op, r, err);
	else
		op_finish(op, peer_describe(peer_find(op->daemon, op->arguments.name)));
}

/* The other side knows us now. */
static void joined(void *ctx, struct peer_line *line, int r, const json_t *answer, const char *text)
{
	struct operation *op = ctx;
	char fingerprint[PEER_FINGERPRINT_LEN + 1], secret[PEER_SECRET_LEN + 1];
	struct error err = {""}, known = {""};

	if (r)
		error_set(&err, -r, "%s", text);
	else
		peer_line_end(line);
	if (!r)
		r = peer_token_read(op->arguments.token, fingerprint, secret, &err);
	if (!r)
		r = peer_add(op->daemon, op->arguments.name, op->arguments.address, fingerprint,
			&known);
	if (*known.text)
		error_set(&err, -r,
			"%s; that host knows this one now: try again with the same token, or remove this one there",
			known.text);
	added(op, r, &err);
}

static int call(struct operation *op, struct error *err)
{
	char fingerprint[PEER_FINGERPRINT_LEN + 1], secret[PEER_SECRET_LEN + 1],
		host[PEER_HOST_MAX + 1];
	const struct operation_arguments *words = &op->arguments;
	json_t *self = NULL;
	unsigned port = 0;
	int r = peer_token_read(words->token, fingerprint, secret, err);

	if (!r)
		r = peer_check_new(op->daemon, words->name, words->address, fingerprint, err);
	if (!r) {
		self = peers_describe_self(op->daemon, err);
		r = self ? 0 : -EIO;
	}
	/* Where it may call us, if it may at all. */
	if (!r && *json_get_text(self, "listen"))
		r = peer_address_read(json_get_text(self, "listen"), host, &port, err);
	json_decref(self);
	return r ? r
		 : peer_line_call(op->daemon, words->address, fingerprint,
			   json_pack("{s:i, s:{s:s, s:i}}", "dach-peer", PEER_VERSION, "join",
				   "secret", secret, "port", (int)port),
			   joined, op, err);
}

static void add(struct operation *op)
{
	const struct operation_arguments *words = &op->arguments;
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	struct error err = {""};
	struct peer *peer;
	int r = 0;

	if (!may(op))
		return;
	peer = peer_find(op->daemon, words->name);
	if (words->token && words->address && !words->fingerprint) {
		r = call(op, &err);
		if (r)
			op_refuse_error(op, r, &err);
		return;
	}
	if (words->fingerprint && !words->token) {
		r = peer_fingerprint_read(words->fingerprint, fingerprint, &err);
		if (!r)
			r = peer_add(op->daemon, words->name, words->address ? words->address : "",
				fingerprint, &err);
	} else if (peer && words->address && !words->token) {
		r = peer_set_address(peer, words->address, &err);
	} else {
		r = error_set(&err, EINVAL,
			"a host is added by a token of its own and its address, or by its fingerprint ('dach host show' there)");
	}
	added(op, r, &err);
}

const struct operation_kind operation_host_add = {"other_host_add", "OtherHost",
	.arguments = add_arguments, .run = add};

/* Guests that come back */

static const struct field fetch_arguments[] = {
	FIELD_ROW(STRING, operation_arguments, guest, .needed = true, .min = 1, .max = LIMIT_UUID),
	FIELD_ROW(BOOL, operation_arguments, storage),
	FIELD_ROW(COUNT, operation_arguments, pause, .max = MIGRATE_PAUSE_MAX),
	FIELD_ROW(NUMBER, operation_arguments, rate, .max = INT64_MAX),
	{.key = NULL},
};

static void is_back(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;
	struct guest *guest = guest_by_uuid(op->daemon, op->arguments.guest);
	struct error err = {""};

	if (r || !guest) {
		error_set(&err, ECANCELED, "%s: it did not come: %s", op->arguments.ref,
			*text ? text : "the other host's log says more");
		op_refuse_error(op, r ? r : -ECANCELED, &err);
		return;
	}
	op_finish(op, op_describe(op, guest));
}

/* It has ended there, or gone on to another host: it is not awaited any more. */
static void is_gone(struct operation *op)
{
	struct peer *peer = peer_find(op->daemon, op->arguments.ref);

	if (!peer || json_object_del(peer->away, op->arguments.guest))
		return;
	peer_save(peer, NULL);
	log_add(&op->daemon->log, "host %s: the guest %s is not there any more", peer->name,
		op->arguments.guest);
}

static void comes_back(void *ctx, struct peer_line *line, int r, const json_t *answer,
	const char *text)
{
	struct operation *op = ctx;
	struct error err = {""};
	const char *uuid = "";
	int fd = -1;

	if (r)
		error_set(&err, -r, "%s: %s", op->arguments.ref, text);
	if (r == -ENOENT)
		is_gone(op);
	if (!r)
		r = migrate_peer_receive(op->daemon, json_object_get(answer, "guest"),
			json_get_text(answer, "owner"), &fd, &uuid, &err);
	if (!r && strcmp(uuid, op->arguments.guest))
		r = error_set(&err, EPROTO, "%s: it sends another guest", op->arguments.ref);
	if (!r) {
		guest_wait(guest_by_uuid(op->daemon, uuid), false, is_back, op);
		/* With it the answer goes. */
		peer_line_carry(line, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	if (line)
		peer_line_end(line);
	op_refuse_error(op, r, &err);
}

static void fetch(struct operation *op)
{
	const struct operation_arguments *words = &op->arguments;
	struct peer *peer = find(op);
	struct error err = {""};
	int r = 0;

	if (!peer)
		return;
	if (!*peer->address)
		r = error_set(&err, EDESTADDRREQ, "%s has no address", peer->name);
	if (!r)
		r = peer_line_call(op->daemon, peer->address, peer->fingerprint,
			json_pack("{s:i, s:{s:s, s:b, s:I, s:I}}", "dach-peer", PEER_VERSION,
				"fetch", "uuid", words->guest, "storage", words->storage, "pause",
				(json_int_t)words->pause, "rate", (json_int_t)words->rate),
			comes_back, op, &err);
	if (r)
		op_refuse_error(op, r, &err);
}

const struct operation_kind operation_host_fetch = {"other_host_fetch", "Guest",
	.arguments = fetch_arguments, .run = fetch};
