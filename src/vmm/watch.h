/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds that the guest cannot go on, where its machine does not tell. Looks once a second how much its
 * processors have worked. Only when they do nothing, or after last words, they are stopped for a moment to be
 * looked at; and each time that this finds a guest that merely sleeps, the next time is twice as far off.
 *
 * All processors have halted with interrupts off, which nothing ends. If its kernel said "System halted"
 * somebody wanted that, and it has powered off; else it has crashed.
 *
 * Its kernel has panicked (words.h), and no driver told of it (pvpanic). It then resets, or turns in a loop
 * with nothing but the kernel on any processor. A program can print the words, too: it is no panic when
 * a processor was seen in a program or idle since, or the kernel at work for several programs.
 */
#ifndef DACH_VMM_WATCH_H
#define DACH_VMM_WATCH_H

#include "base/loop.h"
#include "machine/machine.h"
#include "vmm/words.h"

enum { WATCH_SERIAL, WATCH_VIRTIO, WATCH_CONSOLES };

struct guest_watch {
	struct machine *machine; /* NULL: not started */
	struct loop_timer timer;
	struct last_words console[WATCH_CONSOLES];
	uint64_t used;   /* processor time of all vCPUs when last looked, ns */
	unsigned stands; /* looks in a row at which it stood for good */
	unsigned asleep; /* looks in a row at which it did nothing and yet can go on */
	unsigned skip;   /* looks until such a guest is looked at again */
	unsigned loops;  /* looks in a row at which only its kernel ran, in the same spaces */
	uint64_t spaces;
	unsigned lives; /* looks in a row at which it was alive after the words; atomic */
};

/* On the loop's thread, or before it runs. Console output is read before it, too. */
void watch_start(struct guest_watch *watch, struct machine *machine);
void watch_stop(struct guest_watch *watch); /* does nothing if it was not started */

/* The guest says this. One thread at a time for each console. */
void watch_read(struct guest_watch *watch, unsigned console, const uint8_t *data, size_t len);
/*
 * The guest is being reset: what it said was before that. A sentence if the last that it did was to panic,
 * or NULL. Any thread.
 */
const char *watch_reset(struct guest_watch *watch);

#endif
