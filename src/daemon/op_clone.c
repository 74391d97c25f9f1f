/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of a running guest. They are in the list, and so in the owner's quota, before it is frozen; its monitor
 * then hands over what they go on from (protocol/request.h), and they are started some at a time: the first is
 * not to wait for the last. One that fails leaves those that run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/daemon.h"
#include "daemon/describe.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/layer.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/nvram.h"
#include "daemon/op.h"
#include "daemon/resources.h"
#include "daemon/saved.h"
#include "daemon/snapshot.h"

#define CLONES_MAX 1000 /* at once */
#define AT_ONCE 3       /* of them on their way */
#define FDS (1 + LIMIT_LAYERS)

struct cloning {
	struct operation *op;
	struct layer_set set; /* the guest's disks get new images in the same moment */
	unsigned sent;
	int socket[2]; /* ours, and its */
	int fd[FDS];   /* a state, and the memory that it stands on */
	unsigned fds;
	json_int_t pause;
	unsigned count, begun, pending, up;
	bool busy;
	bool saved; /* they go on from a snapshot, and memory comes from its file */
	int r;      /* of the first that failed */
	char text[GUEST_TEXT_MAX];
	char uuid[][DOMAIN_UUID_LEN + 1];
};

static void cloning_free(struct cloning *cloning)
{
	layer_free(&cloning->set);
	for (unsigned i = 0; i < cloning->fds; i++)
		close(cloning->fd[i]);
	for (unsigned i = 0; i < 2; i++)
		if (cloning->socket[i] >= 0)
			close(cloning->socket[i]);
	free(cloning);
}

/* A clone that has not been started: nobody else has made anything of it meanwhile. NULL: somebody has. */
static struct guest *unborn(const struct cloning *cloning, unsigned i)
{
	struct guest *guest = guest_by_uuid(cloning->op->daemon, cloning->uuid[i]);

	return guest && guest->created && guest_is_off(guest) ? guest : NULL;
}

static void drop_unborn(const struct cloning *cloning)
{
	for (unsigned i = cloning->begun; i < cloning->count; i++) {
		struct guest *guest = unborn(cloning, i);

		if (guest)
			guest_free(guest);
	}
}

/* Starting them */

static void started(void *ctx, int r, const char *text);

static void fail(struct cloning *cloning, const char *name, int r, const char *text)
{
	if (!cloning->r)
		snprintf(cloning->text, sizeof cloning->text, GUEST_LABEL ": %.300s", name, text);
	cloning->r = cloning->r ? cloning->r : r;
}

static int give_state(struct cloning *cloning, struct guest *guest)
{
	if (guest_is_container(guest))
		return 0; /* it has no memory, and what it stands on its configuration names */
	guest->state_name = strdup(cloning->saved ? "the snapshot that it is a clone of"
						  : "the guest that it is a clone of");
	guest->lazy = guest->renews = cloning->saved;
	guest->state_fd = fcntl(cloning->fd[0], F_DUPFD_CLOEXEC, 0);
	for (unsigned i = 1; i < cloning->fds; i++)
		guest->layer[guest->layers++] = fcntl(cloning->fd[i], F_DUPFD_CLOEXEC, 0);
	for (unsigned i = 0; i < guest->layers; i++)
		if (guest->layer[i] < 0)
			return -EMFILE;
	return guest->state_name && guest->state_fd >= 0 ? 0 : -EMFILE;
}

/* Its disks are in the store before they are made: a daemon that comes after this one takes them away again. */
static int begin_life(struct operation *op, struct guest *guest, struct error *err)
{
	struct layer_set own;
	int r = layer_name_own(guest, op->arguments.folder, &own, err);

	if (!r && own.count) {
		r = launch_mark_state(guest, err);
		if (!r)
			r = guest_note(guest, err);
		if (!r)
			r = layer_make_own(guest, &own, err);
	}
	layer_free(&own);
	return r ? r : life_start(guest, op->arguments.paused, err);
}

