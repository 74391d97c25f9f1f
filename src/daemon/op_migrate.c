/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that move: away, over a connection that the caller has opened before, and here. What goes over it is between the
 * two monitors (doc/migration.md). Of a guest that comes, a note stands in its folder for as long as it is not
 * here, so that a daemon which was killed meanwhile does not take it for one of its own:
 *
 *   {"managed": true, "autostart": false, "made": [{"path": "/vm/disk.img", "device": 2049, "inode": 12}]}
 *
 * says what it is to be once it runs here, and which files go if it surely never has. Until then it is a guest that is
 * forgotten when its monitor ends. Of one that leaves, an empty note stands there from before its monitor is asked until
 * that says that it has not left.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "daemon/migrate_peer.h"
#include "daemon/migration.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/note.h"
#include "daemon/nvram.h"
#include "daemon/op.h"
#include "daemon/saved.h"
#include "protocol/end.h"
#include "protocol/peer.h"

#define OP_MOVED "moved" /* operation_kind.machine */

/* Away */

int migration_open_line(int ends[2], struct error *err)
{
	if (!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return 0;
	return error_set(err, errno, "no connection for a migration: %s", strerror(errno));
}

/* A file that goes when the guest is forgotten would go on both hosts, whichever of them forgets it. */
static int check_disks(const struct domain_config *config, struct error *err)
{
	for (unsigned i = 0; i < config->disks; i++)
		if (config->disk[i].temporary && config->disk[i].target)
			return error_set(err, ENOTSUP,
				"%s: goes when the guest ends, so the guest cannot be " OP_MOVED,
				config->disk[i].target);
	return 0;
}

/* What is being done to it, or stands on its disks. */
int migration_check_leave(const struct guest *guest, struct error *err)
{
	if (guest->held || guest->destroying)
		return error_set(err, EINVAL, "the guest has ended");
	if (guest->update)
		return error_set(err, EBUSY, "the guest is going to another monitor");
	if (saved_is_noted(guest))
		return error_set(err, EBUSY, "the guest is being saved");
	if (note_is_there(guest, NOTE_LAYERING) || note_is_there(guest, NOTE_MOVING) ||
		guest->committing || guest->plugging || guest->snapshots.busy)
		return error_set(err, EBUSY, "the guest's disks are being changed");
	if (snapshot_count(guest))
		return error_set(err, ENOTSUP,
			"the guest has snapshots, which do not move with it: delete them first (dach snapshot delete)");
	if (guest->departing)
		return error_set(err, EBUSY, "the guest is being migrated already");
	return check_disks(&guest->config, err);
}

int migration_changed(const char *host, struct error *err)
{
	return error_set(err, EBUSY,
		"the guest has changed since %s was told what it is: try again", host);
}

struct guest *migration_guest(struct operation *op)
{
	struct guest *guest = op_running_guest(op);
	struct error err = {0};
	int r = guest ? migration_check_leave(guest, &err) : 0;

	if (r)
		op_refuse_error(op, r, &err);
	return r ? NULL : guest;
}

void migration_set_line(struct guest *guest, int fd)
{
	if (guest->line >= 0)
		close(guest->line);
	guest->line = fd;
}

/* The caller's end of the connection; the other one waits for "migrate". */
static void open_migration(struct operation *op)
{
	struct guest *guest = migration_guest(op);
	struct error err = {0};
	int ends[2];

	if (!guest)
		return;
	if (migration_open_line(ends, &err)) {
		op_refuse_error(op, -EMFILE, &err);
		return;
	}
	migration_set_line(guest, ends[1]);
	op->fd = ends[0];
	op_finish_fd(op);
}

const struct operation_kind operation_migration = {"guest_migration", NULL, .guest = true,
	.machine = OP_MOVED, .run = open_migration};

static const struct field migrate_arguments[] = {
	{.key = "pause",
		.kind = FIELD_COUNT,
		FIELD_AT(operation_arguments, pause),
		.max = MIGRATE_PAUSE_MAX},
	{.key = "rate",
		.kind = FIELD_NUMBER,
		FIELD_AT(operation_arguments, rate),
		.max = INT64_MAX},
	{.key = "storage", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, storage), .max = 1},
	FIELD_ROW(STRING, operation_arguments, host, .min = 1, .max = PEER_NAME_MAX),
	FIELD_ROW(OBJECT, operation_arguments, config, .max = OPERATION_CONFIG_MAX),
	FIELD_ROW(BOOL, operation_arguments, paused),
	FIELD_ROW(BOOL, operation_arguments, evacuate),
	FIELD_ROW(OBJECT, operation_arguments, told, .max = OPERATION_CONFIG_MAX),
	{.key = NULL},
};

