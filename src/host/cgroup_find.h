/* SPDX-License-Identifier: Apache-2.0 */
/* Where this host's control groups are, and the group in which guests' groups can be made. */
#ifndef DACH_HOST_CGROUP_FIND_H
#define DACH_HOST_CGROUP_FIND_H

#include "host/cgroup.h"

enum cgroup_versions { CGROUP_V1 = 1, CGROUP_V2 = 2 };

struct cgroup_place {
	enum cgroup_versions version;
	char *path; /* the group of all guests; NULL: the controller cannot be had */
};

/*
 * Reads proc/self/mountinfo and proc/self/cgroup and makes the group called name, for each
 * controller at the highest place where that works. Whatever fails leaves a controller out.
 */
void cgroup_find(const char *proc, const char *name, struct cgroup_place place[CGROUP_CONTROLLERS]);
/* The group of all guests again, should another daemon have ended and taken it away while it was empty. */
void cgroup_make_again(const struct cgroup_place *place);

#endif
