/* SPDX-License-Identifier: Apache-2.0 */
/* What of the host a guest's monitor may use: its control group, named by the guest's UUID. */
#ifndef DACH_DAEMON_RESOURCES_H
#define DACH_DAEMON_RESOURCES_H

#include "daemon/guest.h"

/* Where the host offers none, guests go without; the log says so. */
void resources_open(struct daemon *daemon);
void resources_close(struct daemon *daemon);
/* Puts the monitor (guest->pid) into the guest's group with all limits set. */
void resources_begin(const struct guest *guest);
/* Weight and cap have changed. */
int resources_change(const struct guest *guest, struct error *err);
/* The monitor has gone. Its group is removed, later if its process is still about to leave it. */
void resources_end(const struct guest *guest);

#endif
