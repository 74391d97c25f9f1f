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

#endif
