/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that comes from another host (op_migrate.c): what its life has to know of that. */
#ifndef DACH_DAEMON_ARRIVAL_H
#define DACH_DAEMON_ARRIVAL_H

#include <stdbool.h>

#include "base/error.h"

struct guest;

/* Its folder is there, its monitor not yet. Nothing happens to one that does not come from elsewhere. */
int arrival_note(const struct guest *guest, struct error *err);
/* It is not here yet: its monitor answers when it is, and that may take long. */
bool arrival_is_awaited(const struct guest *guest);
/* Its monitor answers, so it is here, and becomes what it was there. */
void arrival_settle(struct guest *guest);
/* launch_last_words(): its monitor has gone, with the reason that is set: if it never was here, no other life follows. */
void arrival_ended(struct guest *guest);

#endif
