/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device (virtio 1.2, 5.2): one queue, requests passed on to an image
 * and finished in whatever order they end. What the guest was told is stable is
 * on the disk: a flush is answered after the image's flush; for a driver that
 * knows no flush, so is each write.
 */
#ifndef DACH_VIRTIO_BLK_H
#define DACH_VIRTIO_BLK_H

#include "base/error.h"
#include "block/block.h"
#include "machine/memory.h"

struct pci_bus;
struct virtio_blk;

/*
 * No vCPU runs: before the machine starts, or while it is paused. The image stays the caller's and
 * outlives the device. serial: up to 20 bytes that the guest reads as the disk's identity.
 */
int virtio_blk_create(struct pci_bus *bus, struct memory *memory, struct block_device *image,
	const char *serial, struct virtio_blk **blk, struct error *err);
/* The image has another size, which the guest is told. Any thread but the image's. */
void virtio_blk_resized(struct virtio_blk *blk);
/* The PCI slot that it is in. */
unsigned virtio_blk_slot(struct virtio_blk *blk);
/*
 * The image goes, and the guest has not given the device up: waits for what is under way; all that the guest asks from
 * then on is an error, but that it can reset it and let go of it. Any thread but the image's.
 */
void virtio_blk_lose(struct virtio_blk *blk);
/* Takes it off the bus, so that virtio_blk_destroy() needs no pause. No vCPU runs. */
void virtio_blk_unplug(struct virtio_blk *blk);
/*
 * No vCPU runs; before guest memory goes: waits for what is under way. NULL is allowed.
 */
void virtio_blk_destroy(struct virtio_blk *blk);

#endif
