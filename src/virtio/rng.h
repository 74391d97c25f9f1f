/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device (virtio 1.2, 5.4): the host kernel's random bytes. */
#ifndef DACH_VIRTIO_RNG_H
#define DACH_VIRTIO_RNG_H

#include "base/error.h"
#include "machine/memory.h"

struct pci_bus;
struct virtio_rng;

/* No vCPU runs: before the machine starts, or while it is paused. */
int virtio_rng_create(struct pci_bus *bus, struct memory *memory, struct virtio_rng **rng,
	struct error *err);
/* The PCI slot that it is in. */
unsigned virtio_rng_slot(struct virtio_rng *rng);
/* No vCPU runs. NULL is allowed. */
void virtio_rng_destroy(struct virtio_rng *rng);

#endif
