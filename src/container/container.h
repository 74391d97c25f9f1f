/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container as a guest of a monitor (monitor/monitor.h): processes of this host's kernel in namespaces of their own,
 * made by liblxc.
 *
 * Two processes. The monitor talks with the world (control socket, console) and is walled in as a machine's is. The keeper
 * (keeper.h) is root: it makes the root file system, has liblxc start the container, stops it, and starts commands in
 * it. Between them goes what keeper.h lists and nothing else.
 */
#ifndef DACH_CONTAINER_CONTAINER_H
#define DACH_CONTAINER_CONTAINER_H

#include "monitor/monitor.h"

/* monitor_program.run. */
void container_run_launched(const struct launch_spec *spec, struct end_report *end);

#endif
