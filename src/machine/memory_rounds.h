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
 * Memory stays where it is: the caller is one of mem->readers. What is where may change, on this thread; then nothing is
 * written any more (-EAGAIN). memory_rounds_end() afterwards.
 */
int memory_rounds_make(struct memory *mem, struct memory_rounds **rounds, struct error *err);
/* All pages are here afterwards, which may take a while. Any thread, also while the guest runs. */
int memory_rounds_bring(struct memory_rounds *rounds, struct error *err);
/* From now on what is written is followed (PAGE_LOG_MOVE). No vCPU runs, no device touches guest memory. */
int memory_rounds_begin(struct memory_rounds *rounds, struct error *err);
/* Begins a round, also while the guest runs. On the thread that changes what is where. -EAGAIN. */
int memory_rounds_look(struct memory_rounds *rounds, struct error *err);
/* Behind it: how many pages are to be written, at most. Any thread. */
uint64_t memory_rounds_count(struct memory_rounds *rounds);
/*
 * Writes them, as sections "memory" and "memory-zero". What has failed is the state's to tell; it has, if what is where has
 * changed since it was made. Any thread.
 */
void memory_rounds_write(struct memory_rounds *rounds, struct state *s);
/* As memory_rounds_begin(), if that came. NULL is allowed. */
void memory_rounds_end(struct memory_rounds *rounds);

#endif
