/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest as an ELF core file, for gdb and crash: each region of memory a
 * segment with its guest physical address, each processor's registers as a note
 * of Linux's (NT_PRSTATUS) and one of QEMU's kind ("QEMU", with the control and
 * segment registers; crash finds a relocated kernel by them).
 *
 * The file is written by a thread of its own. In a regular file pages of zeros
 * are holes; a pipe or socket gets all of it.
 */
#ifndef DACH_VMM_CORE_H
#define DACH_VMM_CORE_H

#include "base/error.h"
#include "base/loop.h"
#include "machine/machine.h"

struct core;

/*
 * Starts. The vCPUs' registers are read here, so the machine is paused; whether it stays so until
 * the end is the caller's choice. fd is taken, on failure too. done runs on the loop's thread, once,
 * and then core_end() is to be called.
 */
int core_start(struct machine *machine, int fd, void (*done)(void *ctx), void *ctx,
	struct core **core, struct error *err);
/* Waits for the thread, which gives up soon if it has not ended. 0, or what went wrong. NULL: 0. */
int core_end(struct core *core, uint64_t *bytes, struct error *err);

#endif
