/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces of a monitor's own (namespaces(7)): mounts, IPC, host name, control groups; network, unless it
 * uses the host's sockets; users, if it is not root, since the system wants one for the others. As root it
 * gets none: it becomes a user without capabilities, of whom a user namespace would only make one who may
 * ask the kernel for more.
 *
 * No process namespace: threads cannot begin after one has been left, and what a process can do to others
 * by their numbers (kill, ptrace, /proc) is out of its reach by its list of system calls and its root.
 */
#ifndef DACH_MONITOR_SPACES_H
#define DACH_MONITOR_SPACES_H

#include <stdbool.h>

#include "monitor/names.h"

/*
 * Leaves the host's; the root is empty and read-only then, but with network: it has /etc/resolv.conf, kept by
 * names, which has begun. Before there is any other thread. False: not all of it could be done, and what
 * could is.
 */
bool spaces_leave(bool network, const struct names_process *names);
/*
 * Leaves all of them, with a folder of the host's as the root, and what is mounted beneath: nothing there is a device or
 * has set-user-ID bits, and read_only can be written to. Before there is any other thread. False: as above.
 */
bool spaces_enter(int folder, bool read_only);
/*
 * Leaves the host's mounts (and users, as above) only to have such an /etc in place of the host's. What the
 * user namespace gives besides is the caller's to give up, also after false.
 */
bool spaces_hide_etc(const struct names_process *names);

#endif
