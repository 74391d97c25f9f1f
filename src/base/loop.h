/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one thread that serves file descriptors, timers and work
 * that other threads hand over. A callback runs on the loop's thread and must
 * not block for long.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC, as clock_now() gives them.
 */
#ifndef DACH_BASE_LOOP_H
#define DACH_BASE_LOOP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct loop;

int loop_create(struct loop **loop, struct error *err);
/* No loop_run() is going on. */
void loop_destroy(struct loop *loop);
/* Serves events until loop_stop(). The calling thread is the loop's from then on. */
void loop_run(struct loop *loop);
/* Makes loop_run() return soon. Any thread; also a signal handler. */
void loop_stop(struct loop *loop);

uint64_t clock_now(void);

/*
 * A file descriptor. events as for poll(2); 0 takes it out for a while (hang-up
 * and error are then not told either). The owner keeps the struct; fd must stay
 * open while added. Only on the loop's thread, or before loop_run().
 */
struct loop_fd {
	int fd;
	short events;
	void (*ready)(void *ctx, short revents);
	void *ctx;
	struct loop_fd *next; /* the loop's */
	int index;            /* the loop's */
};
void loop_fd_add(struct loop *loop, struct loop_fd *watch);
void loop_fd_remove(struct loop *loop, struct loop_fd *watch);

/*
 * A timer: runs fire once when deadline has come. Arming an armed timer moves
 * it. Any thread may arm and cancel; fire may still come once while a cancel on
 * another thread returns.
 */
struct loop_timer {
	struct loop *loop;
	void (*fire)(void *ctx);
	void *ctx;
	uint64_t deadline; /* the loop's, by its lock; 0: not armed */
	struct loop_timer *next, *prev;
};
void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *ctx),
	void *ctx);
void loop_timer_arm(struct loop_timer *timer, uint64_t deadline);
void loop_timer_cancel(struct loop_timer *timer);

/*
 * Work for the loop's thread. Posting work that still waits does nothing. Any
 * thread. The struct must live until the work has run.
 */
struct loop_work {
	void (*run)(void *ctx);
	void *ctx;
	bool posted; /* the loop's */
	struct loop_work *next;
};
void loop_post(struct loop *loop, struct loop_work *work);
/* Takes it back if it has not run yet; before its memory is freed. The loop's thread. */
void loop_unpost(struct loop *loop, struct loop_work *work);

/*
 * A library that keeps its own set of descriptors (libslirp). prepare says
 * before each wait what it waits for, with loop_source_poll(), and may lower
 * *timeout_ms (-1: none); check runs after each wait and asks for each
 * descriptor with the index that loop_source_poll() gave. Added and removed on
 * the loop's thread, or before loop_run().
 */
struct loop_source {
	void (*prepare)(void *ctx, struct loop *loop, uint32_t *timeout_ms);
	void (*check)(void *ctx, struct loop *loop, bool failed);
	void *ctx;
	struct loop_source *next; /* the loop's */
};
void loop_source_add(struct loop *loop, struct loop_source *source);
void loop_source_remove(struct loop *loop, struct loop_source *source);
int loop_source_poll(struct loop *loop, int fd, short events); /* index, or -1 */
short loop_source_revents(struct loop *loop, int index);

#endif
