/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to and from a program in the guest, over a virtio port (virtio/port.h), on the loop's thread. What comes from
 * there is the guest's, and may be anything.
 */
#ifndef DACH_VMM_AGENT_PORT_H
#define DACH_VMM_AGENT_PORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/loop.h"
#include "machine/memory.h"
#include "vmm/bytes.h"

struct pci_bus;
struct agent_port;

/* All on the loop's thread. */
struct agent_port_owner {
	void *ctx;
	const char *name; /* the port's; outlives it */
	bool stays;       /* as a virtio_port_owner's */
	/* What may wait, here for the owner and there for the guest: no program that keeps the rules comes there. */
	size_t in_max, out_max;
	/* More bytes are there, behind what he left of the last; he takes them by bytes_drop(). */
	void (*arrived)(void *ctx, struct bytes *in);
	/* A program has opened the port, or closed it; nothing is under way then. */
	void (*opened)(void *ctx, bool open);
	/* It sends more than there is room for; it is heard no more. */
	void (*flooded)(void *ctx);
};

/* Puts the port on the bus. No vCPU runs. */
int agent_port_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_port_owner *owner, struct agent_port **port, struct error *err);
/* No vCPU runs. NULL is allowed. */
void agent_port_destroy(struct agent_port *port);

/* What the guest does not take at once waits. -ENOBUFS: too much waits already, or it is heard no more. */
int agent_port_send(struct agent_port *port, const void *bytes, size_t size);
/* -ENOBUFS: so many would not go. */
int agent_port_reserve(const struct agent_port *port, size_t size);
/* The program is not to be understood: nothing it says counts until it opens the port anew. */
void agent_port_mute(struct agent_port *port);

#endif
