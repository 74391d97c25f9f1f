/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a life and its monitor's process: see life.h. */
#ifndef DACH_DAEMON_LAUNCH_H
#define DACH_DAEMON_LAUNCH_H

#include "daemon/guest.h"

/* What the lock file and the kernel tell (process.h). */
enum launch_life {
	LAUNCH_ALIVE,     /* locked, or a process of the guest's is left */
	LAUNCH_ENDED,     /* neither; this domain ID was started */
	LAUNCH_NOT_BEGUN, /* neither, and the file is not of this domain ID */
};

/* Opens what the configuration names (as the guest's owner), makes the folder, starts dach-vmm. */
int launch_start(struct guest *guest, struct error *err);
/*
 * Its next monitor, beside the one that it has (live_update.h): guest->process becomes its. Its files are there as
 * NAME.next until they take the place of the others, one after the other and the lock last.
 */
int launch_start_next(struct guest *guest, struct error *err);
int launch_take_next(const struct guest *guest, struct error *err);
void launch_remove_next(const struct guest *guest);
/* Whether it is there; guest->process becomes its, if it was nobody's. */
bool launch_look_next(struct guest *guest);
/*
 * Beside the folder, while a life is to begin from a state: a daemon that was killed meanwhile must not begin
 * it anew.
 */
int launch_mark_state(const struct guest *guest, struct error *err);
void launch_unmark_state(const struct guest *guest);
bool launch_is_marked(const struct guest *guest);
/* What is marked so of guests that the daemon does not have: they never came into the store. */
void launch_unmark_strangers(const struct daemon *daemon);
/* A file in the life's folder. */
int launch_open_file(const struct guest *guest, const char *file, int flags, int *fd,
	struct error *err);
void launch_remove_file(const struct guest *guest, const char *file);
/* Connects to the monitor's control or console socket. */
int launch_connect(struct guest *guest, const char *socket, int *fd, struct error *err);
/* Also finds the monitor's process, as the lock file tells it. */
enum launch_life launch_look(struct guest *guest);
/* What the monitor left as its last words, into reason and text. */
void launch_last_words(struct guest *guest);
/* Takes the folder away. */
void launch_remove(struct guest *guest);

#endif
