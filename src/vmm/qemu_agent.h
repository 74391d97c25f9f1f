/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The qemu-guest-agent that a distribution has, in place of our own: frames (protocol/agent.h) become what it is asked,
 * one JSON object a line (QEMU's qga/qapi-schema.json), and its answers frames. It runs a command with all of its input
 * given at its start and its output had at its end, so a session
 *   - begins when its input has ended, which is at most QEMU_AGENT_INPUT bytes;
 *   - has no terminal: one that wants one gets no input, and lines end as a terminal wants them;
 *   - runs in /, as root, with the agent's environment, unless the caller says otherwise, by the guest's sh, env, setsid
 *     and runuser;
 *   - has an output of at most what the agent keeps (16 MiB a stream), or it fails.
 * Shells and copies of files are refused.
 */
#ifndef DACH_VMM_QEMU_AGENT_H
#define DACH_VMM_QEMU_AGENT_H

#include "vmm/agent.h"

#define QEMU_AGENT_INPUT (1u << 20)

/* As agent_create(). */
int qemu_agent_create(struct pci_bus *bus, struct memory *memory, struct loop *loop,
	const struct agent_owner *owner, struct agent **agent, struct error *err);
/* Has the guest shut down. -ENOTCONN: it is not there. The loop's thread. */
int qemu_agent_shutdown(struct agent *agent);

#endif
