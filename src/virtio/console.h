/* SPDX-License-Identifier: Apache-2.0 */
/* The console device (virtio 1.2, 5.3), with its one port: hvc0 to Linux. */
#ifndef DACH_VIRTIO_CONSOLE_H
#define DACH_VIRTIO_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/memory.h"

struct pci_bus;
struct virtio_console;

struct virtio_console_owner {
	void *ctx;
	/*
	 * The guest sent these bytes. On a vCPU's thread, with the device's lock held: it may block
	 * for flow control, but must not call the device. NULL drops all. Who blocks holds up whoever gives
	 * the console input: a terminal that is stopped; the monitor's end does not wait for it (deadline.h).
	 */
	void (*output)(void *ctx, const uint8_t *data, size_t len);
	/*
	 * There may be room for input again after virtio_console_input() took less than all. On a
	 * vCPU's thread, lock not held. NULL if nobody asks.
	 */
	void (*room)(void *ctx);
	/*
	 * It has a size, which the guest can see: a device more than one without to a saved state. So
	 * only for a guest that is never saved.
	 */
	bool sized;
	/*
	 * Whether the guest has last spoken here, so that what is typed is for this one of its consoles: a saved state has
	 * that. The owner's, atomic; NULL: nobody asks.
	 */
	bool *last;
};

/* No vCPU runs: before the machine starts, or while it is paused. */
int virtio_console_create(struct pci_bus *bus, struct memory *memory,
	const struct virtio_console_owner *owner, struct virtio_console **console,
	struct error *err);
/* The PCI slot that it is in. */
unsigned virtio_console_slot(struct virtio_console *console);
/* No vCPU runs. NULL is allowed. */
void virtio_console_destroy(struct virtio_console *console);

/* The size of the terminal that it is shown on; 0: not known, which it is at first. Does
 * nothing to one without a size. Any thread. */
void virtio_console_resize(struct virtio_console *console, uint16_t columns, uint16_t rows);

/* Bytes arrive for the guest. Returns how many it had buffers for. Any thread. */
size_t virtio_console_input(struct virtio_console *console, const uint8_t *data, size_t len);

#endif
