/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tablet (virtio 1.2, 5.8, an input device): a pointer that is where it is told to be, with three buttons and a
 * wheel, so that a viewer's pointer and the guest's are in one place. What a guest has no buffers for is not
 * kept, but where the pointer is and what is pressed by then.
 */
#ifndef DACH_VIRTIO_TABLET_H
#define DACH_VIRTIO_TABLET_H

#include <stdbool.h>

#include "base/error.h"
#include "machine/memory.h"

struct pci_bus;
struct virtio_tablet;

#define VIRTIO_TABLET_MAX 32767 /* the right and the lower edge */

struct virtio_tablet_state {
	unsigned x, y;    /* 0 to VIRTIO_TABLET_MAX */
	unsigned buttons; /* 1 left, 2 right, 4 middle */
	int wheel;        /* steps towards the user since the last call */
};

/* No vCPU runs: before the machine starts, or while it is paused. */
int virtio_tablet_create(struct pci_bus *bus, struct memory *memory, struct virtio_tablet **tablet,
	struct error *err);
unsigned virtio_tablet_slot(struct virtio_tablet *tablet);
/* False: the guest has no driver for it, and nothing was told. Any thread. */
bool virtio_tablet_move(struct virtio_tablet *tablet, const struct virtio_tablet_state *state);
/* No vCPU runs. NULL is allowed. */
void virtio_tablet_destroy(struct virtio_tablet *tablet);

#endif
