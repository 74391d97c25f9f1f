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
/*
 * Calls each for every group below, however deep it is, and then for the group itself; folder is the group's, the
 * walk's to close. Those below that are empty then are taken away. -EBUSY: there are so many that it takes another call.
 */
int cgroup_tree_each(const char *path, void (*each)(void *ctx, int folder), void *ctx);

#endif
