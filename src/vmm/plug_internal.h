/* SPDX-License-Identifier: Apache-2.0 */
/* What disks and networks that come and go have in common: for plug.c, plug_disk.c and plug_net.c. */
#ifndef DACH_VMM_PLUG_INTERNAL_H
#define DACH_VMM_PLUG_INTERNAL_H

#include "vmm/plug.h"

struct nest;

struct plugged_kind {
	const char *name;
	unsigned (*slot)(void *device);
	/* It leaves the bus. The loop's thread, and the machine is paused. */
	void (*unplug)(void *device);
	/* It is not among the guest's devices any more. The loop's thread. */
	void (*forget)(struct vmm *vmm, const struct plugged *device);
	/* It is off the bus: frees it, and closes what is behind it. A job's thread. */
	void (*close)(struct vmm *vmm, const struct plugged *device);
	/* Or, of one that the guest has not given up: what is behind it is closed; a job's thread. */
	void (*lose)(struct vmm *vmm, const struct plugged *device);
	/* And that one, when it is off the bus or the machine has ended. The loop's thread. */
	void (*free)(struct vmm *vmm, const struct plugged *device);
};

/* Whether devices may get other numbers now. The loop's thread. */
bool plug_stands_still(struct vmm *vmm);
/* Tells the machine where its devices are by now: devices_tell_places(). The loop's thread. */
void plug_tell_places(struct vmm *vmm);
/* run(ctx) within the walls of a kind; nest NULL: there are none. */
int plug_call(struct nest *nest, int (*run)(void *ctx), void *ctx);
/* The guest is asked to give the device up: a job, with the request's seconds and force. */
int plug_detach(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, const struct plugged *device, struct error *err);
void plug_close_files(struct disk_spec *spec);

/* plug_cd.c, on the loop's thread: may a CD be put into a drive? */
struct bay;
struct block_device;
int plug_cd_may_come(const struct vmm *vmm, const struct bay *bay, const struct disk_spec *spec,
	struct error *err);
/* It is the guest's disk n, and in the drive. As devices_insert_disk(). */
void plug_cd_insert(struct vmm *vmm, const struct bay *bay, unsigned n, struct disk_spec *spec,
	struct block_device *image);
/* The guest's disk of the request is taken out of its drive: a job, as of plug_detach(). */
int plug_cd_eject(struct vmm *vmm, const struct control_asker *asker,
	const struct monitor_request *request, const struct bay *bay, struct error *err);

#endif
