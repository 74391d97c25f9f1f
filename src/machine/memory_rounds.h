/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory while the guest runs, into a state's stream, round by round: all of it first, then each time what has
 * been written since. The last round is while nothing runs; then the stream has memory as it is.
 */
#ifndef DACH_MACHINE_MEMORY_ROUNDS_H
#define DACH_MACHINE_MEMORY_ROUNDS_H

#include "machine/memory.h"
#include "state/state.h"

struct memory_rounds;

/*
 * From now on what is written is followed (PAGE_LOG_MOVE). All pages are here (memory_bring()), and memory stays where it is:
 * the caller is one of mem->readers. No vCPU runs, no device touches guest memory. memory_rounds_end() afterwards.
 */
int memory_rounds_begin(struct memory *mem, struct memory_rounds **rounds, struct error *err);
/* Begins a round: how many pages are to be written, at most. Any thread, also while the guest runs. */
uint64_t memory_rounds_look(struct memory_rounds *rounds);
/*
 * Writes them, as sections "memory" and "memory-zero". What has failed is the state's to tell; it has, if what is where has
 * changed since the begin.
 */
void memory_rounds_write(struct memory_rounds *rounds, struct state *s);
/* As memory_rounds_begin(). NULL is allowed. */
void memory_rounds_end(struct memory_rounds *rounds);

#endif
