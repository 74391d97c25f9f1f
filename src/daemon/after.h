/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a guest's end: on_poweroff, on_reboot, on_crash. Each may free the guest. */
#ifndef DACH_DAEMON_AFTER_H
#define DACH_DAEMON_AFTER_H

#include "daemon/guest.h"

/* Its monitor has gone; reason, text and ended are set. told: the end was told before (held). */
void after_end(struct guest *guest, bool told);
/* It has ended and its monitor stays, for a core file or a look. */
void after_held(struct guest *guest, enum end_reason reason);
/* Starts it anew; later if the host has no room, not at all for other reasons. */
void after_restart(struct guest *guest);
/* It ran when the host went down. */
void after_host_boot(struct guest *guest);
/* Takes it out of the store and the list, and tells. */
int after_remove(struct guest *guest, struct error *err);

#endif
