/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New images for the tops of a guest's disks (block/layer.h), as they come with requests "disk-file", and how
 * they are all put in one moment, by the request "disk-layer" or by whatever else has a moment.
 */
#ifndef DACH_VMM_LAYERS_H
#define DACH_VMM_LAYERS_H

#include "monitor/monitor.h"
#include "protocol/disk.h"
#include "vmm/devices.h"

/* ns that the guest's requests wait at most. */
#define LAYERS_HOLD (10ull * 1000000000)

struct block_layer;

/* Starts zeroed, which is none. */
struct layers {
	struct disk_file file[LIMIT_DISKS];     /* of each disk; without a name: none */
	struct block_layer *layer[LIMIT_DISKS]; /* those that are open, in a row */
	unsigned count;                         /* of them */
	bool held;
	uint64_t since; /* clock_now() when it began */
};

/* The loop's thread: keeps the file that came with the request; fd is taken. */
int layers_take(struct layers *layers, const struct devices *devices,
	const struct monitor_request *request, int fd, struct error *err);
/* Its files go to another, empty one. -EINVAL: there are not that many; they are closed. */
int layers_move(struct layers *layers, unsigned count, struct layers *to, struct error *err);

/* Has it any? */
bool layers_any(const struct layers *layers);

/*
 * Any thread but a disk's; as block/layer.h has them. Whatever fails, layers_close() afterwards; that also releases
 * what is held. hold() waits for requests to end, so what waits for them in the machine has to do so before.
 */
int layers_open(struct layers *layers, const struct devices *devices, struct error *err);
int layers_hold(struct layers *layers, struct error *err);
void layers_put(struct layers *layers);
void layers_close(struct layers *layers);

/* The request "disk-layer", as guest_ops.request. */
struct vmm;
int layers_request(struct vmm *vmm, const struct control_asker *asker, unsigned count,
	struct error *err);

#endif
