/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/migrate_peer.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/migration.h"
#include "daemon/op.h"
#include "daemon/peer_line.h"
#include "daemon/peers.h"

/* Who is whose: users go by name, since numbers mean nothing on another host */

static int tell_owner(json_t *line, const struct guest *guest, struct error *err)
{
	struct passwd *user;

	if (guest->owner == geteuid())
		return 0;
	user = getpwuid(guest->owner);
	if (!user)
		return error_set(err, ENOENT,
			"the guest's owner, user %u, has no name by which the other host could know him",
			(unsigned)guest->owner);
	return json_object_set_new(line, "owner", json_string(user->pw_name)) ? error_nomem(err)
									      : 0;
}

int migrate_peer_caller(struct daemon *daemon, const char *owner, struct caller *caller,
	struct error *err)
{
	struct passwd *user = *owner ? getpwnam(owner) : NULL;

	if (*owner && !user)
		return error_set(err, ENOENT, "there is no user '%.64s', whose guest it is", owner);
	caller_of_user(&daemon->policy, user ? user->pw_uid : geteuid(), caller);
	return 0;
}

/* What is told */

static json_t *disk_sizes(const json_t *guest)
{
	json_t *sizes = json_object(), *disk;
	size_t i;

	json_array_foreach(json_object_get(guest, "disks"), i, disk)
	{
		if (*json_get_text(disk, "path") && !strcmp(json_get_text(disk, "access"), "w"))
			json_object_set(sizes, json_get_text(disk, "vdev"),
				json_object_get(disk, "size"));
	}
	return sizes;
}

int migrate_peer_tell(json_t *line, const char *key, const struct guest *guest,
	const json_t *config, bool paused, bool storage, struct error *err)
{
	json_t *now = guest_describe(guest, true, 0), *own, *body;
	int r = now ? tell_owner(line, guest, err) : error_nomem(err);

	if (r) {
		json_decref(now);
		return r;
	}
	own = config ? json_copy((json_t *)(uintptr_t)config)
		     : json_incref(json_object_get(now, "config"));
	json_object_set_new(own, "uuid", json_string(guest->config.uuid));
	body = json_pack("{s:o, s:b, s:b, s:b, s:o*}", "config", own, "paused",
		paused || guest->paused, "managed", guest->managed, "autostart", guest->autostart,
		"disk_sizes", storage ? disk_sizes(now) : NULL);
	json_decref(now);
	return json_object_set_new(line, key, body) ? error_nomem(err) : 0;
}

/* Away */

static struct peer *peer_for(struct operation *op)
{
	struct peer *peer = op->manager ? peer_find(op->daemon, op->arguments.host) : NULL;
	struct error err = {""};

	if (!op->manager)
		op_refuse(op, -EACCES, "other hosts are for who manages this one");
	else if (!peer)
		op_refuse_error(op,
			error_set(&err, ENOENT, "there is no host '%.64s': dach host list",
				op->arguments.host),
			&err);
	return peer;
}

/* It is on the list before it may be there, since this daemon may end in between. */
static int note_away(const struct operation *op, const struct guest *guest, struct error *err)
{
	struct peer *peer =
		op->arguments.evacuate ? peer_find(op->daemon, op->arguments.host) : NULL;

	if (!peer)
		return 0;
	json_object_set_new(peer->away, guest->config.uuid, json_string(guest->config.name));
	return peer_save(peer, err);
}

void migrate_peer_is_here(const struct guest *guest)
{
	for (struct peer *at = peer_first(guest->daemon); at; at = at->next)
		if (!json_object_del(at->away, guest->config.uuid))
			peer_save(at, NULL);
}

/* What the other side knows of the guest, whatever it is to be there. */
static json_t *what_leaves(const struct operation *op, const struct guest *guest, struct error *err)
{
	json_t *told = json_object();
	int r = told ? migrate_peer_tell(told, "migrate", guest, NULL, op->arguments.paused,
			       op->arguments.storage, err)
		     : error_nomem(err);

	if (!r)
		return told;
	json_decref(told);
	return NULL;
}

/* Its answer may have taken minutes, in which a disk may have moved, or a network come. */
static int check_same(struct operation *op, const struct guest *guest, struct error *err)
{
	json_t *told = op->value, *now = what_leaves(op, guest, err);
	int r = now ? 0 : -EIO;

	if (now && !json_equal(told, now))
		r = migration_changed(op->arguments.host, err);
	op->value = NULL;
	json_decref(told);
	json_decref(now);
	return r;
}

/* Meanwhile the guest may have become one that cannot leave. */
static void may_come(void *ctx, struct peer_line *line, int r, const json_t *answer,
	const char *text)
{
	struct operation *op = ctx;
	struct error err = {""};
	struct guest *guest;
	int ends[2];

	if (r) {
		error_set(&err, -r, "%s: %s", op->arguments.host, text);
		op_refuse_error(op, r, &err);
		return;
	}
	guest = migration_guest(op);
	if (!guest) {
		peer_line_end(line);
		return;
	}
	r = check_same(op, guest, &err);
	if (!r)
		r = note_away(op, guest, &err);
	if (!r)
		r = migration_open_line(ends, &err);
	if (r) {
		migrate_peer_is_here(guest);
		peer_line_end(line);
		op_refuse_error(op, r, &err);
		return;
	}
	peer_line_carry(line, ends[0]);
	migration_set_line(guest, ends[1]);
	migration_depart(op, guest);
}

void migrate_peer_call(struct operation *op, struct guest *guest)
{
	const struct operation_arguments *words = &op->arguments;
	const struct peer *peer = peer_for(op);
	struct error err = {""};
	json_t *line;
	int r;

	if (!peer)
		return;
	if (!*peer->address) {
		r = error_set(&err, EDESTADDRREQ,
			"%s has no address: 'dach host add %s ADDRESS' tells it", peer->name,
			peer->name);
		op_refuse_error(op, r, &err);
		return;
	}
	op->value = what_leaves(op, guest, &err);
	line = json_pack("{s:i}", "dach-peer", PEER_VERSION);
	r = op->value ? migrate_peer_tell(line, "migrate", guest, words->config, words->paused,
				words->storage, &err)
		      : -EIO;
	if (r)
		json_decref(line);
	else
		r = peer_line_call(op->daemon, peer->address, peer->fingerprint, line, may_come, op,
			&err);
	if (r)
		op_refuse_error(op, r, &err);
}

/* Here */

struct receiving {
	int fd, r;
	struct error *err;
};

static void received(void *ctx, const struct operation_answer *answer)
{
	struct receiving *receiving = ctx;

	receiving->r = answer->r;
	receiving->fd = answer->fd;
	if (answer->r)
		error_set(receiving->err, -answer->r, "%s", answer->text);
}

int migrate_peer_receive(struct daemon *daemon, const json_t *body, const char *owner, int *fd,
	const char **uuid, struct error *err)
{
	struct receiving receiving = {.fd = -1, .err = err};
	struct operation_arguments arguments;
	struct caller caller;
	int r = migrate_peer_caller(daemon, owner, &caller, err);

	if (r)
		return r;
	operation_arguments_init(&operation_receive, &arguments);
	r = operation_arguments_read(&operation_receive, body, &arguments, err);
	/* It answers at once. */
	if (!r)
		operation_begin(&operation_receive, daemon, &caller, &arguments, received,
			&receiving);
	operation_arguments_free(&arguments);
	caller_free(&caller);
	*fd = receiving.fd;
	*uuid = json_get_text(json_object_get(body, "config"), "uuid");
	return r ? r : receiving.r;
}
