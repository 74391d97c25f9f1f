/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/after.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cores.h"
#include "daemon/container.h"
#include "daemon/container_files.h"
#include "daemon/daemon.h"
#include "daemon/launch.h"
#include "daemon/layer.h"
#include "daemon/life.h"
#include "daemon/monitor.h"
#include "daemon/nvram.h"
#include "daemon/quota.h"
#include "daemon/saved.h"

/* Lives of fewer seconds are short: of a guest that has crashed, which may have had to boot, and any. */
#define SHORT_CRASHED 30
#define SHORT 2
#define SHORT_MAX 5   /* after so many of them in a row it is not started again */
#define RENAMED_MAX 8 /* ended lives of one guest that rename-restart keeps */

static bool has_crashed(const struct guest *guest)
{
	return guest->reason == END_CRASH || guest->reason == END_ERROR ||
		guest->reason == END_WATCHDOG;
}

static unsigned short_life(const struct guest *guest)
{
	return has_crashed(guest) ? SHORT_CRASHED : SHORT;
}

unsigned after_pause(const struct guest *guest)
{
	return has_crashed(guest) && guest->brief > 1 ? 1u << (guest->brief - 2) : 0;
}

static bool starts_again(enum domain_action action)
{
	return action == DOMAIN_RESTART || action == DOMAIN_COREDUMP_RESTART ||
		action == DOMAIN_RENAME_RESTART;
}

/*
 * A guest that ends soon after each start is not started for ever: *action becomes its end, and the
 * reason stands where that of its last end does.
 */
static void bound_restarts(struct guest *guest, enum domain_action *action)
{
	char said[GUEST_TEXT_MAX];

	if (!starts_again(*action))
		return;
	guest->brief = guest->ended - guest->started < short_life(guest) ? guest->brief + 1 : 0;
	if (guest->brief < SHORT_MAX)
		return;
	*action = DOMAIN_DESTROY;
	memcpy(said, guest->text, sizeof said);
	snprintf(guest->text, sizeof guest->text,
		"%.400s%snot started again: it ended within %u seconds of its start %u times in a row",
		said, *said ? "; " : "", short_life(guest), SHORT_MAX);
}

static enum domain_action action_for(const struct guest *guest)
{
	/* One that was never up would not be up the next time either. */
	if (guest->destroying || (guest->reason == END_ERROR && !guest->up))
		return DOMAIN_DESTROY;
	return domain_config_after(&guest->config, guest->reason);
}

static void tell_end(struct guest *guest, enum domain_action action)
{
	char what[64];

	snprintf(what, sizeof what, "ended (%s), then %s", end_word(guest->reason),
		domain_action_name(action));
	guest_log(guest, what, guest->text);
	events_tell(&guest->daemon->events, "ended", guest,
		json_pack("{s:s, s:s, s:s}", "reason", end_word(guest->reason), "text", guest->text,
			"action", domain_action_name(action)));
}

int after_remove(struct guest *guest, struct error *err)
{
	int r;

	/* Of one that is on another host now the disks are there, too. */
	if (guest->reason != END_MIGRATED)
		layer_remove_own(guest);
	r = store_delete(guest->daemon->store, guest->config.uuid, err);

	if (r)
		return r;
	launch_remove(guest);
	if (guest_is_container(guest))
		container_files_sweep(guest->daemon, guest);
	guest_nvram_forget(guest);
	saved_forget_suspended(guest);
	events_tell(&guest->daemon->events, "removed", guest, NULL);
	guest_free(guest);
	return 0;
}

static void switch_off(struct guest *guest)
{
	struct error err = {0};

	guest->state = RECORD_OFF;
	guest->domid = 0;
	guest->pid = 0;
	guest->destroying = false;
	guest_sort(guest);
	if (guest_save(guest, &err))
		guest_log(guest, "is off, which cannot be noted", err.text);
	else
		launch_remove(guest);
	snapshot_carry_on(guest);
}

static void put_away(struct guest *guest)
{
	struct error err = {0};
	char text[GUEST_TEXT_MAX];
	int failed = 0;

	/* A monitor that says why it does not begin was asked for what cannot be. Who ended by itself at once had begun. */
	if (!guest->up && guest->reason != END_POWEROFF && guest->reason != END_REBOOT)
		failed = guest->reason == END_ERROR && *guest->text ? -EINVAL : -EIO;
	memcpy(text, guest->text, sizeof text);
	if (guest->destroying)
		failed = -ECANCELED;
	guest_tell(guest, false, failed, *text ? text : "the guest ended before it was up");
	guest_tell(guest, true, 0, "");
	if (guest->managed && guest->reason != END_MIGRATED) {
		switch_off(guest);
		return;
	}
	if (after_remove(guest, &err)) {
		/* It stays in the list as what it is; a later attempt may have more room. */
		guest_log(guest, "has ended, which cannot be noted", err.text);
		guest->state = RECORD_SHUTDOWN;
	}
}

static void preserve(struct guest *guest)
{
	struct error err = {0};

	guest->state = RECORD_SHUTDOWN;
	if (guest_save(guest, &err))
		guest_log(guest, "is preserved, which cannot be noted", err.text);
	else if (!guest->monitor)
		launch_remove(guest);
	guest_tell(guest, false, 0, "");
	guest_tell(guest, true, 0, "");
}

