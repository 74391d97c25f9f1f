/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest as an ELF core file, for gdb and crash: each region of memory a
 * segment with its guest physical address, each processor's registers as a note
 * of Linux's (NT_PRSTATUS) and one of QEMU's kind ("QEMU", with the control and
 * segment registers; crash finds a relocated kernel by them).
 *
 * The file is written by a job (monitor/job.h). In a regular file pages of zeros are holes; a pipe or
 * socket gets all of it.
 */
#ifndef DACH_VMM_CORE_H
#define DACH_VMM_CORE_H

#include "base/error.h"
#include "machine/machine.h"
#include "monitor/job.h"

struct core;

/* fd, the file, is taken, on failure too. */
int core_create(struct machine *machine, int fd, struct core **core, struct error *err);
/*
 * job_spec's, with the core as ctx: reads the vCPUs' registers, for which the machine is paused; writes
 * it all, be the machine paused meanwhile or not; destroys the core, and says how many bytes it had.
 */
int core_begin(void *core, struct error *err);
int core_write(void *core, struct guest_job *job, struct error *err);
json_t *core_done(void *core, int r, const struct error *err);

#endif
