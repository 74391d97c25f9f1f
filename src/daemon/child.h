/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of the daemon's that becomes another program: what it does between fork and exec, where nothing may be called but what a signal
 * handler may call. What fails ends it with status 127.
 */
#ifndef DACH_DAEMON_CHILD_H
#define DACH_DAEMON_CHILD_H

/* A session of its own, SIGCHLD as programs expect it, and no signal blocked. */
void child_begin(void);
/* fds[i] becomes its descriptor i (-1: there is none), for i below count; nothing else is open behind exec. fds is changed. */
void child_take(int *fds, unsigned count);
/* argv: as of execv(), its first word the program's name. */
_Noreturn void child_exec(const char *program, const char *const argv[]);
/* All of that, with nothing on standard input and output; fds as of child_take(), but from descriptor 3 on. */
#define CHILD_FDS_MAX 3
_Noreturn void child_become(const char *program, const char *name, const int *fds, unsigned count);

#endif
