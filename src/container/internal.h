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

/* Of an ordinary user's daemon: the keeper is root among his IDs alone (own_ids.h), which the container has as they are there. */
static inline bool users_own(const struct launch_spec *spec)
{
	return !spec->ids && !spec->container.privileged;
}

/* line.c: the container's network cards, which another process serves that lives as long as this one: *pid, 0 where there are none. */
#define LINE_NAME "line%u" /* of each in this process's network namespace */
int lines_begin(const struct launch_spec *spec, pid_t *pid, struct error *err);

#define LINK_THERE "eth%u" /* and in the container */

/* come.c: what comes to a container that runs, and goes; each in a child of the keeper's. */
/* A link of this host's is its eth and number from now on. */
int come_link(struct lxc_container *container, const char *name, unsigned number,
	struct error *err);
/* A folder is at that path there; and what is mounted there is no longer, -EINVAL: nothing is. */
int come_folder(struct lxc_container *container, const struct launch_spec *spec, int folder,
	const char *path, bool read_only, struct error *err);
int go_folder(struct lxc_container *container, const char *path, struct error *err);

/* attach.c: in a child: a command's caller is at the other end of caller; program: dach-agent. Does not return. */
_Noreturn void attach_caller(struct lxc_container *container, int program, int caller, int log);
/* Tells him in the frames that he waits for. */
void attach_refuse(int caller, const char *why);

/* seal.c: a copy in memory that cannot be changed; a descriptor or a negative errno. */
int seal_copy(int fd);
/* Starts this program anew from such a copy; returns only if that fails, with a negative errno. */
int seal_ourselves(char *const argv[]);

/* stop.c: the signal by which this init, a process of that number here, shuts its system down; 0: it has ended. */
int stop_signal(pid_t init);

#endif
