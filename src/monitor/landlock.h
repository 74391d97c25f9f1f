/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock (Linux Documentation/userspace-api/landlock.rst): what this thread, and those that it starts
 * from then on, can reach by name. As much of it as the running kernel has.
 */
#ifndef DACH_MONITOR_LANDLOCK_H
#define DACH_MONITOR_LANDLOCK_H

#include <stdbool.h>

/* What stays within reach. */
struct landlock_wants {
	const char *names; /* resolv.conf, or its folder, to read; NULL: no network either */
	bool signals;      /* processes outside can be sent signals */
};

/* True: it holds. PR_SET_NO_NEW_PRIVS is set either way. */
bool landlock_restrict(const struct landlock_wants *wants);
/*
 * Nothing but what is in a folder, an open one, and there neither devices are made nor programs run; or nothing is
 * written either. False also for a kernel (before 5.19) whose Landlock could not let files go from one folder to another.
 */
bool landlock_restrict_to(int folder, bool read_only);

#endif
