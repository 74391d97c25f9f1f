/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/guest.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/live_update.h"
#include "daemon/monitor.h"
#include "daemon/process.h"
#include "daemon/saved.h"

struct guest *guest_new(struct daemon *daemon, struct domain_config *config)
{
	struct guest *guest = calloc(1, sizeof *guest);

	if (!guest)
		return NULL;
	guest->daemon = daemon;
	guest->state_fd = guest->line = -1;
	guest->process.fd = -1;
	guest->config = *config;
	memset(config, 0, sizeof *config);
	return guest;
}

int guest_from_record(struct daemon *daemon, const struct record *record, struct guest **out,
	struct error *err)
{
	struct domain_config config;
	struct guest *guest;
	json_t *json = json_loads(record->config, 0, NULL);
	int r = domain_config_from_json(json, &config, err);

	json_decref(json);
	if (r)
		return r;
	if (strcmp(config.name, record->name) || strcmp(config.uuid, record->uuid)) {
		domain_config_free(&config);
		return error_set(err, EUCLEAN, "%s: another guest's configuration", record->name);
	}
	guest = guest_new(daemon, &config);
	if (!guest) {
		domain_config_free(&config);
		return error_nomem(err);
	}
	guest->owner = record->owner;
	guest->managed = record->managed;
	guest->autostart = record->autostart;
	guest->state = record->state;
	guest->domid = record->domid;
	guest->started = record->started;
	guest->pid = record->pid;
	guest->ended = record->ended;
	snprintf(guest->boot, sizeof guest->boot, "%s", record->boot);
	guest->reason = end_find(record->reason);
	snprintf(guest->text, sizeof guest->text, "%s", record->text);
	guest->suspended = saved_is_suspended(guest);
	*out = guest;
	return 0;
}

static bool before(const struct guest *a, const struct guest *b)
{
	int order;

	if (a->domid && b->domid)
		return a->domid < b->domid;
	if (a->domid || b->domid)
		return a->domid;
	order = strcmp(a->config.name, b->config.name);
	return order < 0 || (!order && a->owner < b->owner);
}

void guest_add(struct guest *guest)
{
	struct guest **at = &guest->daemon->guests;

	while (*at && before(*at, guest))
		at = &(*at)->next;
	guest->next = *at;
	*at = guest;
}

static void unlink_guest(struct guest *guest)
{
	for (struct guest **at = &guest->daemon->guests; *at; at = &(*at)->next) {
		if (*at == guest) {
			*at = guest->next;
			return;
		}
	}
}

void guest_sort(struct guest *guest)
{
	unlink_guest(guest);
	guest_add(guest);
}

void guest_free(struct guest *guest)
{
	unlink_guest(guest);
	guest_tell(guest, true, -ENOENT, "the guest is gone");
	guest_tell(guest, false, -ENOENT, "the guest is gone");
	if (guest->timer.loop)
		loop_timer_cancel(&guest->timer);
	live_update_free(guest);
	monitor_close(guest->monitor);
	process_close(guest);
	json_decref(guest->info);
	json_decref(guest->brought);
	guest_drop_state(guest);
	if (guest->line >= 0)
		close(guest->line);
	snapshots_free(guest);
	domain_config_free(&guest->config);
	free(guest);
}

void guest_drop_state(struct guest *guest)
{
	if (guest->state_fd >= 0)
		close(guest->state_fd);
	guest->state_fd = -1;
	while (guest->layers)
		if (guest->layer[--guest->layers] >= 0)
			close(guest->layer[guest->layers]);
	free(guest->state_name);
	guest->state_name = NULL;
	guest->lazy = guest->renews = false;
}

/* Finding */

bool guest_is_off(const struct guest *guest)
{
	return guest->state == RECORD_OFF && !guest->retrying;
}

bool guest_answers(const struct guest *guest)
{
	return guest->monitor && (guest->up || guest->state != RECORD_STARTING);
}

bool guest_visible(const struct guest *guest, bool manager, uid_t uid)
{
	return manager || guest->owner == uid;
}

struct guest *guest_by_name(struct daemon *daemon, uid_t owner, const char *name)
{
	struct guest *guest = daemon->guests;

	while (guest && (guest->owner != owner || strcmp(guest->config.name, name)))
		guest = guest->next;
	return guest;
}

struct guest *guest_by_uuid(struct daemon *daemon, const char *uuid)
{
	struct guest *guest = daemon->guests;

	while (guest && strcasecmp(guest->config.uuid, uuid))
		guest = guest->next;
	return guest;
}

static struct guest *by_domid(struct daemon *daemon, const char *text)
{
	struct guest *guest = daemon->guests;
	unsigned long domid = strtoul(text, NULL, 10);

	while (guest && (!guest->domid || guest->domid != domid))
		guest = guest->next;
	return guest;
}

/* Whom the name means for those who see it; NULL and how many there are. */
static struct guest *by_plain_name(struct daemon *daemon, bool manager, uid_t uid, const char *name,
	unsigned *count)
{
	struct guest *found = guest_by_name(daemon, uid, name);

	*count = found != NULL;
	if (found || !manager)
		return found;
	for (struct guest *at = daemon->guests; at; at = at->next)
		if (!strcmp(at->config.name, name)) {
			found = at;
			++*count;
		}
	return *count == 1 ? found : NULL;
}

