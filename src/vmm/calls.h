/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls a machine's threads may make beyond those of every guest (monitor/calls.h). */
#ifndef DACH_VMM_CALLS_H
#define DACH_VMM_CALLS_H

#include <stdbool.h>
#include <sys/types.h>

#include "monitor/calls.h"
#include "vmm/config.h"

/* What this guest's devices need beyond what every machine needs. */
struct vmm_needs {
	bool kvm;        /* the engine drives /dev/kvm's descriptors */
	bool user;       /* user-mode networking opens the host's sockets */
	bool tap;        /* a network is a tap, open already */
	bool gdb;        /* a debugger may connect */
	bool native;     /* user code runs in processes beside this one */
	bool profile;    /* vCPUs are sampled */
	bool lazy;       /* memory comes from a file when it is touched ... */
	int state;       /* ... and this is its descriptor */
	bool given;      /* it is a daemon's */
	bool clones;     /* it may be copied while it runs, or is such a copy */
	bool remote;     /* a disk is on an NBD server */
	pid_t reader;    /* the process that reads the guest's disk; 0: none */
	unsigned shares; /* folders that are served, by these processes over these sockets */
	pid_t server[LIMIT_SHARES];
	int share[LIMIT_SHARES];
	pid_t screen; /* the process that shows the screen; 0: none */
};

/* Kinds of threads, beside CALLS_LOOP. */
#define CALLS_VCPU 2u
#define CALLS_DISK 4u
#define CALLS_NET 8u
#define CALLS_SHARE 16u               /* of a device whose folder is served */
#define CALLS_READER CALLS_PROCESS(0) /* it reads a disk that is open */
#define CALLS_SERVER CALLS_PROCESS(1) /* it serves a folder */
#define CALLS_SCREEN CALLS_PROCESS(2) /* it shows the screen */

/* sandbox.calls, with a struct vmm_needs as ctx. */
void vmm_calls(void *needs, struct calls *calls, unsigned roles);

#endif
