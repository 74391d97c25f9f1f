/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's parts. */
#ifndef DACH_CONTAINER_INTERNAL_H
#define DACH_CONTAINER_INTERNAL_H

#include <lxc/lxccontainer.h>
#include <stdbool.h>

#include "container/keeper.h"

/* lxc.c: the container as liblxc is to make it; *log: a file in memory in which liblxc says what goes wrong. */
int lxc_make(const struct launch_spec *spec, const char *console, struct lxc_container **container,
	int *log, struct error *err);
/* The first thing in the log, which is the deepest, into err; code as for error_set(). */
int lxc_say(int log, int code, const char *what, struct error *err);

/* attach.c: in a child: a command's caller is at the other end of caller; program: dach-agent. Does not return. */
_Noreturn void attach_caller(struct lxc_container *container, int program, int caller, int log);
/* Tells him in the frames that he waits for. */
void attach_refuse(int caller, const char *why);

/* keeper.c: the kernel, out of memory, is to end others first; what runs in the container is not to be spared so. */
void keeper_spare(bool spare);

/* seal.c: a copy in memory that cannot be changed; a descriptor or a negative errno. */
int seal_copy(int fd);
/* Starts this program anew from such a copy; returns only if that fails, with a negative errno. */
int seal_ourselves(char *const argv[]);

/* stop.c: the signal by which this init, a process of that number here, shuts its system down; 0: it has ended. */
int stop_signal(pid_t init);

#endif
