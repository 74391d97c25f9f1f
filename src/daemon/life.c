/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "daemon/life.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/affinity.h"
#include "daemon/after.h"
#include "daemon/migration.h"
#include "daemon/commit.h"
#include "daemon/daemon.h"
#include "daemon/launch.h"
#include "daemon/layer.h"
#include "daemon/live_update.h"
#include "daemon/monitor.h"
#include "daemon/move.h"
#include "daemon/plug.h"
#include "daemon/process.h"
#include "daemon/saved.h"
#include "protocol/fields.h"

#define MS 1000000ull
#define RETRY_MS 10000
#define CALL_TIMEOUT_MS 10000
#define START_TIMEOUT_MS 60000
#define END_TIMEOUT_MS 3000
#define LOOKS_BEFORE_KILL 12 /* two seconds: see look_again() */
#define PROCESS_ENDED_MS 50  /* for what it still had to say */
#define KILLED_MS 10
#define UPDATE_MS 20

static void lost(void *ctx, const char *why);
static void restart(struct guest *guest);

static void look_again(void *ctx);

/* The next look, or the next life, in that time. */
static void wake_in(struct guest *guest, uint64_t ns)
{
	if (!guest->timer.loop)
		loop_timer_init(&guest->timer, guest->daemon->loop, look_again, guest);
	loop_timer_arm(&guest->timer, clock_now() + ns);
}

static void let_sleep(struct guest *guest)
{
	if (guest->timer.loop)
		loop_timer_cancel(&guest->timer);
}

/* The end */

static void end(struct guest *guest, bool told)
{
	enum after after = after_end(guest, told);

	if (after == AFTER_AGAIN) {
		restart(guest);
	} else if (after == AFTER_LATER) {
		guest->retrying = true;
		wake_in(guest, after_pause(guest) * 1000 * MS);
	}
}

/* Nothing of that life is left but its last words. */
static void gone(struct guest *guest)
{
	bool was_held = guest->held;
	enum end_reason reason = guest->reason;
	char text[GUEST_TEXT_MAX];

	let_sleep(guest);
	guest->ending = false;
	monitor_close(guest->monitor);
	guest->monitor = NULL;
	json_decref(guest->info);
	guest->info = NULL;
	/* Of one that was kept the end is known: that it has gone now is no news. */
	memcpy(text, guest->text, sizeof text);
	saved_settle(guest);
	layer_settle(guest, NULL);
	commit_settle(guest, NULL);
	move_settle(guest, NULL);
	plug_settle(guest, NULL);
	launch_unmark_state(guest);
	launch_last_words(guest);
	if (guest->saved) {
		guest->reason = END_SAVED;
		guest->text[0] = 0;
	} else if (was_held) {
		guest->reason = reason;
		memcpy(guest->text, text, sizeof text);
	} else if (guest->destroying && guest->reason != END_MIGRATED) {
		guest->reason = END_KILLED;
		guest->text[0] = 0;
	}
	/* Its disks have changed since. */
	if (guest->reason != END_SAVED)
		saved_forget_suspended(guest);
	if (!was_held)
		guest->ended = time(NULL);
	guest->held = guest->dumping = false;
	process_open(guest, 0, 0);
	end(guest, was_held);
}

/* The next look kills what is left. */
static void hurry(struct guest *guest)
{
	guest->tries = LOOKS_BEFORE_KILL;
}

/* The monitor's process is no more. Its socket says so too, unless a child of it has that. */
static void process_ended(void *ctx, short revents)
{
	struct guest *guest = ctx;

	loop_fd_remove(guest->daemon->loop, &guest->process);
	guest->process.ready = NULL;
	wake_in(guest, guest->monitor ? PROCESS_ENDED_MS * MS : 0);
}

void life_watch(struct guest *guest)
{
	if (guest->process.fd < 0 || guest->process.ready)
		return;
	guest->process = (struct loop_fd){.fd = guest->process.fd,
		.events = POLLIN,
		.ready = process_ended,
		.ctx = guest};
	loop_fd_add(guest->daemon->loop, &guest->process);
}

static void not_begun(struct guest *guest);