static void begin_one(struct cloning *cloning)
{
	struct operation *op = cloning->op;
	struct guest *guest = unborn(cloning, cloning->begun++);
	struct error err = {0};
	int r;

	if (!guest) {
		fail(cloning, "clone", -ESRCH, "one of them was deleted meanwhile");
		return;
	}
	r = give_state(cloning, guest);
	if (r)
		error_set(&err, -r, "%s", strerror(-r));
	else
		r = begin_life(op, guest, &err);
	if (r) {
		fail(cloning, guest->config.name, r, err.text);
		layer_remove_own(guest);
		guest_nvram_forget(guest);
		if (guest_is_container(guest))
			container_files_sweep(op->daemon, guest);
		launch_unmark_state(guest);
		store_delete(op->daemon->store, guest->config.uuid, NULL);
		guest_free(guest);
		return;
	}
	cloning->pending++;
	log_add(&op->daemon->log, GUEST_LABEL " (%u): cloned by user %u", guest->config.name,
		guest->domid, op->uid);
	events_tell(&op->daemon->events, "created", guest, NULL);
	guest_wait(guest, false, started, cloning);
}

static void finish(struct cloning *cloning)
{
	struct operation *op = cloning->op;
	json_t *list = json_array();
	char text[GUEST_TEXT_MAX + 64];

	drop_unborn(cloning);
	for (unsigned i = 0; i < cloning->count; i++) {
		struct guest *guest = guest_by_uuid(op->daemon, cloning->uuid[i]);

		if (guest)
			json_array_append_new(list, guest_describe(guest, op->manager, op->uid));
	}
	if (cloning->r) {
		snprintf(text, sizeof text, "%s (%u of %u clones run)", cloning->text, cloning->up,
			cloning->count);
		json_decref(list);
		op_refuse(op, cloning->r, text);
	} else {
		op_finish(op, json_pack("{s:o, s:I}", "clones", list, "pause", cloning->pause));
	}
	cloning_free(cloning);
}

static void step(struct cloning *cloning)
{
	if (cloning->busy)
		return;
	cloning->busy = true;
	while (!cloning->r && cloning->begun < cloning->count && cloning->pending < AT_ONCE)
		begin_one(cloning);
	cloning->busy = false;
	if (!cloning->pending && (cloning->r || cloning->begun == cloning->count))
		finish(cloning);
}

static void started(void *ctx, int r, const char *text)
{
	struct cloning *cloning = ctx;

	cloning->pending--;
	if (r)
		fail(cloning, "clone", r, text);
	else
		cloning->up++;
	step(cloning);
}

/* What the monitor hands over */

/* Files alone: nothing else that a monitor might send is to reach another. */
static int receive(struct cloning *cloning, struct error *err)
{
	int count = descriptors_receive(cloning->socket[0], cloning->fd, FDS);
	bool sound = count > 1;

	cloning->fds = count > 0 ? (unsigned)count : 0;
	for (unsigned i = 0; i < cloning->fds; i++) {
		struct stat st;

		sound &= !fstat(cloning->fd[i], &st) && S_ISREG(st.st_mode);
	}
	return sound ? 0
		     : error_set(err, EPROTO,
			       "the guest's monitor has not handed over what a clone needs");
}

/*
 * -ECANCELED: this daemon ends, or the guest is forgotten; -EPIPE: its monitor has gone. Then its disks are settled with its
 * life, or by the next daemon.
 */
static void refuse(struct cloning *cloning, int r, const char *text)
{
	struct operation *op = cloning->op;
	struct guest *guest = guest_by_uuid(op->daemon, op->uuid);

	drop_unborn(cloning);
	if (guest && cloning->set.count && r != -ECANCELED && r != -EPIPE)
		layer_withdraw(guest, &cloning->set);
	op_refuse(op, r, text);
	cloning_free(cloning);
}

