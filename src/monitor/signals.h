/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGUSR2 saves the guest; SIGWINCH tells of its terminal's size. SIGTERM, SIGINT and SIGHUP (a terminal that
 * goes away) press the guest's power button; a guest that is still there after the grace is ended, and so is one at the next SIGTERM or
 * SIGINT. Further SIGHUPs change nothing: the kernel sends one, and the shell another. Where SIGHUP was
 * ignored (nohup) it stays so. SIGPIPE and SIGXFSZ are ignored.
 */
#ifndef DACH_MONITOR_SIGNALS_H
#define DACH_MONITOR_SIGNALS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

#define SIGNALS_GRACE 90000000000ull /* what systemd gives a service */
#define SIGNALS_SAME 200000000ull    /* ns in which one sender's signal counts once */

struct signals {
	struct loop *loop;
	struct loop_fd watch; /* a signalfd */
	sigset_t old;
	unsigned count;
	int first;      /* the one that asked; 0: none has */
	unsigned taken; /* how many, of whatever kind; atomic */
	bool nohup;
	uint32_t last_signal, last_sender; /* of SIGTERM and SIGINT */
	uint64_t last_time;
	uint64_t grace;             /* ns after the first of them; 0: SIGNALS_GRACE */
	struct loop_timer last;     /* the grace's end */
	void (*ask)(void *ctx);     /* the first */
	void (*force)(void *ctx);   /* every further one */
	void (*save)(void *ctx);    /* SIGUSR2; NULL: it is not taken */
	void (*resized)(void *ctx); /* SIGWINCH; likewise */
	void *ctx;
};

/*
 * Blocks the signals: before any other thread is there, so that all inherit it. save, resized and grace are
 * set before, the rest is 0.
 */
int signals_start(struct signals *signals, struct loop *loop, void (*ask)(void *ctx),
	void (*force)(void *ctx), void *ctx, struct error *err);
/* As SIGHUP does: the terminal was seen to be gone. On the loop's thread. */
void signals_hang_up(struct signals *signals);
/* Signals that still wait are dropped. */
void signals_stop(struct signals *signals);

#endif
