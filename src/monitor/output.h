/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says, on its way to a descriptor that may block: a thread of its own writes it, so that no
 * reader can hold up the guest, let alone its monitor. A reader that reads is waited for, however slow; for
 * one that has read nothing for a while (patience) the guest waits no more, and what does not fit into the buffer
 * is lost until it goes on. A line tells how much that was, in its place.
 */
#ifndef DACH_MONITOR_OUTPUT_H
#define DACH_MONITOR_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define OUTPUT_BUFFER (1u << 20)

struct output_queue;

#define OUTPUT_PATIENCE 1000000000ull

/* fd stays the caller's; patience: ns. */
int output_create(int fd, uint64_t patience, struct output_queue **output, struct error *err);
/*
 * Calls written on the thread when bytes have gone, and once when there is no reader any more (gone); bytes that
 * come for one that has gone are as good as written. Before it starts.
 */
void output_watch(struct output_queue *output, void (*written)(void *ctx, size_t len, bool gone),
	void *ctx);
/* Starts the thread. Once. */
int output_start(struct output_queue *output, struct error *err);
/* Any thread. */
void output_write(struct output_queue *output, const uint8_t *data, size_t len);
/*
 * Waits until all is written: for a second; if patient, for as long as the reader is there and cancel (a
 * descriptor) cannot be read. Frees it. A thread that still waits for its reader then stays, with what it
 * uses, until the process ends. NULL is allowed. false: some could not be written, and that not because its reader has gone.
 */
bool output_finish(struct output_queue *output, bool patient, int cancel);

#endif
