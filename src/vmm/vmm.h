/* SPDX-License-Identifier: Apache-2.0 */
/* A machine as a guest of a monitor (monitor/monitor.h), from its configuration to its end. */
#ifndef DACH_VMM_VMM_H
#define DACH_VMM_VMM_H

#include "monitor/monitor.h"
#include "vmm/config.h"

/*
 * Runs the guest on the calling thread, in the foreground: see monitor_foreground(). Descriptors that
 * were given are not closed, but for disks'.
 */
void vmm_run(const struct vmm_config *config, struct end_report *end);
/* A daemon's, of a launch description: monitor_program.run. */
void vmm_run_launched(const struct launch_spec *spec, struct end_report *end);

#endif
