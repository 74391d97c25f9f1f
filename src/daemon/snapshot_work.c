/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest is on its way to: a revert, by this daemon or one after it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/life.h"
#include "daemon/saved.h"
#include "daemon/snapshot.h"

/* What the snapshot's memory is becomes what the guest is suspended to: the same file by another name. */
static int take_memory(struct guest *guest, struct error *err)
{
	const struct guest_snapshot *snapshot = snapshot_find(guest, guest->snapshots.target);
	char from[PATH_MAX], to[PATH_MAX], temp[PATH_MAX + 8];
	int r;

	if (!snapshot || !snapshot->memory) {
		saved_forget_suspended(guest);
		return 0;
	}
	r = snapshot_memory_path(guest, snapshot->name, from, err);
	if (!r)
		r = saved_suspend_path(guest, to, err);
	if (r)
		return r;
	snprintf(temp, sizeof temp, "%s.new", to);
	unlink(temp);
	if (link(from, temp) || rename(temp, to))
		r = error_set(err, errno, "%s: %s", to, strerror(errno));
	/* It stays where both were one file already. */
	unlink(temp);
	if (r)
		return r;
	guest->suspended = true;
	return 0;
}

static int save_both(struct guest *guest, struct error *err)
{
	struct store *store = guest->daemon->store;
	int r = store_begin(store, err);

	if (r)
		return r;
	r = guest_save(guest, err);
	if (!r)
		r = snapshots_save(guest, err);
	if (!r)
		return store_commit(store, err);
	store_rollback(store);
	return r;
}

int snapshot_apply(struct guest *guest, struct error *err)
{
	struct snapshots *snapshots = &guest->snapshots;
	char current[SNAPSHOT_NAME_MAX + 1];
	struct domain_config was;
	int r;

	if (snapshots->work != SNAPSHOT_REVERT)
		return 0;
	r = take_memory(guest, err);
	if (r)
		return r;
	was = guest->config;
	guest->config = snapshots->next;
	snapshots->next = was;
	memcpy(current, snapshots->current, sizeof current);
	memcpy(snapshots->current, snapshots->target, sizeof current);
	snapshots->work = snapshots->starts ? SNAPSHOT_START : SNAPSHOT_NO_WORK;
	r = save_both(guest, err);
	if (r) {
		snapshots->next = guest->config;
		guest->config = was;
		memcpy(snapshots->current, current, sizeof current);
		snapshots->work = SNAPSHOT_REVERT;
		return r;
	}
	domain_config_free(&snapshots->next);
	guest_log(guest, "is what it was in a snapshot", snapshots->target);
	snapshot_sweep(guest);
	return 0;
}

/* Nothing is to be done any more; if that cannot be noted, the next daemon sees that it runs. */
static void over(struct guest *guest)
{
	struct error err = {0};

	guest->snapshots.work = SNAPSHOT_NO_WORK;
	guest->snapshots.tried = false;
	if (snapshots_save(guest, &err))
		guest_log(guest, "its revert is over, which cannot be noted", err.text);
}

/*
 * Once: one that does not come up is left as it is to be, and its memory is what it is suspended to. 1: it is on its
 * way, and snapshot_settle() comes when it is up.
 */
static int start(struct guest *guest, struct error *err)
{
	struct snapshots *snapshots = &guest->snapshots;
	int r = take_memory(guest, err); /* a life that has ended meanwhile has dropped it */

	if (!r && !snapshots->tried) {
		snapshots->tried = true;
		guest->renews = true;
		r = life_start(guest, snapshots->paused, err);
		if (!r)
			return 1;
	}
	over(guest);
	return r;
}

void snapshot_carry_on(struct guest *guest)
{
	struct snapshots *snapshots = &guest->snapshots;
	const bool reverts = snapshots->work == SNAPSHOT_REVERT;
	struct error err = {0};
	int r = snapshot_apply(guest, &err);

	if (!r && snapshots->work == SNAPSHOT_START) {
		r = start(guest, &err);
		if (r > 0)
			return;
	}
	if (r)
		guest_log(guest, "is not what it was in a snapshot", err.text);
	if (r || reverts)
		guest_tell(guest, false, r, err.text);
	else if (!snapshots->busy)
		snapshot_sweep(guest);
}

void snapshot_settle(struct guest *guest)
{
	switch (guest->snapshots.work) {
	case SNAPSHOT_REVERT:
		/* A daemon before this one has begun it. */
		life_destroy(guest);
		return;
	case SNAPSHOT_START:
		over(guest);
		break;
	case SNAPSHOT_NO_WORK:
		break;
	}
	if (guest->snapshots.busy)
		return;
	snapshot_sweep(guest);
	/* What was deleted while it was off, or what a daemon has left that was killed while it made one. */
	snapshot_merge(guest, NULL, NULL);
}
