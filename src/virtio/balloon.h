/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory balloon (virtio 1.2, 5.5): the guest gives pages up until it uses no
 * more than its target; their memory goes back to the host at once. It is asked,
 * not forced: a guest without a driver keeps what it has. With its statistics.
 *
 * A guest's word is taken for its own numbers only: which pages it gives up is
 * checked, how many it says to hold is cut to what there is.
 */
#ifndef DACH_VIRTIO_BALLOON_H
#define DACH_VIRTIO_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/memory.h"

struct pci_bus;
struct virtio_balloon;

#define VIRTIO_BALLOON_PAGE 4096u

/* What a guest says of its memory (5.5.6.4), by tag. */
enum {
	BALLOON_SWAP_IN,
	BALLOON_SWAP_OUT,
	BALLOON_MAJOR_FAULTS,
	BALLOON_MINOR_FAULTS,
	BALLOON_FREE,
	BALLOON_TOTAL,
	BALLOON_AVAILABLE,
	BALLOON_CACHES,
	BALLOON_STATS,
};

struct virtio_balloon_info {
	bool driver;            /* the guest has one */
	uint64_t pages, target; /* given up, and to be given up: VIRTIO_BALLOON_PAGE bytes each */
	uint64_t known;         /* bits, 1 << BALLOON_...: which of the next were told */
	uint64_t stat[BALLOON_STATS]; /* bytes; faults are counts */
};

/*
 * No vCPU runs: before the machine starts, or while it is paused. The target is target_pages at
 * first. changed (or NULL) tells that the guest has come to its target; on a vCPU's thread with the
 * device's lock held.
 */
int virtio_balloon_create(struct pci_bus *bus, struct memory *memory, uint64_t target_pages,
	void (*changed)(void *ctx), void *ctx, struct virtio_balloon **balloon, struct error *err);
/* The PCI slot that it is in. */
unsigned virtio_balloon_slot(struct virtio_balloon *balloon);
/* No vCPU runs. NULL is allowed. */
void virtio_balloon_destroy(struct virtio_balloon *balloon);

/* How many pages the guest is to give up; more than it has are all. Any thread. */
void virtio_balloon_set(struct virtio_balloon *balloon, uint64_t pages);
/* What is known now; asks the guest for fresh statistics, for the next time. Any thread. */
void virtio_balloon_info(struct virtio_balloon *balloon, struct virtio_balloon_info *info);

#endif
