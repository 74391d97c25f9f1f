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
/* The guest is forgotten. Where there is nothing of it, nothing happens. */
void guest_nvram_forget(const struct guest *guest);

#endif