struct leaving_guest {
	struct operation *op;
	struct guest *guest;
};

static json_int_t figure(const json_t *answer, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(answer, key));

	return value < 0 ? 0 : value;
}

static json_t *parts_of(const json_t *answer)
{
	const json_t *from = json_object_get(answer, "parts");
	json_t *parts = json_object();

	for (unsigned i = 0; i < MIGRATE_PARTS; i++)
		json_object_set_new(parts, migrate_part_names[i],
			json_integer(figure(from, migrate_part_names[i])));
	return parts;
}

static void ended(void *ctx, int r, const char *text)
{
	struct operation *op = ctx;

	op_finish(op, json_incref(op->value));
}

/* One that stands may have left, and so may one whose monitor has gone, or is not heard by this daemon any more. */
static bool may_have_left(const struct guest *guest, int r)
{
	return guest->paused || r == -EPIPE || monitor_is_closed(guest->monitor);
}

static void left(void *ctx, int r, json_t *answer, const char *text)
{
	struct leaving_guest *leaving = ctx;
	struct guest *guest = leaving->guest;
	struct operation *op = leaving->op;
	char what[96];

	free(leaving);
	guest->departing = false;
	if (r) {
		if (!may_have_left(guest, r))
			migration_forget(guest);
		guest_log(guest, "not migrated", text);
		op_refuse(op, r, text);
		return;
	}
	op->value = json_pack("{s:s, s:s, s:I, s:o, s:I, s:I, s:I}", "uuid", guest->config.uuid,
		"name", guest->config.name, "pause", figure(answer, "pause"), "parts",
		parts_of(answer), "time", figure(answer, "time"), "bytes", figure(answer, "bytes"),
		"rounds", figure(answer, "rounds"));
	snprintf(what, sizeof what, "migrated, and stood still for %lld us",
		(long long)figure(answer, "pause") / 1000);
	guest_log(guest, what, "");
	/* It may come back: its name is free then. */
	guest_wait(guest, true, ended, op);
}

void migration_depart(struct operation *op, struct guest *guest)
{
	struct leaving_guest *leaving;
	struct error err = {0};
	int r;

	if (guest->line < 0) {
		op_refuse(op, -ENOTCONN,
			"no connection to another host has been opened for the guest");
		return;
	}
	leaving = malloc(sizeof *leaving);
	r = leaving ? note_write(guest, NOTE_DEPARTING, json_object(), &err) : error_nomem(&err);
	if (r) {
		free(leaving);
		migration_forget(guest);
		op_refuse_error(op, r, &err);
		return;
	}
	*leaving = (struct leaving_guest){op, guest};
	guest->departing = true;
	guest_log(guest, "is being migrated", "");
	monitor_call(guest->monitor,
		&(struct monitor_request){.verb = REQUEST_MIGRATE,
			.pause = op->arguments.pause,
			.rate = op->arguments.rate,
			.storage = op->arguments.storage},
		guest->line, 0, left, leaving);
	migration_set_line(guest, -1);
}

