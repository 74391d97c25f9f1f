/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGUSR2 saves the guest. SIGTERM, SIGINT and SIGHUP press the guest's power button; the next one ends
 * the guest. SIGPIPE and SIGXFSZ are ignored.
 */
#ifndef DACH_VMM_SIGNALS_H
#define DACH_VMM_SIGNALS_H

#include <signal.h>

#include "base/error.h"
#include "base/loop.h"

struct signals {
	struct loop *loop;
	struct loop_fd watch; /* a signalfd */
	sigset_t old;
	unsigned count;
	void (*ask)(void *ctx);   /* the first */
	void (*force)(void *ctx); /* every further one */
	void (*save)(void *ctx);  /* SIGUSR2; set before signals_start(), NULL: it is not taken */
	void *ctx;
};

/* Blocks the signals: before any other thread is there, so that all inherit it. */
int signals_start(struct signals *signals, struct loop *loop, void (*ask)(void *ctx),
	void (*force)(void *ctx), void *ctx, struct error *err);
/* Signals that still wait are dropped. */
void signals_stop(struct signals *signals);

#endif
