/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of a guest's monitor. What a monitor holds, its lock and its sockets, it can let go and run
 * on, or leave to a child and end; so whether something of it is left is asked of the kernel: its own
 * process by a descriptor (pidfd_open(2)), which no other process can take over, and its children by the
 * guest's control group. A daemon that has just come finds the process by its number and start time.
 *
 * Where the host gives no control group, of the children that left the monitor's process group only those are
 * seen that have its lock.
 */
#ifndef DACH_DAEMON_PROCESS_H
#define DACH_DAEMON_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct guest;

/* When the process began, in ticks since the host's start (proc(5), starttime); 0: there is none. */
uint64_t process_start(pid_t pid);
/*
 * guest->pid becomes pid, and guest->process.fd its descriptor if the process is there and began at start (0: a
 * child of ours that cannot have ended yet).
 */
void process_open(struct guest *guest, pid_t pid, uint64_t start);
/* Also takes it out of the loop. */
void process_close(struct guest *guest);
/* The monitor's own process has not ended. */
bool process_runs(const struct guest *guest);
/* The same of it or of any that it has begun. A control group that nothing is left in is removed. */
bool process_left(const struct guest *guest);
/* Kills all of them; returns whether there was one. Ask process_left() until they have ended. */
bool process_kill(const struct guest *guest);

#endif