/* Whoever asks has told the other host what it is, and since then a disk may have moved, or a network come. */
static int check_told(const struct operation *op, const struct guest *guest, struct error *err)
{
	json_t *now;
	int r = op->arguments.told ? domain_config_to_json(&guest->config, &now, err) : 0;

	if (r || !op->arguments.told)
		return r;
	if (!json_equal(now, op->arguments.told))
		r = migration_changed("the other host", err);
	json_decref(now);
	return r;
}

/* To a host that is known, or by a connection that whoever asks has opened before. */
static void migrate(struct operation *op)
{
	struct guest *guest = migration_guest(op);
	struct error err = {0};
	int r = guest ? check_told(op, guest, &err) : 0;

	if (r) {
		migration_set_line(guest, -1);
		op_refuse_error(op, r, &err);
	} else if (guest && op->arguments.host) {
		migrate_peer_call(op, guest);
	} else if (guest) {
		migration_depart(op, guest);
	}
}

const struct operation_kind operation_migrate = {"guest_migrate", "Migrated", .guest = true,
	.machine = OP_MOVED, .arguments = migrate_arguments, .run = migrate};

/* Here */

static const struct field receive_arguments[] = {
	{.key = "config",
		.kind = FIELD_OBJECT,
		FIELD_AT(operation_arguments, config),
		.needed = true,
		.max = OPERATION_CONFIG_MAX},
	{.key = "paused", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, paused), .max = 1},
	{.key = "managed", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, managed), .max = 1},
	{.key = "autostart",
		.kind = FIELD_BOOL,
		FIELD_AT(operation_arguments, autostart),
		.max = 1},
	FIELD_ROW(OBJECT, operation_arguments, disk_sizes, .max = OPERATION_CONFIG_MAX),
	{.key = NULL},
};

static int make(struct operation *op, struct guest **guest, struct error *err)
{
	struct domain_config config = {0};
	int r = domain_config_from_json(op->arguments.config, &config, err);

	if (!r && config.kind == DOMAIN_CONTAINER)
		r = error_set(err, ENOTSUP, "containers cannot be " OP_MOVED);
	if (!r)
		r = check_disks(&config, err);
	if (!r)
		r = op_check_new(op, &config, err);
	if (!r && !(*guest = guest_new(op->daemon, &config)))
		r = error_nomem(err);
	domain_config_free(&config);
	return r;
}

/* In the store and in the list, and its monitor waits for what comes. */
static int begin(struct operation *op, struct guest *guest, int fd, struct error *err)
{
	int r;

	guest->owner = op->uid;
	guest->arriving = true;
	guest->becomes_managed = op->arguments.managed;
	guest->becomes_autostart = op->arguments.autostart;
	guest->state_fd = fd;
	guest->state_name = strdup("the other host");
	guest_add(guest);
	guest->disk_sizes = op->arguments.disk_sizes;
	r = guest->state_name ? life_start(guest, op->arguments.paused, err) : error_nomem(err);
	guest->disk_sizes = NULL;
	if (r) {
		store_delete(op->daemon->store, guest->config.uuid, NULL);
		guest_nvram_forget(guest);
		guest_free(guest);
	}
	return r;
}

static void receive(struct operation *op)
{
	struct guest *guest = NULL;
	struct error err = {0};
	int ends[2] = {-1, -1}, r = make(op, &guest, &err);

	if (!r && (r = migration_open_line(ends, &err)))
		guest_free(guest);
	if (!r)
		r = begin(op, guest, ends[1], &err);
	if (r) {
		if (ends[0] >= 0)
			close(ends[0]);
		op_refuse_error(op, r, &err);
		return;
	}
	log_add(&op->daemon->log, GUEST_LABEL " (%u): comes from another host, for user %u",
		guest->config.name, guest->domid, op->uid);
	events_tell(&op->daemon->events, "created", guest, NULL);
	op->fd = ends[0];
	op_finish_fd(op);
}

const struct operation_kind operation_receive = {"guest_receive", NULL,
	.arguments = receive_arguments, .run = receive};

/* Whether it is here: life.c asks at the right moments */