/* "UID/NAME". */
static struct guest *by_full_name(struct daemon *daemon, const char *ref)
{
	char *slash;
	unsigned long uid = strtoul(ref, &slash, 10);

	if (!isdigit((unsigned char)*ref) || *slash != '/' || uid > UINT32_MAX)
		return NULL;
	return guest_by_name(daemon, (uid_t)uid, slash + 1);
}

const char *guest_ref(const struct guest *guest, bool manager, uid_t uid, char text[GUEST_REF_MAX])
{
	const char *name = guest->config.name;
	unsigned count;

	if (by_plain_name(guest->daemon, manager, uid, name, &count) == guest)
		snprintf(text, GUEST_REF_MAX, "%s", name);
	else
		snprintf(text, GUEST_REF_MAX, "%u/%s", guest->owner, name);
	return text;
}

static int name_several(struct daemon *daemon, const char *name, struct error *err)
{
	char list[160] = "";
	size_t len = 0;

	for (const struct guest *at = daemon->guests; at; at = at->next) {
		if (strcmp(at->config.name, name) || len + GUEST_REF_MAX >= sizeof list)
			continue;
		len += snprintf(list + len, sizeof list - len, "%s%u/" GUEST_LABEL, len ? ", " : "",
			at->owner, name);
	}
	return error_set(err, EEXIST,
		"several users have a guest of the name '" GUEST_LABEL "': say whose, as in %s",
		name, list);
}

int guest_find(struct daemon *daemon, const struct caller *caller, const char *ref,
	struct guest **guest, struct error *err)
{
	struct guest *found = guest_by_uuid(daemon, ref);
	unsigned count = 0;

	/* Whoever may not see it does not learn that it is there. */
	if (found && !guest_visible(found, caller->manager, caller->uid))
		found = NULL;
	if (!found && strchr(ref, '/'))
		found = by_full_name(daemon, ref);
	else if (!found && *ref && !ref[strspn(ref, "0123456789")])
		found = by_domid(daemon, ref);
	else if (!found)
		found = by_plain_name(daemon, caller->manager, caller->uid, ref, &count);
	*guest = found && guest_visible(found, caller->manager, caller->uid) ? found : NULL;
	if (*guest)
		return 0;
	if (count > 1)
		return name_several(daemon, ref, err);
	return error_set(err, ENOENT, "Domain '" GUEST_LABEL "' does not exist.", ref);
}

/* Keeping */

static char *config_text(const struct guest *guest, struct error *err)
{
	json_t *json;
	char *text;

	if (domain_config_to_json(&guest->config, &json, err))
		return NULL;
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (!text)
		error_nomem(err);
	return text;
}

static int save(struct guest *guest, unsigned domid, struct error *err)
{
	char *config = config_text(guest, err);
	struct record record = {
		.uuid = guest->config.uuid,
		.name = guest->config.name,
		.config = config,
		.owner = guest->owner,
		.managed = guest->managed,
		.autostart = guest->autostart,
		.state = guest->state,
		.domid = domid,
		.started = guest->started,
		.pid = guest->pid,
		.boot = guest->boot,
		.reason = end_word(guest->reason),
		.text = guest->text,
		.ended = guest->ended,
	};
	int r = config ? store_save(guest->daemon->store, &record, err) : -ENOMEM;

	free(config);
	return r;
}

int guest_save(struct guest *guest, struct error *err)
{
	return save(guest, guest->domid, err);
}

int guest_note(struct guest *guest, struct error *err)
{
	int r;

	store_relax(guest->daemon->store, true);
	r = guest_save(guest, err);
	store_relax(guest->daemon->store, false);
	return r;
}

int guest_save_new_life(struct guest *guest, struct error *err)
{
	struct store *store = guest->daemon->store;
	unsigned domid;
	int r = store_begin(store, err);

	if (r)
		return r;
	r = store_take_domid(store, &domid, err);
	if (!r)
		r = save(guest, domid, err);
	if (r) {
		store_rollback(store);
		return r;
	}
	r = store_commit(store, err);
	if (!r)
		guest->domid = domid;
	return r;
}

void guest_log(const struct guest *guest, const char *what, const char *text)
{
	log_add(&guest->daemon->log, GUEST_LABEL " (%u): %s%s%s", guest->config.name, guest->domid,
		what, *text ? ": " : "", text);
}

/* Waiting */

void guest_wait(struct guest *guest, bool end, void (*done)(void *ctx, int r, const char *text),
	void *ctx)
{
	struct guest_wait *wait = calloc(1, sizeof *wait);

	if (!wait) {
		done(ctx, -ENOMEM, "out of memory");
		return;
	}
	*wait = (struct guest_wait){.next = guest->waits, .end = end, .done = done, .ctx = ctx};
	guest->waits = wait;
}

void guest_tell(struct guest *guest, bool end, int r, const char *text)
{
	struct guest_wait *told = NULL, *wait;

	for (struct guest_wait **at = &guest->waits; (wait = *at);) {
		if (wait->end != end) {
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		wait->next = told;
		told = wait;
	}
	while ((wait = told)) {
		told = wait->next;
		wait->done(wait->ctx, r, text);
		free(wait);
	}
}
