/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peers.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <linux/in6.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/peer_line.h"
#include "peer/identity.h"

#define TOKENS_MAX 16

struct host_token {
	char secret[PEER_SECRET_LEN + 1]; /* "": none */
	char name[PEER_NAME_MAX + 1];
	uint64_t until; /* clock_now() */
	bool used;
};

struct peers {
	struct peer *first; /* by name */
	char *pem;          /* NULL: not read yet */
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	struct host_token token[TOKENS_MAX];
	struct loop_fd listener; /* fd -1: none */
	char *listens;           /* where */
};

int peers_create(struct daemon *daemon, struct error *err)
{
	daemon->peers = calloc(1, sizeof *daemon->peers);
	if (!daemon->peers)
		return error_nomem(err);
	daemon->peers->listener.fd = -1;
	return 0;
}

static void peer_free(struct peer *peer)
{
	struct peer **at = &peer->daemon->peers->first;

	while (*at && *at != peer)
		at = &(*at)->next;
	if (*at)
		*at = peer->next;
	free(peer->address);
	json_decref(peer->came);
	json_decref(peer->away);
	free(peer);
}

static void stop_listening(struct daemon *daemon)
{
	struct peers *peers = daemon->peers;

	if (peers->listener.fd >= 0) {
		loop_fd_remove(daemon->loop, &peers->listener);
		close(peers->listener.fd);
	}
	peers->listener.fd = -1;
	free(peers->listens);
	peers->listens = NULL;
}

void peers_destroy(struct daemon *daemon)
{
	struct peers *peers = daemon->peers;

	if (!peers)
		return;
	peer_lines_end(daemon);
	stop_listening(daemon);
	while (peers->first)
		peer_free(peers->first);
	free(peers->pem);
	free(peers);
	daemon->peers = NULL;
}

/* The list */

struct peer *peer_first(const struct daemon *daemon)
{
	return daemon->peers->first;
}

struct peer *peer_find(const struct daemon *daemon, const char *name)
{
	struct peer *at = daemon->peers->first;

	while (at && strcmp(at->name, name))
		at = at->next;
	return at;
}

struct peer *peer_by_fingerprint(const struct daemon *daemon, const char *fingerprint)
{
	struct peer *at = daemon->peers->first;

	while (at && strcmp(at->fingerprint, fingerprint))
		at = at->next;
	return at;
}

json_t *peers_fingerprints(const struct daemon *daemon)
{
	json_t *known = json_array();

	for (const struct peer *at = daemon->peers->first; at; at = at->next)
		json_array_append_new(known, json_string(at->fingerprint));
	return known;
}

