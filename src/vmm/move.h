/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a guest's state, which another monitor has saved (save.c), into this one, of this host or
 * another, under the same engine or the other. doc/state.md tells what moves.
 *
 * A restoring monitor goes: move_open(), move_accept(), make the machine (with
 * vcpus, memory and the policy from here, and machine_config.restore) and its
 * devices, enter the sandbox, move_load(),
 * machine_load_end(), machine_run(). Descriptors are only
 * read, and stay the caller's; names are for messages and outlive all of it.
 */
#ifndef DACH_VMM_MOVE_H
#define DACH_VMM_MOVE_H

#include "base/error.h"
#include "cpu/cpuid.h"
#include "machine/machine.h"
#include "state/file.h"

struct move {
	struct state_file file; /* where it is one */
	struct state *state;
	struct machine_head head; /* what the machine must be */
};

/* A file (state/file.h) or a stream. Starts zeroed. Reads as far as what the machine must be. err outlives the move. */
int move_open(struct move *move, int fd, const char *name, struct error *err);
/* The same of a stream that comes from elsewhere. */
int move_open_stream(struct move *move, const struct state_io *io, const char *name,
	struct error *err);
/*
 * Whether the guest can go on where this is all that is on offer: -ENOTSUP and what is missing.
 * Its own policy then replaces it.
 */
int move_accept(struct move *move, enum cpuid_engine engine, struct cpuid_policy *policy,
	struct error *err);
/* All the rest, into the machine, as machine_load(). After an error the machine can only be destroyed. */
int move_load(struct move *move, struct machine *machine);
/* Nothing happens if it is not open. */
void move_close(struct move *move);

#endif
