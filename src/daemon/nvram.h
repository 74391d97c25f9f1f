/* SPDX-License-Identifier: Apache-2.0 */
/* What the UEFI of a guest keeps (protocol/nvram.h): STATE/nvram/UUID, for as long as the guest is known. */
#ifndef DACH_DAEMON_NVRAM_H
#define DACH_DAEMON_NVRAM_H

#include "base/error.h"
#include "protocol/launch.h"

struct guest;

/* Opens it, for a launch description; made of `template` if it is not there yet. */
int guest_nvram_open(const struct guest *guest, const char *template, struct launch_file *nvram,
	struct error *err);
/* The same of what its monitor has open, which another is to have, and with it the lock: a copy of fd. */
int guest_nvram_pass(const struct guest *guest, int fd, struct launch_file *nvram,
	struct error *err);
/* Whether it is the guest's file that is open there. */
bool guest_nvram_is(const struct guest *guest, int fd);
/* The guest is forgotten. Where there is nothing of it, nothing happens. */
void guest_nvram_forget(const struct guest *guest);

#endif