static struct peer *peer_new(struct daemon *daemon, const char *name, const char *address,
	const char *fingerprint)
{
	struct peer *peer = calloc(1, sizeof *peer), **at = &daemon->peers->first;

	if (!peer)
		return NULL;
	peer->daemon = daemon;
	peer->address = strdup(address);
	peer->came = json_object();
	peer->away = json_object();
	snprintf(peer->name, sizeof peer->name, "%s", name);
	snprintf(peer->fingerprint, sizeof peer->fingerprint, "%s", fingerprint);
	if (!peer->address || !peer->came || !peer->away) {
		peer_free(peer);
		return NULL;
	}
	while (*at && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	peer->next = *at;
	*at = peer;
	return peer;
}

int peers_load(struct daemon *daemon, const char *text, struct error *err)
{
	json_t *json = json_loads(text, 0, NULL);
	char fingerprint[PEER_FINGERPRINT_LEN + 1];
	const char *name = json_get_text(json, "name");
	struct peer *peer;
	int r = json ? peer_name_check(name, err) : error_set(err, EUCLEAN, "not JSON");

	if (!r)
		r = peer_fingerprint_read(json_get_text(json, "fingerprint"), fingerprint, err);
	if (!r) {
		peer = peer_new(daemon, name, json_get_text(json, "address"), fingerprint);
		if (!peer)
			r = error_nomem(err);
		else if (json_is_object(json_object_get(json, "came")))
			json_object_update(peer->came, json_object_get(json, "came"));
		if (!r && json_is_object(json_object_get(json, "away")))
			json_object_update(peer->away, json_object_get(json, "away"));
	}
	json_decref(json);
	return r;
}

/* Of guests that are not here any more it is not known either that they came. */
static void drop_gone(struct peer *peer)
{
	const char *uuid;
	json_t *value;
	void *next;

	json_object_foreach_safe(peer->came, next, uuid, value)
	{
		if (!guest_by_uuid(peer->daemon, uuid))
			json_object_del(peer->came, uuid);
	}
}

static json_t *write_peer(const struct peer *peer)
{
	return json_pack("{s:s, s:s, s:s, s:O, s:O}", "name", peer->name, "address", peer->address,
		"fingerprint", peer->fingerprint, "came", peer->came, "away", peer->away);
}

int peer_save(struct peer *peer, struct error *err)
{
	json_t *json;
	char *text;
	int r;

	drop_gone(peer);
	json = write_peer(peer);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	r = text ? store_save_peer(peer->daemon->store, peer->name, text, err) : error_nomem(err);
	free(text);
	json_decref(json);
	return r;
}

json_t *peer_describe(const struct peer *peer)
{
	json_t *away = json_array(), *name;
	const char *uuid;

	json_object_foreach(peer->away, uuid, name)
		json_array_append_new(away, json_pack("{s:s, s:O}", "uuid", uuid, "name", name));
	return json_pack("{s:s, s:s, s:s, s:o}", "name", peer->name, "address", peer->address,
		"fingerprint", peer->fingerprint, "away", away);
}

static int check_address(const char *address, struct error *err)
{
	char host[PEER_HOST_MAX + 1];
	unsigned port;

	return *address ? peer_address_read(address, host, &port, err) : 0;
}

int peer_check_new(struct daemon *daemon, const char *name, const char *address,
	const char *fingerprint, struct error *err)
{
	const struct peer *same = peer_by_fingerprint(daemon, fingerprint);
	const char *own, *pem;
	unsigned count = 0;
	int r = peer_name_check(name, err);

	if (!r)
		r = check_address(address, err);
	if (!r)
		r = peers_identity(daemon, &pem, &own, err);
	if (r)
		return r;
	if (peer_find(daemon, name))
		return error_set(err, EEXIST, "there is a host '%s' already", name);
	if (same)
		return error_set(err, EEXIST, "that host is known already, as '%s'", same->name);
	if (!strcmp(own, fingerprint))
		return error_set(err, EINVAL, "that is this host's own certificate");
	for (const struct peer *at = daemon->peers->first; at; at = at->next)
		count++;
	return count < PEERS_MAX ? 0
				 : error_set(err, ENOSPC, "%d hosts are known already", PEERS_MAX);
}

int peer_add(struct daemon *daemon, const char *name, const char *address, const char *fingerprint,
	struct error *err)
{
	struct peer *peer;
	int r = peer_check_new(daemon, name, address, fingerprint, err);

	if (r)
		return r;
	peer = peer_new(daemon, name, address, fingerprint);
	if (!peer)
		return error_nomem(err);
	r = peer_save(peer, err);
	if (r)
		peer_free(peer);
	else
		log_add(&daemon->log, "host %s: known from now on, at %s", name,
			*address ? address : "no address");
	return r;
}

int peer_set_address(struct peer *peer, const char *address, struct error *err)
{
	char *before = peer->address, *copy;
	int r = check_address(address, err);

	if (r)
		return r;
	copy = strdup(address);
	if (!copy)
		return error_nomem(err);
	peer->address = copy;
	r = peer_save(peer, err);
	if (r)
		peer->address = before;
	free(r ? copy : before);
	return r;
}

int peer_remove(struct peer *peer, struct error *err)
{
	int r = store_save_peer(peer->daemon->store, peer->name, NULL, err);

	if (r)
		return r;
	log_add(&peer->daemon->log, "host %s: not known any more", peer->name);
	peer_free(peer);
	return 0;
}

/* This host */

int peers_identity(struct daemon *daemon, const char **pem, const char **fingerprint,
	struct error *err)
{
	struct peers *peers = daemon->peers;
	char path[PATH_MAX + 16];
	int r = 0;

	if (!peers->pem) {
		snprintf(path, sizeof path, "%s/peer.pem", daemon->state);
		r = identity_open(path, &peers->pem, err);
		if (!r)
			r = identity_fingerprint(peers->pem, peers->fingerprint, err);
		if (r) {
			free(peers->pem);
			peers->pem = NULL;
			return r;
		}
	}
	*pem = peers->pem;
	*fingerprint = peers->fingerprint;
	return 0;
}

json_t *peers_describe_self(struct daemon *daemon, struct error *err)
{
	const char *pem, *fingerprint;
	struct utsname host;

	if (uname(&host) || peers_identity(daemon, &pem, &fingerprint, err))
		return NULL;
	return json_pack("{s:s, s:s, s:s}", "name", host.nodename, "fingerprint", fingerprint,
		"listen", daemon->peers->listens ? daemon->peers->listens : "");
}

int peers_make_token(struct daemon *daemon, const char *name, char **token, struct error *err)
{
	const uint64_t now = clock_now();
	struct host_token *free_one = NULL;
	const char *pem, *fingerprint;
	int r = peer_name_check(name, err);

	if (!r)
		r = peers_identity(daemon, &pem, &fingerprint, err);
	if (!r && !daemon->peers->listens)
		r = error_set(err, ENOTCONN,
			"this host does not listen to others: \"listen\" in the daemon's policy says where (dachd(8))");
	if (!r && peer_find(daemon, name))
		r = error_set(err, EEXIST, "there is a host '%s' already", name);
	for (unsigned i = 0; !r && i < TOKENS_MAX; i++) {
		struct host_token *at = &daemon->peers->token[i];

		/* One for a name: the last. */
		if (!free_one && (!*at->secret || at->used || at->until < now))
			free_one = at;
		if (!strcmp(at->name, name))
			free_one = at;
	}
	if (!r && !free_one)
		r = error_set(err, EBUSY, "%d tokens have not been used yet", TOKENS_MAX);
	if (!r)
		r = identity_secret(free_one->secret, err);
	if (r)
		return r;
	snprintf(free_one->name, sizeof free_one->name, "%s", name);
	free_one->until = now + PEERS_TOKEN_SECONDS * 1000000000ull;
	free_one->used = false;
	if (asprintf(token, "%s%s", fingerprint, free_one->secret) >= 0)
		return 0;
	*free_one = (struct host_token){.until = 0};
	return error_nomem(err);
}

/* In a time that tells nothing of how much is right. */
static bool same_secret(const char *one, const char *other)
{
	unsigned char differs = 0;

	for (unsigned i = 0; i < PEER_SECRET_LEN; i++)
		differs |= (unsigned char)(one[i] ^ other[i]);
	return !differs;
}

static struct host_token *find_token(struct daemon *daemon, const char *secret)
{
	struct host_token *found = NULL;

	for (unsigned i = 0; i < TOKENS_MAX; i++) {
		struct host_token *at = &daemon->peers->token[i];

		if (*at->secret && same_secret(at->secret, secret) && at->until >= clock_now())
			found = at;
	}
	return found;
}

int peers_use_token(struct daemon *daemon, const char *secret, const char *address,
	const char *fingerprint, struct error *err)
{
	struct host_token *token = find_token(daemon, secret);
	const struct peer *peer = token && token->used ? peer_find(daemon, token->name) : NULL;
	int r;

	if (peer && !strcmp(peer->fingerprint, fingerprint))
		return 0;
	if (!token || token->used)
		return error_set(err, EACCES,
			"the token is none of this host's, has been used, or is older than %d minutes",
			PEERS_TOKEN_SECONDS / 60);
	r = peer_add(daemon, token->name, address, fingerprint, err);
	token->used = !r;
	return r;
}

/* Listening */

static void called(void *ctx, short revents)
{
	struct daemon *daemon = ctx;
	int fd = accept4(daemon->peers->listener.fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		peer_line_take(daemon, fd);
}

static int listen_at(const char *address, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	char host[PEER_HOST_MAX + 1], service[8];
	struct addrinfo *place = NULL;
	const int on = 1;
	unsigned port;
	int fd, code, r = peer_address_read(address, host, &port, err);

	if (r)
		return r;
	snprintf(service, sizeof service, "%u", port);
	code = getaddrinfo(host, service, &hints, &place);
	if (code)
		return error_set(err, EINVAL, "%s: %s", address, gai_strerror(code));
	fd = socket(place->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		/* The host may get the address later. */
		setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof on);
		setsockopt(fd, SOL_IPV6, IPV6_FREEBIND, &on, sizeof on);
	}
	if (fd < 0 || bind(fd, place->ai_addr, place->ai_addrlen) || listen(fd, 16)) {
		r = error_set(err, errno, "%s: %s", address, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	freeaddrinfo(place);
	return r ? r : fd;
}

void peers_listen(struct daemon *daemon)
{
	struct peers *peers = daemon->peers;
	const char *address = json_get_text(daemon->policy.root, "listen");
	struct error err = {""};
	int fd;

	if (peers->listens && !strcmp(peers->listens, address))
		return;
	stop_listening(daemon);
	if (!*address)
		return;
	fd = listen_at(address, &err);
	peers->listens = fd < 0 ? NULL : strdup(address);
	if (!peers->listens) {
		log_add(&daemon->log, "other hosts are not listened to: %s",
			fd < 0 ? err.text : "out of memory");
		if (fd >= 0)
			close(fd);
		return;
	}
	peers->listener =
		(struct loop_fd){.fd = fd, .events = POLLIN, .ready = called, .ctx = daemon};
	loop_fd_add(daemon->loop, &peers->listener);
	log_add(&daemon->log, "listens to other hosts at %s", address);
}

bool peers_are_listening(const struct daemon *daemon)
{
	return daemon->peers->listener.fd >= 0;
}
