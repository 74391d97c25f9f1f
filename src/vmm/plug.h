/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks that come and go while the guest runs (machine/pci/plug.h tells it): the requests "disk-open",
 * "disk-attach" and "disk-detach", as guest_ops.request.
 *
 * A disk that is taken by force leaves its device behind, without a disk: what the guest asks of it is an error, and
 * it goes when the guest lets go of it. Until then the guest is not saved.
 */
#ifndef DACH_VMM_PLUG_H
#define DACH_VMM_PLUG_H

#include "base/loop.h"
#include "monitor/monitor.h"
#include "protocol/disk.h"

#define PLUG_LOST_MAX 16

struct detaching;
struct virtio_blk;
struct vmm;

/* The loop's thread, but what says otherwise. */
struct plugging {
	struct nest *nest;     /* where disks' threads start; NULL: anywhere */
	struct disk_spec next; /* the files that have come */
	struct virtio_blk *lost[PLUG_LOST_MAX];
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
struct block_device;
bool plug_takes(const struct vmm *vmm, const struct block_device *disk);

/* fd is taken. */
int plug_open_request(struct vmm *vmm, const struct monitor_request *request, int fd,
	struct error *err);
int plug_attach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);
int plug_detach_request(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, struct error *err);

#endif