static void frozen(void *ctx, int r, json_t *answer, const char *text)
{
	struct cloning *cloning = ctx;
	struct operation *op = cloning->op;
	struct guest *guest = guest_by_uuid(op->daemon, op->uuid);
	struct error err = {0};
	char said[64];

	if (r || !guest) {
		refuse(cloning, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
		return;
	}
	/* Its disks are the new ones from here on. */
	if (cloning->set.count)
		layer_done(guest, &cloning->set);
	layer_free(&cloning->set);
	r = receive(cloning, &err);
	if (r) {
		refuse(cloning, r, err.text);
		return;
	}
	cloning->pause = json_integer_value(json_object_get(answer, "pause"));
	snprintf(said, sizeof said, "%u times; it stood still for %lld us", cloning->count,
		(long long)cloning->pause / 1000);
	guest_log(guest, "is cloned", said);
	step(cloning);
}

/* The files, one by one, and then the word. */
static void send_next(struct cloning *cloning, struct guest *guest);

static void sent(void *ctx, int r, json_t *answer, const char *text)
{
	struct cloning *cloning = ctx;
	struct guest *guest = guest_by_uuid(cloning->op->daemon, cloning->op->uuid);

	if (r || !guest || !guest->monitor)
		refuse(cloning, r ? r : -EPIPE, r ? text : "the guest has ended meanwhile");
	else
		send_next(cloning, guest);
}

static void send_next(struct cloning *cloning, struct guest *guest)
{
	const struct monitor_request request = {.verb = REQUEST_CLONE, .disks = cloning->set.count};
	struct error err = {0};

	if (cloning->sent < cloning->set.count) {
		layer_send(guest, &cloning->set, cloning->sent++, sent, cloning);
		return;
	}
	/* What it changes from then on is there beside what is frozen, as long as it runs. */
	guest->frozen = guest->frozen < LIMIT_LAYERS ? guest->frozen + 1 : LIMIT_LAYERS;
	if (resources_change(guest, &err))
		guest_log(guest, "keeps the limits of one that is not cloned", err.text);
	monitor_call(guest->monitor, &request, cloning->socket[1], 0, frozen, cloning);
}

/* What is asked for */

static const struct field arguments[] = {
	{.key = "count",
		.kind = FIELD_COUNT,
		FIELD_AT(operation_arguments, count),
		.min = 1,
		.max = CLONES_MAX,
		.number = 1},
	{.key = "name",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, name),
		.max = DOMAIN_STRING_MAX},
	{.key = "folder",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, folder),
		.max = DOMAIN_STRING_MAX},
	{.key = "paused", .kind = FIELD_BOOL, FIELD_AT(operation_arguments, paused), .max = 1},
	{.key = "from",
		.kind = FIELD_STRING,
		FIELD_AT(operation_arguments, snapshot),
		.max = SNAPSHOT_NAME_MAX},
	{.key = NULL},
};

/* The next name that nobody has: the pattern with the next number for its '%'. */
static int next_name(const struct operation *op, const struct guest *parent, unsigned *number,
	char name[DOMAIN_NAME_MAX + 1], struct error *err)
{
	const char *pattern = op->arguments.name, *at;
	char whole[DOMAIN_NAME_MAX + 3];

	if (!pattern) {
		snprintf(whole, sizeof whole, "%s-%%", parent->config.name);
		pattern = whole;
	}
	at = strchr(pattern, '%');
	if (!at && op->arguments.count > 1)
		return error_set(err, EINVAL,
			"name: several clones need a '%%', which becomes each one's number");
	do {
		int len = at ? snprintf(name, DOMAIN_NAME_MAX + 1, "%.*s%u%s", (int)(at - pattern),
				       pattern, ++*number, at + 1)
			     : snprintf(name, DOMAIN_NAME_MAX + 1, "%s", pattern);

		if (len > DOMAIN_NAME_MAX)
			return error_set(err, ENAMETOOLONG, "name: longer than %d bytes",
				DOMAIN_NAME_MAX);
	} while (at && guest_by_name(op->daemon, op->uid, name));
	return 0;
}

/* What is the guest's alone is not the clone's: identity, addresses, ports of the host. */
static int make_config(const struct domain_config *of, const char *name,
	struct domain_config *config, struct error *err)
{
	int r = domain_config_copy(of, config, err);

	if (r)
		return r;
	free(config->name);
	config->name = strdup(name);
	config->uuid[0] = config->upper[0] = 0;
	for (unsigned i = 0; i < config->vifs; i++) {
		struct domain_vif *vif = &config->vif[i];

		vif->mac[0] = 0;
		/* Names on this host are one's own. */
		free(vif->vifname);
		vif->vifname = NULL;
		for (unsigned k = 0; k < vif->forwards; k++)
			free(vif->forward[k]);
		vif->forwards = 0;
	}
	return config->name ? domain_config_check(config, err) : error_nomem(err);
}