/* The monitor is about to end: wait until all of it has, and help where it takes too long. */
static void look_again(void *ctx)
{
	struct guest *guest = ctx;
	uint64_t wait = guest->tries < 6 ? 5 * MS << guest->tries : 300 * MS;
	enum launch_life life;
	bool killed = false, runs;

	if (guest->retrying) {
		guest->retrying = false;
		restart(guest);
		return;
	}
	if (live_update_may_come(guest)) {
		wake_in(guest, UPDATE_MS * MS);
		return;
	}
	life = launch_look(guest);
	if (life == LAUNCH_NOT_BEGUN && guest->state == RECORD_STARTING && !guest->begun &&
		!guest->destroying) {
		not_begun(guest); /* a daemon before this one ended between fork and exec */
		return;
	}
	if (life != LAUNCH_ALIVE) {
		gone(guest);
		return;
	}
	/* What a process leaves behind when it ends is nobody's any more. */
	runs = process_runs(guest);
	if (++guest->tries > LOOKS_BEFORE_KILL || !runs)
		killed = process_kill(guest);
	if (killed && !guest->killed)
		guest_log(guest, "killed",
			runs ? "its monitor did not end" : "its monitor left a process");
	guest->killed |= killed;
	wake_in(guest, killed ? KILLED_MS * MS : wait);
}

static void lost(void *ctx, const char *why)
{
	struct guest *guest = ctx;

	monitor_close(guest->monitor);
	guest->monitor = NULL;
	guest->ending = true;
	guest->tries = 0;
	/* One that talks nonsense may be no longer itself. */
	if (strcmp(why, "its monitor has gone")) {
		guest_log(guest, why, "it is ended");
		hurry(guest);
	}
	look_again(guest);
}

/* It may not do as it was told, whatever it answers. */
static void told_to_end(void *ctx, int r, json_t *answer, const char *text)
{
	struct guest *guest = ctx;

	if (r == -ECANCELED || !guest->monitor)
		return; /* it has gone */
	hurry(guest);
	if (r == -ETIMEDOUT)
		look_again(guest);
	else
		wake_in(guest, END_TIMEOUT_MS * MS);
}

void life_end_monitor(struct guest *guest)
{
	if (guest->monitor)
		monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_DESTROY}, -1,
			END_TIMEOUT_MS, told_to_end, guest);
}

void life_destroy(struct guest *guest)
{
	guest->destroying = true;
	if (!guest->monitor && !guest->ending &&
		(guest->state == RECORD_SHUTDOWN || guest->retrying)) {
		/* Preserved, or between two lives: nothing of it runs. */
		guest->retrying = false;
		let_sleep(guest);
		end(guest, true);
	} else {
		life_end_monitor(guest);
	}
}

/* Messages */

/* Negative where it says none that is known. */
static int state_of(const json_t *answer)
{
	return field_find_name(guest_states, json_string_value(json_object_get(answer, "state")));
}

/* As a monitor says it, and no more than there can be. */
static unsigned layers_of(const json_t *answer)
{
	const long long layers = json_get_number(answer, "layers");

	return layers >= 0 && layers <= LIMIT_LAYERS ? (unsigned)layers : 0;
}

void life_keep_info(struct guest *guest, json_t *answer)
{
	json_decref(guest->info);
	guest->info = json_incref(answer);
	guest->frozen = layers_of(answer);
	guest->paused = state_of(answer) == GUEST_PAUSED;
}

static void event(void *ctx, const struct monitor_event *event)
{
	struct guest *guest = ctx;

	switch (event->kind) {
	case EVENT_PAUSED:
	case EVENT_UNPAUSED:
		guest->paused = event->kind == EVENT_PAUSED;
		if (guest->told_paused == guest->paused)
			break;
		guest->told_paused = guest->paused;
		events_tell(&guest->daemon->events, event_words[event->kind], guest, NULL);
		guest_log(guest, event_words[event->kind], "");
		break;
	case EVENT_KEPT:
		if (!guest->held)
			after_held(guest, event->reason);
		break;
	case EVENT_JOB:
		events_tell(&guest->daemon->events, event_words[EVENT_JOB], guest,
			json_pack("{s:o}", "job", fields_write(job_report_fields, &event->job)));
		break;
	case EVENT_ENDED: /* its last words say more */
	case EVENT_MEMORY:
	case EVENT_KINDS:
		break;
	}
}

/* The beginning */

/*
 * A daemon before this one may have been saving it: the state has its file, and the guest waits to end, or
 * else it is to go on. One that runs is not what was saved of it.
 */
static void settle(struct guest *guest, int state)
{
	bool decided = saved_settle(guest);

	if (state != GUEST_SAVED) {
		saved_forget_suspended(guest);
		return;
	}
	guest->saved = decided;
	guest_log(guest, decided ? "was saved, and ends" : "was not saved, and goes on", "");
	monitor_call(guest->monitor,
		&(struct monitor_request){.verb = REQUEST_RELEASE, .end = decided}, -1, 0, NULL,
		NULL);
}

