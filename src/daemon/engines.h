/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which engines this host offers. A look at /dev/kvm can take a second, and may hang in a broken one:
 * a child does it, once.
 */
#ifndef DACH_DAEMON_ENGINES_H
#define DACH_DAEMON_ENGINES_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"

#define ENGINES_WAITERS 32

struct engines {
	struct loop *loop;
	struct loop_fd watch; /* fd -1: no child */
	struct loop_timer late;
	pid_t child;
	bool known, started, said;
	char kvm[256]; /* why there is no KVM; "" if there is */
	struct {
		void (*done)(void *ctx);
		void *ctx;
	} waiter[ENGINES_WAITERS];
	unsigned waiters;
};

void engines_init(struct engines *engines, struct loop *loop);
void engines_free(struct engines *engines);
/* Calls done when it is known, at once or later. */
void engines_wait(struct engines *engines, void (*done)(void *ctx), void *ctx);
/* [{"name", "available", "reason"}] */
json_t *engines_describe(const struct engines *engines);

#endif
