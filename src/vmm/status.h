/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last words of a daemon's monitor, for whoever comes to look after it has gone: the file that
 * its configuration calls "status", empty while the guest lives, then one line
 *
 *   {"reason": "crash", "error": "the guest crashed", "status": 3}
 *
 * reason: poweroff, reboot, crash, killed (ended from outside), or error (it never started, or the
 * engine failed); error: a sentence, with crash and error; status: the exit status. A monitor that
 * was killed or crashed itself leaves the file empty, and its lock free.
 */
#ifndef DACH_VMM_STATUS_H
#define DACH_VMM_STATUS_H

#include "vmm/vmm.h"

const char *status_reason(enum vmm_end end);
/* fd -1: nothing. One write, so that nobody reads a half. */
void status_write(int fd, enum vmm_end end, const struct error *err);

#endif