static int make_one(struct cloning *cloning, const struct guest *parent,
	const struct domain_config *of, unsigned i, unsigned *number, struct error *err)
{
	struct operation *op = cloning->op;
	struct domain_config config = {0};
	char name[DOMAIN_NAME_MAX + 1];
	struct guest *guest = NULL;
	int r = next_name(op, parent, number, name, err);

	if (!r)
		r = make_config(of, name, &config, err);
	if (!r)
		r = op_check_new(op, &config, err);
	if (!r && !(guest = guest_new(op->daemon, &config)))
		r = error_nomem(err);
	if (!r) {
		guest->owner = op->uid;
		guest->created = true;
		guest_add(guest);
		snprintf(cloning->uuid[i], sizeof cloning->uuid[i], "%s", guest->config.uuid);
	}
	domain_config_free(&config);
	return r;
}

/* New images for its own disks, once its clones have the configuration that it had. */
static int make_layers(struct cloning *cloning, struct guest *guest, struct error *err)
{
	bool any = false;
	int r;

	for (unsigned i = 0; i < guest->config.disks; i++)
		any |= guest->config.disk[i].writable &&
			domain_disk_has_medium(&guest->config.disk[i]);
	if (!any)
		return 0;
	r = layer_plan(guest, NULL, 0, cloning->op->arguments.folder, &cloning->set, err);
	/* What has snapshots may go back to one, and nobody needs them then. */
	if (!r && guest->managed)
		r = snapshot_note_images(guest, &cloning->set, err);
	return r ? r : layer_enter(guest, &cloning->set, err);
}

/* From a snapshot: what is frozen is on the disk. */
static int open_snapshot(struct cloning *cloning, const struct guest *guest,
	const struct guest_snapshot **snapshot, struct error *err)
{
	const struct caller daemon = {.manager = true};
	const char *name = cloning->op->arguments.snapshot;
	char path[PATH_MAX];
	int r;

	*snapshot = snapshot_find(guest, name);
	if (!*snapshot)
		return error_set(err, ENOENT, "the guest has no snapshot '%.64s'", name);
	cloning->saved = true;
	if (guest_is_container(guest))
		return container_files_check(guest, &(*snapshot)->config, err);
	if (!(*snapshot)->memory)
		return error_set(err, EINVAL, "the snapshot '%s' has no memory to go on from",
			name);
	r = snapshot_memory_path(guest, name, path, err);
	if (!r)
		r = saved_open(&daemon, path, &cloning->fd[0], NULL, err);
	cloning->fds = !r;
	return r;
}

static int begin_clones(struct cloning *cloning, struct guest *guest, struct error *err)
{
	struct operation *op = cloning->op;
	const struct guest_snapshot *snapshot = NULL;
	unsigned number = 0;
	int r = op->arguments.snapshot ? open_snapshot(cloning, guest, &snapshot, err)
				       : layer_may_begin(guest, err);

	for (; !r && cloning->count < op->arguments.count; cloning->count += !r)
		r = make_one(cloning, guest, snapshot ? &snapshot->config : &guest->config,
			cloning->count, &number, err);
	if (r || snapshot)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, cloning->socket))
		return error_set(err, errno, "clone: %s", strerror(errno));
	return make_layers(cloning, guest, err);
}

static void clone_guest(struct operation *op)
{
	struct guest *guest = op->arguments.snapshot ? op_guest(op) : op_running_guest(op);
	struct cloning *cloning;
	struct error err = {0};
	int r;

	if (!guest)
		return;
	if (guest_is_container(guest) && !op->arguments.snapshot) {
		op_refuse(op, -ENOTSUP,
			"a container is cloned from a snapshot: dach snapshot create, then dach clone --from");
		return;
	}
	cloning = calloc(1, sizeof *cloning + op->arguments.count * sizeof *cloning->uuid);
	if (!cloning) {
		op_refuse(op, -ENOMEM, "out of memory");
		return;
	}
	*cloning = (struct cloning){.op = op, .socket = {-1, -1}};
	r = begin_clones(cloning, guest, &err);
	if (r) {
		drop_unborn(cloning);
		op_refuse_error(op, r, &err);
		cloning_free(cloning);
	} else if (cloning->saved) {
		step(cloning);
	} else {
		send_next(cloning, guest);
	}
}

const struct operation_kind operation_clone = {"guest_clone", "Clones", .guest = true,
	.arguments = arguments, .run = clone_guest};
