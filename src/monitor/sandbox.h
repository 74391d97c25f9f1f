/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor that a guest has taken over could still do: no more than the
 * monitor itself needs. Two walls, put up while the guest is made:
 *
 * Files (Landlock, where the kernel has it): no file can be opened but
 * resolv.conf. Landlock and the loss of capabilities bind the calling thread and
 * those it starts from then on, so they come before the first of them.
 *
 * Calls (seccomp): when everything is open, all system calls but the ones that
 * calls.c and the guest's own list name with their reasons kill the process, in
 * every thread.
 *
 * A daemon's monitor has everything open from the start: it gives up its user,
 * its capabilities and all files first (sandbox_lone()), and then each kind of
 * thread gets a list of its own: a thread that is to start such threads is
 * walled in before it does (struct nest).
 */
#ifndef DACH_MONITOR_SANDBOX_H
#define DACH_MONITOR_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "monitor/calls.h"
#include "protocol/limits.h"
#include "protocol/walls.h"

/* What the list of calls depends on. */
struct sandbox {
	bool doors;     /* control and console sockets, open already */
	bool few_files; /* no file can be opened but those of sandbox_files() */
	bool names; /* resolv.conf is followed wherever it goes (names.h), else that file alone */
	/* Adds the guest's own calls for these kinds of threads; NULL: it has none. */
	void (*calls)(void *ctx, struct calls *calls, unsigned roles);
	void *ctx;
};

/*
 * None can be taken back. From now on no file opens, if the host has what that needs; network: but resolv.conf,
 * to be read, and the network stays; signals: other processes can be sent signals, as far as the list of calls
 * lets. Fills in what has come of it. Before there is any other thread, and before sandbox_privileges(): it may
 * take a namespace that gives some.
 */
void sandbox_files(struct sandbox *sandbox, bool network, bool signals);
/* No capabilities in this thread and those that it starts, nor any to be had. */
int sandbox_privileges(struct error *err);
/* roles: CALLS_ALL, or those of this thread and of those that it starts. */
int sandbox_calls(unsigned roles, const struct sandbox *sandbox, struct error *err);

/*
 * A process that needs nothing but its descriptors: its own user (if we are root; uid 0 means the one
 * made of domid: protocol/limits.h), namespaces of its own (spaces.h), no capabilities, not even in its
 * bounding set, and Landlock with nothing. *walls: those of protocol/walls.h that stand; refused
 * where one that is needed does not. Before there is any other thread.
 */
struct sandbox_lone {
	unsigned uid, gid, domid;
	bool network, signals; /* as of sandbox_files() */
	unsigned needed;       /* 1 << WALL_... */
};
int sandbox_lone(const struct sandbox_lone *lone, unsigned *walls, struct error *err);

/*
 * A process that needs one folder of the host's and nothing else: namespaces with the folder as their root, Landlock,
 * no capabilities, and, if we are root, that user. folder: open by O_PATH; taken. *root: the same, *rooted: whether it
 * is the root. What of the walls this host has not is left out. Before there is any other thread.
 */
struct sandbox_user {
	unsigned uid, gid;         /* uid 0: we stay who we are */
	gid_t group[LIMIT_GROUPS]; /* supplementary */
	unsigned groups;
};
int sandbox_folder(int folder, bool read_only, const struct sandbox_user *user, int *root,
	bool *rooted, struct error *err);

/* A process that does what that user may: it becomes him, if we are root, and has no capabilities. */
int sandbox_owner(const struct sandbox_user *user, struct error *err);

/* A thread that waits, walled in, for things to do; who it starts then is in its walls. */
struct nest;
int nest_create(unsigned roles, const struct sandbox *sandbox, struct nest **nest,
	struct error *err);
/* run() there, and its value. One call at a time. */
int nest_call(struct nest *nest, int (*run)(void *ctx), void *ctx);
/* The last one: when it has returned the thread ends and the nest is freed. */
int nest_run(struct nest *nest, int (*run)(void *ctx), void *ctx);
/* Ends and frees it. NULL is allowed. */
void nest_destroy(struct nest *nest);

#endif