void after_failed_start(struct guest *guest, const char *text)
{
	guest->reason = END_ERROR;
	snprintf(guest->text, sizeof guest->text, "%s", text);
	put_away(guest);
}

/* NAME-1 to NAME-8; -EDQUOT if all are there. */
static int unused_name(const struct guest *guest, char *to, size_t size, struct error *err)
{
	for (unsigned n = 1; n <= RENAMED_MAX; n++) {
		snprintf(to, size, "%.100s-%u", guest->config.name, n);
		if (!guest_by_name(guest->daemon, guest->owner, to))
			return 0;
	}
	return error_set(err, EDQUOT, "%u of its ended lives are kept already", RENAMED_MAX);
}

static enum after restart(struct guest *guest)
{
	guest_tell(guest, true, 0, "");
	return after_pause(guest) ? AFTER_LATER : AFTER_AGAIN;
}

/* The ended one under a name and UUID of its own, and the store knows both or neither. */
static struct guest *split(struct guest *guest, struct error *err)
{
	struct store *store = guest->daemon->store;
	struct domain_config config = {0};
	struct guest *old = NULL;
	char name[DOMAIN_NAME_MAX + 1];
	unsigned domid = guest->domid;
	int r = domain_config_copy(&guest->config, &config, err);

	if (!r)
		r = unused_name(guest, name, sizeof name, err);
	if (!r)
		r = quota_check_owner(guest, &config, err);
	if (!r) {
		free(config.name);
		config.name = strdup(name);
		config.uuid[0] = 0;
		r = config.name ? domain_config_complete(&config, err) : -ENOMEM;
	}
	if (!r)
		old = guest_new(guest->daemon, &config);
	domain_config_free(&config);
	if (!old)
		return NULL;
	old->owner = guest->owner;
	old->state = RECORD_SHUTDOWN;
	old->domid = domid;
	old->started = guest->started;
	old->ended = guest->ended;
	memcpy(old->boot, guest->boot, sizeof old->boot);
	old->reason = guest->reason;
	memcpy(old->text, guest->text, sizeof old->text);
	guest->state = RECORD_OFF;
	guest->domid = 0;
	r = store_begin(store, err);
	if (!r)
		r = guest_save(guest, err);
	if (!r)
		r = guest_save(old, err);
	if (!r)
		r = store_commit(store, err);
	if (!r) {
		guest_sort(guest);
		guest_add(old);
		return old;
	}
	store_rollback(store);
	guest->domid = domid;
	guest_free(old);
	return NULL;
}

static enum after rename_restart(struct guest *guest)
{
	struct error err = {0};
	struct guest *old = split(guest, &err);

	if (old)
		events_tell(&guest->daemon->events, "renamed", old, NULL);
	else
		guest_log(guest, "cannot be kept under another name", err.text);
	return restart(guest);
}

enum after after_end(struct guest *guest, bool told)
{
	enum domain_action action = action_for(guest);

	if (guest->destroying)
		action = DOMAIN_DESTROY;
	bound_restarts(guest, &action);
	/* Removed by hand after it was preserved, or its core is written. */
	if (!told)
		tell_end(guest, action);
	else if (guest->brief >= SHORT_MAX && action == DOMAIN_DESTROY)
		guest_log(guest, guest->text, "");
	switch (action) {
	case DOMAIN_RESTART:
	case DOMAIN_COREDUMP_RESTART:
		return restart(guest);
	case DOMAIN_RENAME_RESTART:
		return rename_restart(guest);
	case DOMAIN_PRESERVE:
		preserve(guest);
		return AFTER_NOTHING;
	case DOMAIN_DESTROY:
	case DOMAIN_COREDUMP_DESTROY:
	case DOMAIN_SOFT_RESET:
		break;
	}
	put_away(guest);
	return AFTER_NOTHING;
}

/* The core is written, or could not be: the monitor may go, and gone() does what follows. */
static void let_go(struct guest *guest)
{
	guest->dumping = false;
	life_end_monitor(guest);
}

static void dumped(void *ctx, int r, json_t *answer, const char *text)
{
	struct guest *guest = ctx;

	if (r == -ECANCELED)
		return; /* the connection is being closed */
	guest_log(guest, r ? "no core file" : "core file written", r ? text : "");
	let_go(guest);
}

static void dump(struct guest *guest)
{
	char path[CORES_PATH_MAX];
	struct error err = {0};
	int fd;

	if (cores_open(guest, path, &fd, &err)) {
		guest_log(guest, "no core file", err.text);
		let_go(guest);
		return;
	}
	guest_log(guest, "core file", path);
	guest->dumping = true;
	monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_DUMP_CORE}, fd, 0,
		dumped, guest);
	close(fd);
}

void after_held(struct guest *guest, enum end_reason reason)
{
	enum domain_action action;

	guest->reason = reason;
	guest->text[0] = 0;
	guest->ended = time(NULL);
	guest->held = true;
	action = action_for(guest);
	tell_end(guest, action);
	if (action == DOMAIN_PRESERVE)
		preserve(guest);
	else if (action == DOMAIN_COREDUMP_DESTROY || action == DOMAIN_COREDUMP_RESTART)
		dump(guest);
	else
		let_go(guest);
}

void after_host_boot(struct guest *guest)
{
	guest->reason = END_ERROR;
	snprintf(guest->text, sizeof guest->text, "the host was started again");
	guest->ended = time(NULL);
	guest->up = true;
	guest_log(guest, guest->text, "");
	put_away(guest);
}
