/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The qemu-guest-agent that a distribution has: one JSON object a line (QEMU's qga/qapi-schema.json). It shuts the guest
 * down, and brings our own agent into a system that was started without: as the input of one command (guest-exec), which
 * puts it where a program may run, and starts it. It is asked for nothing else: its commands have no streams, and ours
 * has (protocol/agent.h). What it says is the guest's, and may be anything.
 */
#ifndef DACH_VMM_QEMU_AGENT_H
#define DACH_VMM_QEMU_AGENT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/loop.h"
#include "machine/memory.h"

struct pci_bus;
struct qemu_agent;

struct qemu_agent_owner {
	void *ctx;
	/* Ours is not brought; why: a sentence. From the loop. */
	void (*failed)(void *ctx, const char *why);
};

/*
 * All on the loop's thread. Puts its port on the bus; no vCPU runs. program: ours, an open file that outlives this, read
 * when it is wanted.
 */
int qemu_agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct qemu_agent_owner *owner, int program, struct qemu_agent **qemu,
	struct error *err);
/* No vCPU runs. NULL is allowed. */
void qemu_agent_destroy(struct qemu_agent *qemu);

/* It is there. */
bool qemu_agent_ready(const struct qemu_agent *qemu);
/* Ours is to be brought, once it is there; already on the way: nothing. */
void qemu_agent_bring(struct qemu_agent *qemu);
/* Has the guest shut down. -ENOTCONN: it is not there. */
int qemu_agent_shutdown(struct qemu_agent *qemu);

#endif
