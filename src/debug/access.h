/* SPDX-License-Identifier: Apache-2.0 */
/* What a debugger does to a machine beyond registers. The machine is paused. */
#ifndef DACH_DEBUG_ACCESS_H
#define DACH_DEBUG_ACCESS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct machine;

/*
 * Guest virtual memory as the vCPU's supervisor sees it, or physical memory if vcpu is
 * STUB_PHYSICAL; -EFAULT if a part is not mapped, or is no
 * RAM: devices are not touched. A failing write may have written what came before.
 */
int access_read(struct machine *machine, unsigned vcpu, uint64_t gva, void *buf, size_t len);
int access_write(struct machine *machine, unsigned vcpu, uint64_t gva, const void *buf, size_t len);
/* gdb's "monitor": help, stats, dump, block, power, reset. */
void access_command(struct machine *machine, const char *line, FILE *out);

#endif
