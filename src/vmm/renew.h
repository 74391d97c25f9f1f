/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that has become another than the one that it goes on from: it is told by a new generation ID, its network
 * devices have other addresses for drivers that start, and their links go down until the guest has seen that, and up.
 */
#ifndef DACH_VMM_RENEW_H
#define DACH_VMM_RENEW_H

#include "base/loop.h"
#include "machine/machine.h"
#include "vmm/devices.h"

/* Starts zeroed. */
struct renewal {
	struct loop_timer timer;
	struct nic *nic[LIMIT_NETWORKS];
	uint64_t patience, up_at;
};

/* After the state was loaded, before the machine runs. The loop's thread. */
void renew(struct renewal *renewal, struct machine *machine, struct devices *devices);
/* The device goes: nothing is done with its link any more. The loop's thread. */
void renew_forget(struct renewal *renewal, const struct nic *nic);
/* Before the devices go. */
void renew_stop(struct renewal *renewal);

#endif
