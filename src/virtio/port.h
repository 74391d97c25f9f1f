/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of bytes between the host and a program in the guest: a console device (virtio 1.2, 5.3) with
 * VIRTIO_CONSOLE_F_MULTIPORT and one port, which is no console and has a name: /dev/vport0p0 and
 * /sys/class/virtio-ports to Linux.
 *
 * A guest that goes on from a saved state, and had the port open, finds that nobody is at the other end: Linux
 * tells its program by POLLHUP. When that has closed it, it can open it anew. Where the program stays whatever happens (stays),
 * the port is open as before.
 */
#ifndef DACH_VIRTIO_PORT_H
#define DACH_VIRTIO_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/memory.h"

struct pci_bus;
struct virtio_port;

/* All on a vCPU's thread. */
struct virtio_port_owner {
	void *ctx;
	const char *name; /* outlives the port; at most VIRTIO_PORT_NAME */
	bool stays; /* the guest's program does not close the port when nobody is there: it is to be synchronized */
	/* The guest sent these bytes. Lock held: it must not block, nor call the port. */
	void (*output)(void *ctx, const uint8_t *data, size_t len);
	/* There may be room again after virtio_port_input() took less than all. Lock not held. */
	void (*room)(void *ctx);
	/*
	 * A program has opened the port, or closed it (the end of the guest's driver is that, too): what was
	 * under way is lost. Lock held, as for output.
	 */
	void (*opened)(void *ctx, bool open);
};

#define VIRTIO_PORT_NAME 63u

/* No vCPU runs. */
int virtio_port_create(struct pci_bus *bus, struct memory *memory,
	const struct virtio_port_owner *owner, struct virtio_port **port, struct error *err);
/* No vCPU runs. NULL is allowed. */
void virtio_port_destroy(struct virtio_port *port);

/* Bytes for the program. Returns how many the guest had buffers for. Any thread. */
size_t virtio_port_input(struct virtio_port *port, const uint8_t *data, size_t len);

#endif
