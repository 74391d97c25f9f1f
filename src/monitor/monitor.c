/* SPDX-License-Identifier: Apache-2.0 */
#include "monitor/monitor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "monitor/internal.h"

/* Who may run */

void monitor_run_or_not(struct guest_monitor *monitor)
{
	bool stands = monitor_stands(monitor);

	if (stands == monitor->stands || monitor->over)
		return;
	monitor->stands = stands;
	if (stands)
		monitor->ops->pause(monitor->guest);
	else
		monitor->ops->resume(monitor->guest);
}

bool monitor_stands(const struct guest_monitor *monitor)
{
	return monitor->paused || monitor->kept || monitor->go_on || monitor->let_go ||
		jobs_pause(monitor->jobs);
}

void monitor_withhold(struct guest_monitor *monitor, int (*let_go)(void *ctx, struct error *err),
	void *ctx)
{
	monitor->let_go = let_go;
	monitor->let_go_ctx = ctx;
	monitor_run_or_not(monitor);
}

static void held_too_long(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	monitor_let_go(monitor);
	monitor_run_or_not(monitor);
}

void monitor_hold(struct guest_monitor *monitor, void (*go_on)(void *ctx), void *ctx)
{
	monitor->go_on = go_on;
	monitor->go_on_ctx = ctx;
	loop_timer_arm(&monitor->hold, clock_now() + MONITOR_HOLD_SECONDS * 1000000000ull);
}

void monitor_let_go(struct guest_monitor *monitor)
{
	void (*go_on)(void *ctx) = monitor->go_on;

	if (!go_on)
		return;
	monitor->go_on = NULL;
	loop_timer_cancel(&monitor->hold);
	go_on(monitor->go_on_ctx);
}

static bool press(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	if (monitor->kept)
		return true;
	if (monitor->paused)
		return false;
	monitor->ops->ask(monitor->guest);
	return true;
}

static void asked(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	power_ask(&monitor->power);
}

void monitor_end(struct guest_monitor *monitor)
{
	deadline_begin(&monitor->last_resort);
	monitor->ops->end(monitor->guest);
}

static void forced(void *ctx)
{
	monitor_end(ctx);
}

static void save(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	monitor->foreground->save(monitor->guest);
}

static void resized(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	monitor->front->resized(monitor);
}

void monitor_hang_up(void *ctx)
{
	struct guest_monitor *monitor = ctx;

	signals_hang_up(&monitor->signals);
}

/* What the guest asks for */

struct loop *monitor_loop(struct guest_monitor *monitor)
{
	return monitor->loop;
}

int monitor_restrict(struct guest_monitor *monitor, bool network, bool signals, struct error *err)
{
	int r = monitor->front->restrict_to(monitor, network, signals, err);
	const bool quiet = monitor->foreground && monitor->foreground->quiet;

	if (!r && network && !monitor->sandbox.names && !quiet)
		fputs("dach: this host gives a monitor no mounts of its own: when another file takes the "
		      "place of /etc/resolv.conf, the guest goes on with the name servers it has\n",
			stderr);
	return r;
}

int monitor_nest(struct guest_monitor *monitor, unsigned role, struct nest **nest,
	struct error *err)
{
	*nest = NULL;
	return monitor->front->walls ? nest_create(role, &monitor->sandbox, nest, err) : 0;
}

int monitor_walled(struct guest_monitor *monitor, unsigned role, int (*make)(void *ctx), void *ctx,
	struct error *err)
{
	struct nest *nest;
	int r = monitor_nest(monitor, role, &nest, err);

	if (r)
		return r;
	return nest ? nest_run(nest, make, ctx) : make(ctx);
}

void monitor_output(struct guest_monitor *monitor, const uint8_t *data, size_t len)
{
	monitor->front->output(monitor, data, len);
}

void monitor_room(struct guest_monitor *monitor)
{
	monitor->front->room(monitor);
}

void monitor_stream(struct guest_monitor *monitor, unsigned stream, const uint8_t *data, size_t len)
{
	monitor->front->stream(monitor, stream, data, len);
}

void monitor_show_console(struct guest_monitor *monitor)
{
	if (monitor->front->show_console)
		monitor->front->show_console(monitor);
}

int monitor_asked_by(const struct guest_monitor *monitor)
{
	return monitor->signals.first;
}

void monitor_expect(struct guest_monitor *monitor, const char *hint)
{
	monitor->front->expect(monitor, hint);
}

void monitor_event(struct guest_monitor *monitor, const struct monitor_event *event)
{
	control_event(monitor->control, event);
}

static enum end_reason told_as(const struct guest_monitor *monitor, enum end_reason reason)
{
	return reason == END_POWEROFF && monitor->reboot ? END_REBOOT : reason;
}

void monitor_keep(struct guest_monitor *monitor, enum end_reason reason)
{
	monitor->kept = told_as(monitor, reason);
	monitor->stands = true;
	power_stop(&monitor->power);
	monitor_event(monitor,
		&(struct monitor_event){.kind = EVENT_KEPT, .reason = monitor->kept});
}

int monitor_job(struct guest_monitor *monitor, const struct job_spec *spec,
	const struct control_asker *asker, struct error *err)
{
	return job_start(monitor->jobs, spec, asker, err);
}

/* Jobs */

static void job_pauses(void *ctx)
{
	monitor_run_or_not(ctx);
}

