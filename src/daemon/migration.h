/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that moves to another host or comes from one (op_migrate.c): what its life has to know of that. */
#ifndef DACH_DAEMON_MIGRATION_H
#define DACH_DAEMON_MIGRATION_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct domain_disk;
struct end_report;
struct guest;
struct operation;

/* What of leaving is the same to whichever host: see migrate_peer.h. */

/* A pair of sockets for monitors. */
int migration_open_line(int ends[2], struct error *err);
/* Whether it may be sent away now. */
int migration_check_leave(const struct guest *guest, struct error *err);
/* -EBUSY: it is not what that host was told any more. */
int migration_changed(const char *host, struct error *err);
/* The guest of the operation, if it may; NULL: it was refused. */
struct guest *migration_guest(struct operation *op);
/* What it leaves by, taken; -1: nothing. */
void migration_set_line(struct guest *guest, int fd);
/* It leaves by that; ends the operation. */
void migration_depart(struct operation *op, struct guest *guest);

/*
 * launch.c: its folder is there, its monitor not yet. What it brings has its files then, by its owner; what is there already is
 * refused. Nothing happens to one that does not come from elsewhere, here and in the next.
 */
int migration_begin(struct guest *guest, struct error *err);
/* It was never started: nothing that migration_begin() has made is left, in this daemon or one before it. */
void migration_not_begun(struct guest *guest);
/* It is not here yet: its monitor answers when it is, and that may take long. */
bool migration_awaits(const struct guest *guest);
/* Its monitor answers, so it is here: one that has come becomes what it was there. */
void migration_settle(struct guest *guest);
/* It runs here because somebody says so: whatever became of its migration, it is here. */
void migration_forget(const struct guest *guest);
/*
 * launch_last_words(): its monitor has gone, with the reason that is set; said: its own word, NULL if it left none. No other life
 * follows for one that never was here, nor, without the monitor's word, for one that may run elsewhere.
 */
void migration_ended(struct guest *guest, const struct end_report *said);

/* That it comes, and what was made for it. */
int migration_note(const struct guest *guest, struct error *err);

/* migration_disks.c: the new files (guest->disk_sizes), each in the note before there is anything in it. */
int migration_make_disks(struct guest *guest, struct error *err);
bool migration_brings(const struct guest *guest, const struct domain_disk *disk);
/* It never ran here: files that were made for it, where their names are still theirs. */
void migration_remove_disks(const struct guest *guest, const json_t *made);

#endif
