/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor that a guest has taken over could still do: no more than the
 * monitor itself needs. Two walls, put up while the guest is made:
 *
 * Files (Landlock, where the kernel has it): no file can be opened but the
 * guest's disks and resolv.conf. Landlock binds the calling thread and those
 * it starts from then on, so it comes before the first of them.
 *
 * Calls (seccomp): when everything is open, all system calls but the ones that
 * sandbox.c lists with their reasons kill the process, in every thread. The
 * calling thread's capabilities go too, and so those of the vCPUs' threads.
 */
#ifndef DACH_VMM_SANDBOX_H
#define DACH_VMM_SANDBOX_H

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

/* None can be taken back. True if from now on only these paths (NULL ends them) open. */
bool sandbox_files(const char *const *disks);
/* True if no file opens at all: for a monitor that got all it needs open. */
bool sandbox_no_files(void);
/* Becomes this user, for good. Nothing happens unless we are root. */
int sandbox_user(unsigned uid, unsigned gid, struct error *err);
int sandbox_calls(const struct sandbox_needs *needs, struct error *err);

#endif
