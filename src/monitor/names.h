/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's name servers for a monitor that does not see the host's files: a folder /etc of its own, with
 * nothing in it but resolv.conf, and a small process outside that puts the host's there whenever it has
 * changed, however that was done: written to, replaced, a link that leads elsewhere now. All that the process
 * ever hears is that the monitor has ended; then it ends too.
 */
#ifndef DACH_MONITOR_NAMES_H
#define DACH_MONITOR_NAMES_H

#include <stdbool.h>
#include <sys/types.h>

#define NAMES_FOLDER "/etc"
#define NAMES_FILE "resolv.conf"
#define NAMES_MAX (64u << 10) /* bytes of it */

struct names_process {
	int socket; /* the process lives for as long as this is open; -1: there is none */
	uid_t uid;  /* whose process it becomes, if it is root's */
	gid_t gid;
};

/* Starts the process, which waits. While the host's files are in sight, before there is any other thread. */
bool names_begin(struct names_process *names, uid_t uid, gid_t gid);
/*
 * It puts the file into this folder, of a file system in memory, where it may write; when this returns it
 * has done so for the first time. It can go on by the mount that the folder is found by now, however that
 * is covered or made read-only elsewhere.
 */
bool names_follow(const struct names_process *names, const char *folder);
/* It ends; nothing happens if it was never started. */
void names_end(struct names_process *names);

#endif