int migration_note(const struct guest *guest, struct error *err)
{
	return note_write(guest, NOTE_ARRIVING,
		json_pack("{s:b, s:b, s:O*}", "managed", guest->becomes_managed, "autostart",
			guest->becomes_autostart, "made", guest->brought),
		err);
}

int migration_begin(struct guest *guest, struct error *err)
{
	int r = guest->arriving ? migration_note(guest, err) : 0;

	return r || !guest->arriving ? r : migration_make_disks(guest, err);
}

void migration_not_begun(struct guest *guest)
{
	json_t *says = note_read(guest, NOTE_ARRIVING);

	migration_remove_disks(guest,
		guest->brought ? guest->brought : json_object_get(says, "made"));
	json_decref(says);
}

bool migration_awaits(const struct guest *guest)
{
	return note_is_there(guest, NOTE_ARRIVING);
}

static void stay(struct guest *guest, const json_t *says)
{
	guest->managed = json_get_true(says, "managed");
	guest->autostart = json_get_true(says, "autostart");
	guest->arriving = false;
	json_decref(guest->brought);
	guest->brought = NULL;
}

void migration_settle(struct guest *guest)
{
	json_t *says = note_read(guest, NOTE_ARRIVING);
	struct error err = {0};

	/* It has come, whether its note can be read now or not. */
	if (!says && guest->arriving)
		says = json_pack("{s:b, s:b}", "managed", guest->becomes_managed, "autostart",
			guest->becomes_autostart);
	/* What a daemon before this one had begun has ended with it. */
	if (!guest->paused)
		migration_forget(guest);
	if (!says)
		return;
	stay(guest, says);
	if (guest_save(guest, &err)) {
		/* The next daemon tries again. What came with it is the guest's from now on, whatever becomes of it. */
		guest_log(guest, "has come, which cannot be noted", err.text);
		json_object_del(says, "made");
		if (note_write(guest, NOTE_ARRIVING, says, NULL))
			note_forget(guest, NOTE_ARRIVING);
		return;
	}
	json_decref(says);
	note_forget(guest, NOTE_ARRIVING);
	migrate_peer_is_here(guest);
	guest_log(guest, "has come from another host", "");
}

void migration_forget(const struct guest *guest)
{
	note_forget(guest, NOTE_DEPARTING);
	migrate_peer_is_here(guest);
}

/*
 * Nobody can say how far it was if its monitor was killed; and one that stood may have left, whatever its monitor says of its
 * end.
 */
static void may_be_elsewhere(struct guest *guest)
{
	const bool told = guest->reason == END_MIGRATED || guest->reason == END_KILLED;

	if (told || (guest->reason != END_CRASH && !guest->paused) ||
		!note_is_there(guest, NOTE_DEPARTING))
		return;
	guest->reason = END_KILLED;
	snprintf(guest->text, sizeof guest->text,
		"its monitor ended while it was being migrated: it may run on the other host, so look there before it is started here");
}

/*
 * Its monitor says that it never started it, or has been killed by others while this daemon, which it tells before it starts, has
 * not heard of it. Whatever else it says, or if this daemon was not there to hear it, the guest may have run here.
 */
static bool never_ran(const struct guest *guest, const struct end_report *said)
{
	if (said && said->reason == END_ERROR)
		return said->status == END_STATUS_SETUP;
	return guest->begun && (!said || said->reason == END_KILLED);
}

void migration_ended(struct guest *guest, const struct end_report *said)
{
	json_t *says;

	may_be_elsewhere(guest);
	/* It has come: migration_settle(). */
	if (guest->up || !(says = note_read(guest, NOTE_ARRIVING)))
		return;
	if (never_ran(guest, said)) {
		migration_remove_disks(guest, json_object_get(says, "made"));
	} else {
		guest_log(guest, "may have run here", "what came with it stays");
		stay(guest, says);
	}
	/* As one that did not start: nothing follows it. */
	guest->reason = END_ERROR;
	json_decref(says);
}
