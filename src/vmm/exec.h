/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in a guest that runs for itself: whoever may ask has a stream socket (REQUEST_EXEC) on which the
 * frames of protocol/agent.h are spoken, he as the monitor and this as the agent: AGENT_OPEN once, then what
 * belongs to session 1, up to AGENT_EXIT or AGENT_FAILED; AGENT_READY tells when the command begins. The socket's end ends the command.
 *
 * Neither side is trusted: streams have the room that was given and no more, a frame that breaks a rule ends
 * the connection. A command that is asked for before the guest's agent is ready waits for it, for a minute; where that is
 * brought by the guest's qemu-guest-agent, the first one has it brought.
 */
#ifndef DACH_VMM_EXEC_H
#define DACH_VMM_EXEC_H

#include "base/error.h"
#include "base/loop.h"
#include "machine/memory.h"
#include "protocol/share.h"

struct exec;
struct pci_bus;

struct exec_config {
	bool qemu; /* the guest's own qemu-guest-agent brings ours, and shuts down (qemu_agent.h) */
	int program;                    /* ours, which it brings: an open file that outlives this */
	const struct share_spec *share; /* what ours is told to mount; outlives this */
	unsigned shares;
};

/* Puts the agent's port on the bus. No vCPU runs. */
int exec_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct exec_config *config, struct exec **exec, struct error *err);
/* No vCPU runs; who is still connected is told that the guest has ended. NULL is allowed. */
void exec_destroy(struct exec *exec);

/* Has the guest shut down by its agent. -ENOTSUP: it has none that does it (or exec is NULL), or that is not there. */
int exec_shutdown(struct exec *exec);

/* A connection, which is taken. exec NULL: refused, since the guest has no agent. The loop's thread. */
int exec_take(struct exec *exec, int fd, struct error *err);

#endif
