/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What follows a guest's end: on_poweroff, on_reboot, on_crash. Whether it begins another life is
 * answered here and done in life.c.
 */
#ifndef DACH_DAEMON_AFTER_H
#define DACH_DAEMON_AFTER_H

#include "daemon/guest.h"

/*
 * AFTER_AGAIN: it is to be started anew; AFTER_LATER: in after_pause() seconds. AFTER_NOTHING: it may
 * have been freed.
 */
enum after { AFTER_NOTHING, AFTER_AGAIN, AFTER_LATER };

/* Its monitor has gone; reason, text and ended are set. told: the end was told before (held). */
enum after after_end(struct guest *guest, bool told);
/* How long one that has crashed soon after each of its last starts is left in peace. */
unsigned after_pause(const struct guest *guest);
/* It has ended and its monitor stays, for a core file or a look. */
void after_held(struct guest *guest, enum end_reason reason);
/* It was to begin another life and cannot, for the reason in text. It may be freed by this. */
void after_failed_start(struct guest *guest, const char *text);
/* It ran when the host went down. It may be freed by this. */
void after_host_boot(struct guest *guest);
/* Takes it out of the store and the list, and tells. */
int after_remove(struct guest *guest, struct error *err);

#endif
