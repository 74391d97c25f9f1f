/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that is there for one command: its agent (vmm/agent.h) is told to run it when it says that the guest is
 * ready, its streams are those of the monitor's front, and its end is the guest's.
 */
#ifndef DACH_VMM_COMMAND_H
#define DACH_VMM_COMMAND_H

#include "machine/machine.h"
#include "monitor/monitor.h"
#include "vmm/config.h"

struct command;

/* Puts the agent's port on the machine's bus. No vCPU runs. what outlives the command. */
int command_create(const struct vmm_command *what, struct guest_monitor *monitor,
	struct machine *machine, struct command **command, struct error *err);
/* No vCPU runs. NULL is allowed. */
void command_destroy(struct command *command);

/* guest_ops: input, input_over, written, resize, ask */
size_t command_input(struct command *command, const uint8_t *data, size_t len);
void command_input_over(struct command *command);
void command_written(struct command *command, unsigned stream, size_t len, bool gone);
void command_resize(struct command *command, unsigned columns, unsigned rows);
void command_ask(struct command *command);

/* The machine has ended: what came of the command, as the guest's end. */
void command_result(const struct command *command, struct end_report *end);

#endif
