/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the agent in the guest (protocol/agent.h): frames over a virtio port. What comes from there is
 * the guest's, and may be anything: frames are checked for their form here, for their meaning by the owner.
 */
#ifndef DACH_VMM_AGENT_H
#define DACH_VMM_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "machine/memory.h"
#include "protocol/agent.h"
#include "protocol/share.h"

struct agent;
struct pci_bus;

/* All on the loop's thread. */
struct agent_owner {
	void *ctx;
	/* payload has header->length bytes, for the time of the call. */
	void (*frame)(void *ctx, const struct agent_header *header, const char *payload);
	/*
	 * The agent has closed the port, or sends what is no frame (why: a sentence; NULL: it closed). What was under way
	 * is lost; it may come again, with AGENT_HELLO, where it did not break a rule.
	 */
	void (*gone)(void *ctx, const char *why);
};

/* Puts the port on the bus. No vCPU runs. */
int agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_owner *owner, struct agent **agent, struct error *err);
/* No vCPU runs. NULL is allowed. */
void agent_destroy(struct agent *agent);

/*
 * Sends a frame. What the guest does not take at once waits; -ENOBUFS: too much waits already (the owner keeps
 * to the room that it was given, so only a guest that reads nothing comes there). The loop's thread.
 */
int agent_send(struct agent *agent, unsigned session, enum agent_frame_type type, unsigned stream,
	const void *payload, size_t size);
int agent_send_number(struct agent *agent, unsigned session, enum agent_frame_type type,
	unsigned stream, uint32_t number);

/* The folders that have a path: before the first command. -ENOMEM, -ENOBUFS, or -EINVAL: a path is too long. */
int agent_send_mounts(struct agent *agent, const struct share_spec *share, unsigned shares);

#endif
