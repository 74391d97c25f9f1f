/* SPDX-License-Identifier: Apache-2.0 */
/* What the control socket's requests do, whatever the guest; the rest is the guest's. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "monitor/internal.h"

static json_t *describe(struct guest_monitor *monitor)
{
	const struct launch_spec *spec = monitor->spec;
	const enum guest_state state = monitor->kept ? GUEST_ENDED
		: monitor->go_on                     ? GUEST_SAVED
		: monitor->paused                    ? GUEST_PAUSED
						     : GUEST_RUNNING;
	json_t *info = json_pack("{s:s?, s:s?, s:I, s:i, s:s, s:I, s:o}", "name", spec->name,
		"uuid", spec->uuid, "domid", (json_int_t)spec->domid, "pid", (int)getpid(), "state",
		guest_states[state], "uptime", (json_int_t)(clock_now() - monitor->started),
		"walls", walls_to_json(monitor->walls));

	if (info && monitor->kept)
		json_object_set_new(info, "reason", json_string(end_word(monitor->kept)));
	if (info)
		monitor->ops->describe(monitor->guest, info);
	return info;
}

void monitor_pause(struct guest_monitor *monitor)
{
	if (!monitor->kept && !monitor->paused) {
		monitor->paused = true;
		monitor_run_or_not(monitor);
		monitor_event(monitor, &(struct monitor_event){.kind = EVENT_PAUSED});
	}
}

static int pause_guest(struct guest_monitor *monitor, struct error *err)
{
	int r = monitor->ops->try_pause && !monitor_stands(monitor)
		? monitor->ops->try_pause(monitor->guest, err)
		: 0;

	if (!r)
		monitor_pause(monitor);
	return r;
}

static int release(struct guest_monitor *monitor, bool ends, struct error *err)
{
	if (!monitor->go_on)
		return error_set(err, ESRCH, "the guest does not wait with its state saved");
	if (ends) {
		monitor_end(monitor);
		return 0;
	}
	monitor_let_go(monitor);
	monitor_run_or_not(monitor);
	return 0;
}

/* Of what would change the guest, nothing is to happen behind its state. */
static bool waits(const struct guest_monitor *monitor, enum request_verb verb)
{
	return monitor->go_on && verb != REQUEST_INFO && verb != REQUEST_RELEASE &&
		verb != REQUEST_DESTROY && verb != REQUEST_JOBS && verb != REQUEST_CANCEL;
}

static int refuse_kept(const struct guest_monitor *monitor, struct error *err)
{
	if (!monitor->kept)
		return 0;
	return error_set(err, EINVAL, "the guest has ended (%s) and is only kept",
		end_word(monitor->kept));
}

static int unpause_guest(struct guest_monitor *monitor, struct error *err)
{
	int r = refuse_kept(monitor, err);

	if (!r && monitor->let_go) {
		r = monitor->let_go(monitor->let_go_ctx, err);
		if (!r)
			monitor_withhold(monitor, NULL, NULL);
	}
	if (!r && monitor->paused) {
		monitor->paused = false;
		monitor_run_or_not(monitor);
		monitor_event(monitor, &(struct monitor_event){.kind = EVENT_UNPAUSED});
	}
	return r;
}

int monitor_ask(struct guest_monitor *monitor, bool reboot, struct error *err)
{
	int r = refuse_kept(monitor, err);

	if (!r) {
		monitor->reboot = reboot;
		power_ask(&monitor->power);
	}
	return r;
}

static int perform(struct guest_monitor *monitor, const struct control_asker *asker,
	const struct monitor_request *request, int *fd, json_t **fields, struct error *err)
{
	int given;

	if (waits(monitor, request->verb))
		return error_set(err, EBUSY, "the guest is being saved");
	switch (request->verb) {
	case REQUEST_INFO:
		*fields = describe(monitor);
		return *fields ? 0 : error_nomem(err);
	case REQUEST_PAUSE:
		return pause_guest(monitor, err);
	case REQUEST_UNPAUSE:
		return unpause_guest(monitor, err);
	case REQUEST_SHUTDOWN:
	case REQUEST_REBOOT:
		return monitor_ask(monitor, request->verb == REQUEST_REBOOT, err);
	case REQUEST_RELEASE:
		return release(monitor, request->end, err);
	case REQUEST_DESTROY:
		monitor_let_go(monitor);
		monitor_end(monitor);
		return 0;
	case REQUEST_JOBS:
		*fields = json_pack("{s:o}", "jobs", jobs_describe(monitor->jobs));
		return 0;
	case REQUEST_CANCEL:
		return jobs_cancel(monitor->jobs, request->job, err);
	default:
		given = *fd;
		*fd = -1;
		return monitor->ops->request(monitor->guest, asker, request, given, fields, err);
	}
}

void request_handle(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd)
{
	struct guest_monitor *monitor = ctx;
	struct error err = {""};
	json_t *fields = NULL;
	int r = perform(monitor, asker, request, &fd, &fields, &err);

	if (fd >= 0)
		close(fd);
	if (r < 0) {
		json_decref(fields);
		control_refuse(monitor->control, asker, r, &err);
	} else if (r != REQUEST_LATER) {
		control_answer(monitor->control, asker, fields);
	}
}

void request_gone(void *ctx, uint64_t peer)
{
	struct guest_monitor *monitor = ctx;

	if (monitor->jobs)
		jobs_unwatched(monitor->jobs, peer);
}
