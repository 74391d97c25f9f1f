/* SPDX-License-Identifier: Apache-2.0 */
/* Our terminal while it is a guest's: in raw mode, and the signals that would end us as a descriptor. */
#ifndef DACH_CLI_RAW_H
#define DACH_CLI_RAW_H

#include <signal.h>
#include <stdbool.h>
#include <termios.h>

/* Starts all zero but signals. */
struct raw_terminal {
	int signals; /* a signalfd; -1 */
	bool on;     /* standard input is a terminal, and in raw mode */
	int guard;
	sigset_t before;
	struct termios saved;
};

/* Blocks the signals that would end us, and this one (0: none). Before raw_begin(). */
void raw_signals(struct raw_terminal *raw, int more);
/* -errno: the terminal does not go into raw mode. 0 where standard input is none. */
int raw_begin(struct raw_terminal *raw);
/* The terminal as it was; line: with a line of its own for what comes next. Signals as they were. */
void raw_end(struct raw_terminal *raw, bool line);

#endif
