/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's lives: each is one dach-vmm and one domain ID.
 *
 * The store says "starting" with a new domain ID before a monitor is started, so no ID is given
 * twice. The monitor holds the lock of its file RUN/guests/UUID/lock, whose content says whose it is
 * (domain ID, process, the process's start), from before it is started. A guest has ended when the lock is
 * free and no process of it is left (process.h); a new life begins only then, and only then are its disks and
 * its owner's share free. So a daemon that was killed at any point finds out what is there:
 *
 *   lock held, or a process left     it lives: connect to it
 *   free, the content is this life's it has ended while nobody looked; the status file says how
 *   free, "starting", another life's it was to be started and was not: start it now
 *
 * How a guest ended decides with on_poweroff, on_reboot and on_crash what follows.
 */
#ifndef DACH_DAEMON_LIFE_H
#define DACH_DAEMON_LIFE_H

#include "daemon/guest.h"

/*
 * Begins a new life: domain ID, files, monitor. 0: it is on its way, guest_wait() tells when it is
 * up or failed. On failure it is as it was before.
 */
int life_start(struct guest *guest, bool paused, struct error *err);
/*
 * Ends it for good, whatever it does. guest_wait() tells when it is gone; the guest may be freed by
 * this.
 */
void life_destroy(struct guest *guest);
/* Asks its monitor to end, and ends it if it does not within some seconds; then as when it ends by itself. */
void life_end_monitor(struct guest *guest);
/* After the daemon's own start: what became of it? The guest may be freed by this. */
void life_recover(struct guest *guest);
/* What its monitor has answered to "info". */
void life_keep_info(struct guest *guest, json_t *answer);
/* Its monitor's process, in guest->process, is heard of when it ends. */
void life_watch(struct guest *guest);
/*
 * The same life goes on in another monitor (live_update.h), which has answered so: guest->process is its already, and
 * guest->monitor, the former one, the caller's.
 */
void life_adopt(struct guest *guest, struct monitor *monitor, json_t *info);
/* Asks the monitor for its state; done once info is fresh, or could not be had (r). */
void life_refresh(struct guest *guest, unsigned timeout_ms,
	void (*done)(void *ctx, int r, const char *text), void *ctx);
/*
 * The same for who can do with what was known last: a monitor that hangs is waited for once, and not again
 * before it has answered.
 */
void life_glance(struct guest *guest, unsigned timeout_ms,
	void (*done)(void *ctx, int r, const char *text), void *ctx);

#endif
