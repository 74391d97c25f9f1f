/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that goes on in a new monitor on this host, of the program as it is now, without a start: the two monitors do it
 * as in a migration (doc/migration.md), but share memory, taps and ports of switches. It is the same life: its domain ID, its
 * folder, its control group and its taps stay.
 *
 * RUN/guests/UUID/updating is there from before the new monitor is started until it is known whose the guest is, which may
 * be as long as that life lasts. The new
 * one's files are NAME.next meanwhile. The guest is the new one's exactly if that has answered "info", which it does when
 * the guest runs there; else it is the old one's, if that is still there; else it has ended.
 */
#ifndef DACH_DAEMON_LIVE_UPDATE_H
#define DACH_DAEMON_LIVE_UPDATE_H

#include <stdbool.h>

struct guest;

/* Its monitor has ended or is about to, and another may take the guest over: wait, and ask again. */
bool live_update_may_come(const struct guest *guest);
/* After the daemon's own start, before the guest's monitor is looked for. */
void live_update_recover(struct guest *guest);
/* Its monitor answers, and no other is on its way. */
void live_update_settle(const struct guest *guest);
/* launch_last_words(): its monitor has gone, with the reason that is set, and no other has come. */
void live_update_ended(struct guest *guest);
/* Nothing more is heard of it; processes go on. */
void live_update_free(struct guest *guest);

#endif
