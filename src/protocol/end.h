/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a guest ended: one table of reasons for all who ask, and the last words of a monitor, for whoever
 * comes to look after it has gone. They stand in the file that the launch description calls "status",
 * empty while the guest lives, as one line
 *
 *   {"reason": "crash", "error": "the guest crashed", "status": 3}
 *
 * error: a sentence, with crash and error; status: the monitor's exit status. A monitor that was killed
 * or crashed itself leaves the file empty, and its lock free.
 */
#ifndef DACH_PROTOCOL_END_H
#define DACH_PROTOCOL_END_H

#include <stddef.h>

#include "base/error.h"

/* Which of its on_... says what follows. */
enum end_event {
	END_ON_NOTHING, /* none: it is destroyed, which for a managed guest means that it is off */
	END_ON_POWEROFF,
	END_ON_REBOOT,
	END_ON_CRASH,
	END_ON_WATCHDOG,
};

/*
 * Each reason with its word (in the status file, in events, in the API, in the store), the exit status
 * of its monitor (of `dach run`, too), the letter and the number that xl has for it (-1: for xl it was
 * destroyed), and what decides on what follows.
 *
 *   SAVED     its state is in a file: here it is no more
 *   MIGRATED  it goes on in another monitor, and here it is no more
 *   CRASH     triple fault or kernel panic; also where a monitor left no word
 *   ERROR     the engine failed, or it never started (whose exit status is END_STATUS_SETUP)
 *   WATCHDOG  it did not say in time that it is alive (no monitor tells this yet)
 *   KILLED    somebody ended it from outside
 */
#define END_TABLE(X)                                 \
	X(POWEROFF, "poweroff", 0, '-', 0, POWEROFF) \
	X(REBOOT, "reboot", 5, 'r', 1, REBOOT)       \
	X(SAVED, "saved", 6, 's', 2, NOTHING)        \
	X(CRASH, "crash", 3, 'c', 3, CRASH)          \
	X(ERROR, "error", 4, 'c', 3, CRASH)          \
	X(WATCHDOG, "watchdog", 7, 'w', 4, WATCHDOG) \
	X(KILLED, "killed", 2, '-', -1, NOTHING)     \
	X(MIGRATED, "migrated", 8, 's', 2, NOTHING)

#define END_ENUM(name, word, status, letter, code, event) END_##name,
enum end_reason { END_NONE, /* it has not ended */ END_TABLE(END_ENUM) END_REASONS };
#undef END_ENUM

#define END_STATUS_SETUP 1     /* it never started; the reason is ERROR */
#define END_STATUS_TIMEOUT 124 /* `dach run --timeout` ended it; the reason is KILLED */
#define END_STATUS_COMMAND \
	125 /* a guest that is there for a command ended without that command's own status */
#define END_STATUS_TEST 100 /* and more: this plus what a test wrote to its way out (modulo 128) */

/* At these ends it can stay, paused, for a look or a core file: bits 1 << END_... */
#define END_PRESERVABLE (1u << END_POWEROFF | 1u << END_REBOOT | 1u << END_CRASH)

struct end_info {
	const char *word;
	int status;
	char letter;
	int code;
	enum end_event event;
};

/* Of END_NONE the word is "". */
const struct end_info *end_info(enum end_reason reason);
const char *end_word(enum end_reason reason);
/* END_NONE: it is no such word, or NULL. */
enum end_reason end_find(const char *word);
/* By reason, for tables of fields. */
extern const char *const end_words[];

#define END_REPORT_MAX 4096 /* bytes of the line, with the newline */

struct end_report {
	enum end_reason reason;
	int status;
	struct error error; /* may be empty */
};

/* The line, the caller's to free(); NULL: out of memory. */
char *end_report_write(const struct end_report *report);
/* Whatever it is that the text holds. -EINVAL: it tells no reason. */
int end_report_read(const char *text, size_t len, struct end_report *report);

#endif
