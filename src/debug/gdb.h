/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gdb stub of a machine: a listening socket on its event loop, one debugger
 * at a time. The machine is held from its first instruction until a debugger
 * says go; when the debugger leaves, the guest runs on.
 *
 * All on the loop's thread. Accepting and talking take accept4, recvfrom,
 * sendto and setsockopt.
 */
#ifndef DACH_DEBUG_GDB_H
#define DACH_DEBUG_GDB_H

#include "base/error.h"

struct gdb;
struct machine;

/*
 * address is unix:PATH or 127.0.0.1:PORT. Listens from now on and pauses the machine. A socket
 * file stays behind (a monitor in its sandbox removes no files); the next one takes it over.
 */
int gdb_create(struct machine *machine, const char *address, struct gdb **gdb, struct error *err);
/* From machine_owner.debug_stop. */
void gdb_stopped(struct gdb *gdb, unsigned vcpu);
/* Tells a debugger that the guest has ended. Before machine_destroy(). NULL is allowed. */
void gdb_destroy(struct gdb *gdb);

#endif
