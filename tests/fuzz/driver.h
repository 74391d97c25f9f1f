/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver that does what the fuzzer's bytes say to one virtio device, beside what the device's own target
 * adds: chains that are mostly right, registers, rings that change under it. cmocka is linked for
 * virtio_rig.h alone.
 */
#ifndef DACH_TESTS_FUZZ_DRIVER_H
#define DACH_TESTS_FUZZ_DRIVER_H

#include <stdlib.h>

#include "../unit/virtio_rig.h"

#ifndef DRIVER_QUEUES
#define DRIVER_QUEUES 2
#endif

/* One step. */
struct driver_step {
	uint8_t what, queue, flags, count;
	uint16_t a, b;
	uint32_t c;
	uint8_t bytes[20];
};

struct driver {
	struct rig rig;
	struct ring ring[DRIVER_QUEUES];
};

/* All of it is there to be read. */
static inline void read_all(const uint8_t *data, size_t len)
{
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = sum + data[i];
}

/* A reset, with what was moved in its place again, and all up to DRIVER_OK. */
static inline void driver_start(struct driver *d, uint64_t features)
{
	pci_bus_reset(&d->rig.pci);
	rig_config_write(&d->rig, PCI_COMMAND, 4, 6);
	rig_start(&d->rig, features, d->ring, DRIVER_QUEUES);
}

/* Up to four buffers: what the device reads has the step's bytes at its beginning. */
static inline void driver_chain(struct driver *d, const struct driver_step *step)
{
	struct ring *ring = &d->ring[step->queue % DRIVER_QUEUES];
	unsigned count = 1 + step->count % 4;
	uint16_t head = ring->free % RIG_QUEUE_SIZE;

	for (unsigned i = 0; i < count; i++) {
		uint64_t at = RIG_DATA + (step->a + i * 0x4321u) % 0x10000;
		uint32_t len = i ? step->c >> 8 * i & 0xff : step->b % 0x3000;
		uint16_t flags = i + 1 < count ? VIRTQ_DESC_NEXT : 0;

		/* The first of each two queues is what the device writes to. */
		if ((step->queue % DRIVER_QUEUES % 2 == 0) != (step->flags & 1))
			flags |= VIRTQ_DESC_WRITE;
		else if (!i)
			memory_write(&d->rig.mem, at, step->bytes, sizeof step->bytes);
		if (step->flags & 2 && i + 1 == count)
			len = step->c;
		if (step->flags & 4 && i == 1)
			flags ^= VIRTQ_DESC_INDIRECT;
		ring_desc(ring, at, len, flags);
	}
	ring_offer(ring, head);
	if (!(step->flags & 8))
		ring_notify(ring);
}

/* One that is every virtio device's. */
static inline void driver_take(struct driver *d, const struct driver_step *step)
{
	static const unsigned sizes[] = {1, 2, 4, 8};
	unsigned size = sizes[step->flags & 3];
	uint64_t value;

	memcpy(&value, step->bytes, sizeof value);
	switch (step->what % 8) {
	case 0:
		driver_start(d, value);
		break;
	case 1:
		rig_write(&d->rig, step->a % VIRTIO_PCI_BAR_SIZE, size, value);
		break;
	case 2:
		rig_read(&d->rig, step->a % VIRTIO_PCI_BAR_SIZE, size);
		break;
	case 3:
		memory_write(&d->rig.mem, RIG_RINGS + step->c % 0x20000, step->bytes,
			step->count % 16);
		break;
	case 4:
		rig_config_write(&d->rig, step->a & 0xfc, 4, step->c);
		break;
	default:
		driver_chain(d, step);
	}
}

#endif