static void answered(void *ctx, int r, json_t *answer, const char *text)
{
	struct guest *guest = ctx;
	enum end_reason reason;
	struct error err = {0};

	if (r == -ETIMEDOUT) {
		guest_log(guest, "its monitor does not answer", "");
		life_destroy(guest);
	}
	if (r)
		return; /* what becomes of it is told by lost() */
	life_keep_info(guest, answer);
	guest->told_paused = guest->paused;
	guest->up = true;
	launch_unmark_state(guest);
	migration_settle(guest);
	settle(guest, state_of(answer));
	layer_settle(guest, answer);
	commit_settle(guest, answer);
	move_settle(guest, answer);
	plug_settle(guest, answer);
	live_update_settle(guest);
	snapshot_settle(guest);
	affinity_apply(guest);
	if (guest->state == RECORD_STARTING) {
		guest->state = RECORD_RUNNING;
		if (guest_note(guest, &err))
			guest_log(guest, "runs, but cannot be noted", err.text);
		guest_log(guest, "started", "");
		events_tell(&guest->daemon->events, "started", guest, NULL);
	}
	guest->created = false;
	if (state_of(answer) == GUEST_ENDED && guest->state == RECORD_RUNNING) {
		reason = end_find(json_string_value(json_object_get(answer, "reason")));
		after_held(guest, reason == END_NONE ? END_CRASH : reason);
	}
	guest_tell(guest, false, 0, "");
	if (guest->destroying)
		life_destroy(guest);
}

void life_adopt(struct guest *guest, struct monitor *monitor, json_t *info)
{
	const struct monitor_client client = {guest, event, lost};

	let_sleep(guest);
	guest->ending = false;
	guest->tries = 0;
	guest->up = true;
	monitor_set_client(monitor, &client);
	guest->monitor = monitor;
	life_watch(guest);
	life_keep_info(guest, info);
	affinity_apply(guest);
	if (guest->destroying)
		life_destroy(guest);
}

static int connect_monitor(struct guest *guest, struct error *err)
{
	const struct monitor_client client = {guest, event, lost};
	int fd, r = launch_connect(guest, "control", &fd, err);

	if (!r)
		r = monitor_create(guest->daemon->loop, fd, &client, &guest->monitor, err);
	if (!r)
		monitor_call(guest->monitor, &(struct monitor_request){.verb = REQUEST_INFO}, -1,
			migration_awaits(guest) ? 0 : START_TIMEOUT_MS, answered, guest);
	return r;
}

/* The store has the new life; its monitor is next. */
static int begin(struct guest *guest, struct error *err)
{
	int r;

	guest->up = guest->destroying = guest->held = guest->killed = guest->saved = false;
	guest->ending = false;
	guest->tries = 0;
	guest->begun = true;
	guest->deaf = false;
	guest->frozen = 0;
	guest->writes = false;
	json_decref(guest->info);
	guest->info = NULL;
	r = launch_start(guest, err);
	if (r)
		return r;
	life_watch(guest);
	if (connect_monitor(guest, NULL)) {
		/*
		 * It was started and its socket is gone: most likely it has already ended, and said why in
		 * its last words. look_again() reads them, and ends it if it is still there.
		 */
		guest->ending = true;
		/* One that comes from another host would run by itself, and nobody here would know. */
		if (guest->arriving)
			hurry(guest);
		wake_in(guest, 0);
	}
	return 0;
}

/* What a start changes, to be put back where it fails. */
struct former_life {
	enum record_state state;
	int64_t started;
	bool paused;
	unsigned domid;
	char boot[STORE_BOOT_LEN + 1];
};

static void put_back(struct guest *guest, const struct former_life *former)
{
	struct error err = {0};

	guest->state = former->state;
	guest->started = former->started;
	guest->paused = former->paused;
	memcpy(guest->boot, former->boot, sizeof guest->boot);
	if (guest->domid == former->domid)
		return;
	guest->domid = former->domid;
	guest_sort(guest);
	if (!guest->created && guest_save(guest, &err))
		guest_log(guest, "did not start, which cannot be noted", err.text);
}

