/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on our standard input and output. If the input is a
 * terminal, it is in raw mode from terminal_start() to terminal_stop(), and
 * Ctrl+] leaves; its end is that of the terminal. Other input goes to the guest
 * byte for byte; its end means nothing but that no more comes. When the guest
 * has said nothing for a while after the start, a line on standard error says
 * so. Or its output goes into a file, and nothing is read.
 */
#ifndef DACH_MONITOR_TERMINAL_H
#define DACH_MONITOR_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "base/loop.h"
#include "monitor/output.h"

struct terminal {
	struct loop *loop;
	struct loop_fd input;
	struct loop_work more; /* the guest has room again */
	struct loop_timer silence;
	const char *hint; /* when it is silent, what to look at */
	bool spoken;      /* the guest has; atomic */
	bool watching, raw;
	bool unwritten; /* some of the output: output_finish() */
	bool plain;     /* a terminal stays as it is, and its lines are only bytes */
	bool left;      /* by Ctrl+] */
	int guard;      /* tells the guard that all is well; -1: there is none */
	int file;       /* instead of standard output and input; -1: none */
	bool tty;       /* the output is one */
	struct output_queue *output;
	struct termios saved;
	uint8_t buf[16384]; /* read, not yet taken by the guest */
	size_t start, end;
	/* Gives input to the guest, returns how much it took. */
	size_t (*send)(void *ctx, const uint8_t *data, size_t len);
	void (*leave)(void *ctx); /* Ctrl+] */
	void (*gone)(void *ctx);  /* the terminal went away */
	void (*over)(void *ctx);  /* no more comes, from what is no terminal; NULL: nobody asks */
	void *ctx;
};

/*
 * If standard input is a terminal, starts a small process that puts it back in order should ours
 * end without having done so, killed or crashed. Returns what terminal_init() takes. Before there
 * is anything that a fork would copy.
 */
int terminal_guard(void);
/* Tells it that the terminal is in order, and lets it go. -1 is allowed. */
void terminal_release(int guard);

/*
 * All on the loop's thread but what says otherwise. ctx goes to send, leave and gone. file: what the guest
 * says goes there; -1: to standard output. It is the terminal's from then on.
 */
int terminal_init(struct terminal *terminal, int guard, struct loop *loop,
	size_t (*send)(void *ctx, const uint8_t *data, size_t len), void (*leave)(void *ctx),
	void (*gone)(void *ctx), void *ctx, int file, struct error *err);
/* Within the sandbox. */
int terminal_start(struct terminal *terminal, struct error *err);
/* How large the terminal is; false: there is none, or it does not know. */
bool terminal_size(const struct terminal *terminal, unsigned *columns, unsigned *rows);
/* A guest that starts has something to say: if it has not in TERMINAL_SILENCE seconds, that is
 * told with the hint, which outlives it. */
#define TERMINAL_SILENCE 30u
void terminal_expect(struct terminal *terminal, const char *hint);
/*
 * Waits until the output is read: output_finish() with patient says how; and puts the terminal back as
 * it was. Again does nothing.
 */
void terminal_stop(struct terminal *terminal, bool patient, int cancel);

/* What the guest says. Any thread. */
void terminal_output(struct terminal *terminal, const uint8_t *data, size_t len);
/* The guest may take input again. Any thread. */
void terminal_room(struct terminal *terminal);

#endif
