/* SPDX-License-Identifier: Apache-2.0 */
/* The console device (virtio 1.2, 5.3), with its one port: hvc0 to Linux. */
#ifndef DACH_VIRTIO_CONSOLE_H
#define DACH_VIRTIO_CONSOLE_H

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
	 * for flow control, but must not call the device. NULL drops all.
	 */
	void (*output)(void *ctx, const uint8_t *data, size_t len);
	/*
	 * There may be room for input again after virtio_console_input() took less than all. On a
	 * vCPU's thread, lock not held. NULL if nobody asks.
	 */
	void (*room)(void *ctx);
};

/* No vCPU runs: before the machine starts, or while it is paused. */
int virtio_console_create(struct pci_bus *bus, struct memory *memory,
	const struct virtio_console_owner *owner, struct virtio_console **console,
	struct error *err);
/* No vCPU runs. NULL is allowed. */
void virtio_console_destroy(struct virtio_console *console);

/* Bytes arrive for the guest. Returns how many it had buffers for. Any thread. */
size_t virtio_console_input(struct virtio_console *console, const uint8_t *data, size_t len);

#endif
