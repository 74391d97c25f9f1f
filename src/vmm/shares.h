/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders of the host's that the guest has as file systems: for each a device (virtio/fs.h), and a process of our user, or
 * of the guest's owner, that serves it (share/server.h) and has nothing but the folder.
 */
#ifndef DACH_VMM_SHARES_H
#define DACH_VMM_SHARES_H

#include "base/error.h"
#include "machine/machine.h"
#include "monitor/monitor.h"
#include "vmm/calls.h"
#include "vmm/config.h"

struct shares;

/*
 * Starts the processes: before there is any other thread, and while we are who we were started as. Descriptors of folders that were
 * given are closed. *shares is NULL where there are none.
 */
int shares_open(const struct vmm_config *config, struct guest_monitor *monitor,
	struct shares **shares, struct error *err);
/* What they need of the list of calls. */
void shares_needs(const struct shares *shares, struct vmm_needs *needs);
/* Puts the devices on the bus. No vCPU runs. */
int shares_create(struct shares *shares, struct machine *machine, struct error *err);
/* No vCPU runs. Ends the processes, and waits until they are gone. NULL is allowed. */
void shares_destroy(struct shares *shares);

#endif