/* What it is suspended to, unless it goes on from something else. */
static int open_state(struct guest *guest, struct error *err)
{
	struct caller daemon = {.manager = true};
	char path[PATH_MAX];
	int r = snapshot_apply(guest, err);

	if (r)
		return r;
	if (guest->suspended && guest->state_fd < 0) {
		r = saved_suspend_path(guest, path, err);
		if (!r)
			r = saved_open(&daemon, path, &guest->state_fd, NULL, err);
		if (!r && !(guest->state_name = strdup("its saved state")))
			r = error_nomem(err);
	}
	return r || guest->state_fd < 0 ? r : launch_mark_state(guest, err);
}

static int start(struct guest *guest, bool paused, struct error *err)
{
	struct former_life former = {.state = guest->state,
		.started = guest->started,
		.paused = guest->paused,
		.domid = guest->domid};
	int r;

	memcpy(former.boot, guest->boot, sizeof former.boot);
	guest->state = RECORD_STARTING;
	guest->started = time(NULL);
	guest->paused = paused;
	memcpy(guest->boot, guest->daemon->boot, sizeof guest->boot);
	r = guest_save_new_life(guest, err);
	if (!r) {
		guest_sort(guest);
		r = begin(guest, err);
	}
	if (r)
		put_back(guest, &former);
	return r;
}

int life_start(struct guest *guest, bool paused, struct error *err)
{
	int r = open_state(guest, err);

	guest->late = false;
	if (!r)
		r = start(guest, paused, err);
	if (guest->state_fd >= 0)
		launch_unmark_state(guest);
	guest_drop_state(guest);
	return r;
}

/* Later if the host has no room, not at all for other reasons. The guest may be freed by this. */
static void restart(struct guest *guest)
{
	struct error err = {0};
	int r = life_start(guest, false, &err);

	if (!r)
		return;
	guest_log(guest, "cannot be started again", err.text);
	if (r == -ENOSPC || r == -ENOMEM) {
		/* No reason to lose it: the host's need may pass. */
		guest->retrying = true;
		wake_in(guest, RETRY_MS * MS);
		return;
	}
	after_failed_start(guest, err.text);
}

/* Finding it again */

/* The store says that it is to be started, and nothing of it is there. It may be freed by this. */
static void not_begun(struct guest *guest)
{
	struct error err = {0};

	let_sleep(guest);
	monitor_close(guest->monitor);
	guest->monitor = NULL;
	if (launch_is_marked(guest)) {
		migration_not_begun(guest);
		launch_unmark_state(guest);
		after_failed_start(guest, "the daemon ended before the guest could go on");
		return;
	}
	guest_log(guest, "was to be started, which is done now", "");
	if (!begin(guest, &err))
		return;
	guest->reason = END_ERROR;
	snprintf(guest->text, sizeof guest->text, "%s", err.text);
	guest->ended = time(NULL);
	end(guest, false);
}

void life_recover(struct guest *guest)
{
	struct error err = {0};
	enum launch_life life;

	if (guest->state == RECORD_OFF && guest->managed) {
		launch_unmark_state(guest);
		snapshot_carry_on(guest);
		return;
	}
	if (guest->state == RECORD_OFF && launch_is_marked(guest)) {
		launch_unmark_state(guest);
		after_failed_start(guest, "the daemon ended before the guest could go on");
		return;
	}
	if (guest->state == RECORD_OFF) {
		restart(guest); /* between two lives: see rename_restart() */
		return;
	}
	if (strcmp(guest->boot, guest->daemon->boot)) {
		/* The host was started again since: only what is managed is still there. */
		layer_settle(guest, NULL);
		commit_settle(guest, NULL);
		move_settle(guest, NULL);
		plug_settle(guest, NULL);
		launch_remove(guest);
		saved_forget_suspended(guest);
		guest->pid = 0;
		after_host_boot(guest);
		return;
	}
	live_update_recover(guest);
	life = launch_look(guest);
	life_watch(guest);
	if (life == LAUNCH_ALIVE || live_update_may_come(guest)) {
		guest->held = guest->state == RECORD_SHUTDOWN;
		if (connect_monitor(guest, &err)) {
			/* It is about to end, or no longer itself: look_again() waits, then helps. */
			guest_log(guest, err.text, "");
			guest->ending = true;
			guest->tries = 0;
			look_again(guest);
		} else {
			guest_log(guest, "found again", "");
		}
	} else if (guest->state == RECORD_SHUTDOWN) {
		launch_unmark_state(guest);
		process_open(guest, 0, 0);
	} else if (life == LAUNCH_NOT_BEGUN && guest->state == RECORD_STARTING) {
		not_begun(guest);
	} else {
		gone(guest);
	}
}
