/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a monitor's threads may make: a list for each kind of
 * thread, every call with its reason (calls.c). All others kill the process.
 */
#ifndef DACH_VMM_CALLS_H
#define DACH_VMM_CALLS_H

#include <stdbool.h>

#include "base/error.h"

/* What the guest's devices need beyond what every guest needs. */
struct sandbox_needs {
	bool kvm;        /* the engine drives /dev/kvm's descriptors */
	bool user;       /* user-mode networking opens the host's sockets */
	bool gdb;        /* a debugger may connect */
	bool doors;      /* control and console sockets, open already */
	bool profile;    /* vCPUs are sampled */
	bool landlocked; /* sandbox_files() did its part */
};

/* Kinds of threads, as bits. */
#define CALLS_LOOP 1u /* the event loop, and what writes a core */
#define CALLS_VCPU 2u
#define CALLS_DISK 4u
#define CALLS_NET 8u
#define CALLS_READER 16u /* a process of its own, which reads a disk that is open */
#define CALLS_ALL 15u    /* one list for every thread of the process, those already there too */

/* For this thread and those that it starts from now on. PR_SET_NO_NEW_PRIVS is set. */
int calls_load(unsigned roles, const struct sandbox_needs *needs, struct error *err);

#endif
