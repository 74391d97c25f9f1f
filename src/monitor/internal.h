/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor from inside. */
#ifndef DACH_MONITOR_INTERNAL_H
#define DACH_MONITOR_INTERNAL_H

#include "monitor/console.h"
#include "monitor/control.h"
#include "monitor/deadline.h"
#include "monitor/monitor.h"
#include "monitor/power.h"
#include "monitor/sandbox.h"
#include "monitor/signals.h"
#include "monitor/terminal.h"

/* The ways in which a guest meets people: front_terminal.c, front_command.c and front_daemon.c. */
struct front {
	bool walls; /* each kind of thread has walls of its own, else one list is for all */
	int (*open)(struct guest_monitor *monitor, struct error *err);
	int (*restrict_to)(struct guest_monitor *monitor, bool network, bool signals,
		struct error *err);
	/* The guest is about to run, within the sandbox. */
	int (*start)(struct guest_monitor *monitor, struct error *err);
	/* Any thread. */
	void (*output)(struct guest_monitor *monitor, const uint8_t *data, size_t len);
	void (*room)(struct guest_monitor *monitor);
	/* With a command; else NULL. */
	void (*stream)(struct guest_monitor *monitor, unsigned stream, const uint8_t *data,
		size_t len);
	void (*show_console)(struct guest_monitor *monitor);
	void (*expect)(struct guest_monitor *monitor, const char *hint);
	/* The size of people's terminal has changed. NULL: it has none. */
	void (*resized)(struct guest_monitor *monitor);
	/* The guest has ended; people get back what was theirs. Again does nothing. */
	void (*stop)(struct guest_monitor *monitor);
	/* Requests, then output, will not come any more. Both also where open() failed or never was. */
	void (*close_requests)(struct guest_monitor *monitor);
	void (*close)(struct guest_monitor *monitor);
};

struct guest_monitor {
	const struct guest_ops *ops;
	void *guest;
	const struct front *front;
	const struct launch_spec *spec;      /* a daemon's; or NULL */
	const struct foreground *foreground; /* or this one */
	struct terminal terminal;            /* in the foreground, with the next two */
	struct loop_timer deadline;
	bool timed_out;
	struct output_queue *errors; /* a command's, with the next */
	struct console_tail *tail;
	struct console *console; /* a daemon's guest: this and the next */
	struct control *control;
	struct loop *loop;
	struct signals signals;
	struct power power;
	struct jobs *jobs;
	struct deadline last_resort;
	struct end_report *end; /* as far as it is known */
	bool end_known;         /* atomic: it will not change */
	struct sandbox sandbox;
	unsigned walls;   /* those that stand, of a daemon's: 1 << WALL_... */
	uint64_t started; /* clock_now() */
	/* The loop's thread: */
	bool signals_started;
	bool paused;              /* by request */
	bool stands;              /* what the guest was last told */
	bool reboot;              /* a power-off is to be told as a reboot */
	bool over;                /* run() has returned: nothing goes on any more */
	enum end_reason kept;     /* it has ended so, and stays to be looked at; or END_NONE */
	void (*go_on)(void *ctx); /* monitor_hold(); NULL: it is not held */
	void *go_on_ctx;
	struct loop_timer hold;
	int (*let_go)(void *ctx, struct error *err); /* monitor_withhold(); NULL: it may run */
	void *let_go_ctx;
};

/* monitor.c: runs all of it; front, spec and signals' settings are filled in. */
void monitor_run(struct guest_monitor *monitor, struct end_report *end);
/* monitor.c: ends the guest; from then on the process has a limited time. */
void monitor_end(struct guest_monitor *monitor);
/* monitor.c: the guest runs if nobody wants it to stand. */
void monitor_run_or_not(struct guest_monitor *monitor);
/* monitor.c: it is held no longer, and may run; nothing happens to one that is not. */
void monitor_let_go(struct guest_monitor *monitor);
/* monitor.c: the terminal, or who else was watching, has gone */
void monitor_hang_up(void *monitor);

/* front_terminal.c, for both in the foreground: the guest's time, signals and sandbox. */
void foreground_open(struct guest_monitor *monitor);
int foreground_restrict(struct guest_monitor *monitor, bool network, bool signals,
	struct error *err);
void foreground_start(struct guest_monitor *monitor);
void foreground_tell_size(struct guest_monitor *monitor);
void foreground_leave(void *monitor);
/* Puts the terminal in order; whether who reads is to be waited for. */
void foreground_stop(struct guest_monitor *monitor);
bool foreground_patient(const struct guest_monitor *monitor);
/* front_command.c */
extern const struct front command_front;

/* request.c: control_handler.handle, with the monitor as ctx */
void request_handle(void *ctx, const struct control_asker *asker,
	const struct monitor_request *request, int fd);
/* request.c: control_handler.gone, likewise */
void request_gone(void *ctx, uint64_t peer);

/* program.c: the last words, by one write, so that nobody reads a half. fd -1: nothing. */
void program_write_status(int fd, const struct end_report *end);

#endif
