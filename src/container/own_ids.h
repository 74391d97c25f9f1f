/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IDs of an ordinary user's containers: his own, which is root's there, and those that the host lets him have beside it
 * (subuid(5), subgid(5)), as newuidmap(1) and newgidmap(1) give them. All his containers share them.
 */
#ifndef DACH_CONTAINER_OWN_IDS_H
#define DACH_CONTAINER_OWN_IDS_H

#include "base/error.h"

/*
 * This process, which has no threads, goes into a user namespace of its own in which it is root, and, more, into others that
 * belong to that one (CLONE_NEW...). -EPERM, -ENOENT: the host does not let the user, with what it wants.
 */
int own_ids_enter(int more, struct error *err);

#endif
