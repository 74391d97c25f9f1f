/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest's process, whatever the guest: what a kind of guest gives its monitor (struct guest_ops),
 * what the monitor gives the guest, and the two ways in which it runs: in the foreground, at a
 * terminal, and as a daemon's.
 *
 * The life of a guest: create() while everything may still be opened; the sandbox; load(); run(), which
 * serves the loop; ended(), when the terminal is in order again; destroy(). After a failure of the
 * first ones only destroy() follows.
 */
#ifndef DACH_MONITOR_MONITOR_H
#define DACH_MONITOR_MONITOR_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "monitor/calls.h"
#include "monitor/job.h"
#include "protocol/end.h"
#include "protocol/event.h"
#include "protocol/launch.h"
#include "protocol/request.h"

struct guest_monitor;

/* All on the loop's thread, which is the one that called monitor_foreground() or monitor_launched(). */
struct guest_ops {
	/*
	 * Opens what it needs, then monitor_restrict(), then makes what is left; its threads start in
	 * monitor_walled() or a nest.
	 */
	int (*create)(void *guest, struct guest_monitor *monitor, struct error *err);
	/* What is read from outside, such as a saved state: within the sandbox. May be NULL. */
	int (*load)(void *guest, struct error *err);
	/* Serves the monitor's loop until the guest has ended; says why in *end, which is zero before. */
	void (*run)(void *guest, struct end_report *end);
	/* What there is to say on standard error about how it went. May be NULL. */
	void (*ended)(void *guest);
	/* Takes back what create() did, all or part of it. */
	void (*destroy)(void *guest);

	/* Returns when it stands still. Before run() too: it then starts so. Again does nothing. */
	void (*pause)(void *guest);
	/* Where it may not be able to: has it stand still, or says why not, before anybody is told that it does. May be NULL. */
	int (*try_pause)(void *guest, struct error *err);
	void (*resume)(void *guest);
	/* Asks it to end by itself; it may not listen, and is asked again. */
	void (*ask)(void *guest);
	/* Ends it: run() returns. */
	void (*end)(void *guest);
	/*
	 * ns from that, or from run()'s return, to the end of the process, whatever its threads do; and how
	 * long a signal may wait for the loop. 0: DEADLINE_PATIENCE (deadline.h).
	 */
	uint64_t patience;

	/* Console input; returns how much it took. What it did not take comes again after monitor_room(). */
	size_t (*input)(void *guest, const uint8_t *data, size_t len);
	/* Of a command (foreground.command): its input ends here; a stream's bytes are written, or nobody reads it. */
	void (*input_over)(void *guest);
	void (*written)(void *guest, unsigned stream, size_t len, bool gone); /* any thread */
	/* The terminal on which its console is shown has this size. May be NULL. */
	void (*resize)(void *guest, unsigned columns, unsigned rows);
	/* Adds to what "info" answers. */
	void (*describe)(void *guest, json_t *info);
	/*
	 * A verb that is none of the monitor's own. 0: done, and *fields (NULL before) is what the
	 * answer says beside "ok"; REQUEST_LATER: a job with this asker answers; or a negative errno.
	 * fd came with it (-1: none did) and is the guest's now.
	 */
	int (*request)(void *guest, const struct control_asker *asker,
		const struct monitor_request *request, int fd, json_t **fields, struct error *err);
	/* What its threads call beyond what all guests' do: sandbox.calls. May be NULL. */
	void (*calls)(void *guest, struct calls *calls, unsigned roles);
};

#define REQUEST_LATER 1

/* A guest in the foreground: console on standard input and output, signals, no daemon. */
struct foreground {
	uint64_t grace; /* ns that a guest asked to end has before it is ended; 0: SIGNALS_GRACE */
	uint64_t timeout;    /* ns after its start at which it is ended; 0: none */
	const char *console; /* a file for what it says, and nothing is read; NULL: none */
	bool quiet;          /* no lines of our own but errors */
	/*
	 * The guest is there for a command: input is the command's, its streams come by monitor_stream(); what
	 * the guest says is kept for monitor_show_console(), or shown at once on standard error.
	 */
	bool command, terminal, verbose;
	/* SIGUSR2, on the loop's thread; NULL: it is not taken. */
	void (*save)(void *guest);
};

