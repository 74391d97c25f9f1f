/* SPDX-License-Identifier: Apache-2.0 */
/* Groups below a guest's own: a container makes some, and may hide in as many as it likes. */
#ifndef DACH_HOST_CGROUP_TREE_H
#define DACH_HOST_CGROUP_TREE_H

#include <stdbool.h>

/*
 * Takes the group away with those below it. 0, also where it is not there; -EBUSY: there are processes in one, or so
 * many groups that it takes another call.
 */
int cgroup_tree_remove(const char *path);
/* Calls each for the group's path and for that of every one below it. */
void cgroup_tree_each(const char *path, void (*each)(void *ctx, const char *path), void *ctx);

#endif