static void job_event(void *ctx, const struct job_report *report)
{
	monitor_event(ctx, &(struct monitor_event){.kind = EVENT_JOB, .job = *report});
}

static void job_answer(void *ctx, const struct control_asker *asker, int r, json_t *fields,
	const struct error *err)
{
	struct guest_monitor *monitor = ctx;

	if (r) {
		json_decref(fields);
		control_refuse(monitor->control, asker, r, err);
	} else {
		control_answer(monitor->control, asker, fields);
	}
}

/* Life */

/* Some thread does not end. What was known before counts, else that it was ended. */
static int last_words(void *ctx)
{
	struct guest_monitor *monitor = ctx;
	struct end_report end = {.reason = END_KILLED, .status = end_info(END_KILLED)->status};

	if (__atomic_load_n(&monitor->end_known, __ATOMIC_ACQUIRE))
		end = *monitor->end;
	dprintf(STDERR_FILENO, "the guest's monitor ends without a thread of it that does not\n");
	program_write_status(monitor->spec ? monitor->spec->status : -1, &end);
	return end.status;
}

static int set_up(struct guest_monitor *monitor, struct error *err)
{
	const struct jobs_owner owner = {monitor, job_pauses, job_event, job_answer};
	int r = loop_create(&monitor->loop, err);

	monitor->last_resort = (struct deadline){.signals = &monitor->signals,
		.last_words = last_words,
		.ctx = monitor,
		.patience = monitor->ops->patience ? monitor->ops->patience : DEADLINE_PATIENCE,
		.event = -1};
	if (!r)
		r = deadline_open(&monitor->last_resort, err);
	if (!r) {
		loop_timer_init(&monitor->hold, monitor->loop, held_too_long, monitor);
		power_init(&monitor->power, monitor->loop, press, monitor);
		r = monitor->front->open(monitor, err);
	}
	if (!r) {
		if (monitor->foreground && monitor->foreground->save)
			monitor->signals.save = save;
		monitor->signals.resized = monitor->front->resized ? resized : NULL;
		r = signals_start(&monitor->signals, monitor->loop, asked, forced, monitor, err);
		monitor->signals_started = !r;
	}
	if (!r)
		r = jobs_create(monitor->loop, &owner, &monitor->jobs, err);
	if (!r)
		r = monitor->ops->create(monitor->guest, monitor, err);
	if (!r)
		r = sandbox_calls(monitor->front->walls ? CALLS_LOOP : CALLS_ALL, &monitor->sandbox,
			err);
	if (!r)
		r = deadline_start(&monitor->last_resort, err);
	if (!r && monitor->ops->load)
		r = monitor->ops->load(monitor->guest, err);
	if (!r && monitor->spec && monitor->spec->paused) {
		monitor->paused = true;
		monitor_run_or_not(monitor);
	}
	return r ? r : monitor->front->start(monitor, err);
}

static void run(struct guest_monitor *monitor, struct end_report *end)
{
	monitor->started = clock_now();
	monitor->ops->run(monitor->guest, end);
	monitor->over = true;
	deadline_begin(&monitor->last_resort);
	if (monitor->timed_out && end->reason == END_KILLED) {
		end->status = END_STATUS_TIMEOUT;
		error_set(&end->error, 0, "the guest has not ended within its time (--timeout)");
	}
	if (told_as(monitor, end->reason) != end->reason) {
		end->reason = told_as(monitor, end->reason);
		end->status = end_info(end->reason)->status;
	}
	__atomic_store_n(&monitor->end_known, true, __ATOMIC_RELEASE);
	monitor->front->stop(monitor);
	/* A command that ended well, or of what it was told then, but not for who reads what it said. */
	if (monitor->terminal.unwritten && monitor->foreground->command &&
		(!end->status || end->status == 128 + SIGPIPE))
		end->status = END_STATUS_COMMAND;
	monitor_event(monitor, &(struct monitor_event){.kind = EVENT_ENDED, .reason = end->reason});
	if (monitor->ops->ended)
		monitor->ops->ended(monitor->guest);
}

/*
 * Everything once, in the reverse order; what was never made is skipped. A job that cannot be ended keeps
 * what it uses: the process is about to end anyway.
 */
static void tear_down(struct guest_monitor *monitor)
{
	bool free_of_jobs;

	monitor->front->stop(monitor);
	if (monitor->loop) {
		loop_timer_cancel(&monitor->hold);
		power_stop(&monitor->power);
	}
	free_of_jobs = jobs_destroy(monitor->jobs);
	monitor->jobs = NULL;
	monitor->front->close_requests(monitor);
	if (!free_of_jobs)
		return;
	monitor->ops->destroy(monitor->guest);
	monitor->front->close(monitor);
	deadline_stop(&monitor->last_resort);
	if (monitor->signals_started)
		signals_stop(&monitor->signals);
	if (monitor->loop)
		loop_destroy(monitor->loop);
	free(monitor);
}

void monitor_run(struct guest_monitor *monitor, struct end_report *end)
{
	*end = (struct end_report){END_ERROR, END_STATUS_SETUP, {""}};
	monitor->end = end;
	monitor->sandbox.calls = monitor->ops->calls;
	monitor->sandbox.ctx = monitor->guest;
	if (!set_up(monitor, &end->error)) {
		*end = (struct end_report){.reason = END_NONE};
		run(monitor, end);
	}
	tear_down(monitor);
}