/*
 * Both run it from its creation to its destruction. *end is filled in whatever happens: its error may
 * be empty, its status is END_STATUS_SETUP if the guest never started. The process cannot do much else
 * afterwards: it is in the sandbox. Descriptors of the description stay open.
 */
void monitor_foreground(const struct guest_ops *ops, void *guest, const struct foreground *config,
	struct end_report *end);
void monitor_launched(const struct guest_ops *ops, void *guest, const struct launch_spec *spec,
	struct end_report *end);

/*
 * main() of a program that a daemon starts (dach-vmm): reads the launch description, closes what it
 * does not name, takes the lock, has run() run the guest (by monitor_launched()), and leaves the
 * last words. Returns the exit status.
 */
struct monitor_program {
	const char *name, *help;
	void (*run)(const struct launch_spec *spec, struct end_report *end);
};
int monitor_main(int argc, char **argv, const struct monitor_program *program);

/* What a guest asks of its monitor. On the loop's thread but what says otherwise. */

struct loop *monitor_loop(struct guest_monitor *monitor);
/*
 * Gives up capabilities and all files that are not open already; network: the host's network and resolv.conf
 * stay; signals: there is a process to send some to. Once in a process, in create(), before the first thread.
 */
int monitor_restrict(struct guest_monitor *monitor, bool network, bool signals, struct error *err);
/*
 * Runs make(ctx) and returns its value; threads that it starts are of this kind (calls.h), and in a
 * daemon's monitor within its walls.
 */
int monitor_walled(struct guest_monitor *monitor, unsigned role, int (*make)(void *ctx), void *ctx,
	struct error *err);
/* The same for later: *nest is NULL where there are no such walls. */
struct nest;
int monitor_nest(struct guest_monitor *monitor, unsigned role, struct nest **nest,
	struct error *err);

/* What the guest says on its console, and that it may take input again. Any thread. */
void monitor_output(struct guest_monitor *monitor, const uint8_t *data, size_t len);
void monitor_room(struct guest_monitor *monitor);
/*
 * A stream of the guest's command: 1 is standard output, 2 standard error. At most MONITOR_STREAM_ROOM bytes of
 * one may be on the way between this and guest_ops.written. The loop's thread.
 */
#define MONITOR_STREAM_ROOM (512u << 10)
void monitor_stream(struct guest_monitor *monitor, unsigned stream, const uint8_t *data,
	size_t len);
/* What the guest has said last goes to standard error, unless it has been there. Does nothing without a command. */
void monitor_show_console(struct guest_monitor *monitor);
/* The signal that asked the guest to end; 0: none did. */
int monitor_asked_by(const struct guest_monitor *monitor);
/* It has something to say soon; a person at a terminal is told if it does not: hint, what to look at. */
void monitor_expect(struct guest_monitor *monitor, const char *hint);

void monitor_event(struct guest_monitor *monitor, const struct monitor_event *event);
/* Asks it to end, as "shutdown" and "reboot" do. Refused when it is only kept. */
int monitor_ask(struct guest_monitor *monitor, bool reboot, struct error *err);
/* It has ended and stays, paused for good, until end(): then run() returns this reason. */
void monitor_keep(struct guest_monitor *monitor, enum end_reason reason);
/*
 * Its state is written: it stands until the daemon releases it, to end or to go on, as it was. Should the
 * daemon go, it has MONITOR_HOLD_SECONDS to come back; then the guest goes on. go_on() is called
 * before it runs again, or is ended otherwise.
 */
#define MONITOR_HOLD_SECONDS 60
void monitor_hold(struct guest_monitor *monitor, void (*go_on)(void *ctx), void *ctx);
/*
 * It stands from now on, whoever wants it to run, until let_go NULL; meanwhile "unpause" asks let_go(): 0, and then it stands
 * no longer for this; or a negative errno and why it cannot run.
 */
void monitor_withhold(struct guest_monitor *monitor, int (*let_go)(void *ctx, struct error *err),
	void *ctx);
/* As "pause" does. */
void monitor_pause(struct guest_monitor *monitor);
/* Starts a job; asker NULL: nobody waits for an answer. See job.h for what happens with spec. */
int monitor_job(struct guest_monitor *monitor, const struct job_spec *spec,
	const struct control_asker *asker, struct error *err);
/* The guest does not run: by request, because it is kept, or because of a job. */
bool monitor_stands(const struct guest_monitor *monitor);

#endif
