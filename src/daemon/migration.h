/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that moves to another host or comes from one (op_migrate.c): what its life has to know of that. */
#ifndef DACH_DAEMON_MIGRATION_H
#define DACH_DAEMON_MIGRATION_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct domain_disk;
struct guest;

/* Its folder is there, its monitor not yet. Nothing happens to one that does not come from elsewhere. */
int migration_note(const struct guest *guest, struct error *err);
/* It is not here yet: its monitor answers when it is, and that may take long. */
bool migration_awaits(const struct guest *guest);
/* Its monitor answers, so it is here: one that has come becomes what it was there. */
void migration_settle(struct guest *guest);
/* It runs here because somebody says so: whatever became of its migration, it is here. */
void migration_forget(const struct guest *guest);
/*
 * launch_last_words(): its monitor has gone, with the reason that is set. No other life follows for one that never was here,
 * nor, without the monitor's word, for one that may run elsewhere.
 */
void migration_ended(struct guest *guest);

/*
 * migration_disks.c: new files for disks whose contents come with the guest, by its owner. sizes: bytes by vdev, as a client
 * sent them; NULL: none come. What is there already is refused; on failure nothing of it is left.
 */
int migration_make_disks(struct guest *guest, const json_t *sizes, struct error *err);
bool migration_brings(const struct guest *guest, const struct domain_disk *disk);
/* It does not come: files that were made for it, by their names. */
void migration_remove_disks(const struct guest *guest, const json_t *paths);

#endif
