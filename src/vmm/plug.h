/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks and networks that come and go while the guest runs (machine/pci/plug.h tells it): the requests "disk-open",
 * "disk-attach", "disk-detach", "net-attach" and "net-detach", as guest_ops.request.
 *
 * What is taken by force leaves its device behind, without a disk or with a cable that leads nowhere: what the guest
 * asks of it is an error or lost, and it goes when the guest lets go of it. Until then the guest is not saved.
 */
#ifndef DACH_VMM_PLUG_H
#define DACH_VMM_PLUG_H

#include "base/loop.h"
#include "monitor/monitor.h"
#include "protocol/disk.h"

#define PLUG_LOST_MAX 16

struct detaching;
struct plugged_kind;
struct vmm;

/* A device on the bus, and the disk or the network's endpoint behind it. device NULL: none. */
struct plugged {
	const struct plugged_kind *kind;
	void *device, *back;
};

/* The loop's thread, but what says otherwise. */
struct plugging {
	struct nest *disk_nest, *net_nest; /* where their threads start; NULL: anywhere */
	struct disk_spec next;             /* the files that have come */
	struct plugged lost[PLUG_LOST_MAX];
	struct detaching *detaching; /* the one that waits for the guest; NULL: none */
	uint32_t ejected;            /* slots that the guest has let go of; atomic, any thread */
	struct loop_work work;
};

/* After the devices, while threads can still be given their walls. plug_end() follows in any case, before they go. */
int plug_begin(struct vmm *vmm, struct error *err);
void plug_end(struct vmm *vmm);
/* machine_owner.ejected, with the vmm as ctx: any thread */
void plug_ejected(void *vmm, uint32_t slots);

/* The guest has been asked to let go of it, so nothing is begun with it. */
bool plug_takes(const struct vmm *vmm, const void *back);

/* fd is taken. */
int plug_open_request(struct vmm *vmm, const struct monitor_request *request, int fd,
	struct error *err);
int plug_attach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);
int plug_detach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);
/* fd is taken. */
int plug_net_attach_request(struct vmm *vmm, const struct monitor_request *request, int fd,
	struct error *err);
int plug_net_detach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);
int plug_net_forward_request(struct vmm *vmm, const struct monitor_request *request,
	struct error *err);

#endif
