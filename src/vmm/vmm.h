/* SPDX-License-Identifier: Apache-2.0 */
/* A guest from its configuration to its end, in this process. */
#ifndef DACH_VMM_VMM_H
#define DACH_VMM_VMM_H

#include "base/error.h"
#include "protocol/end.h"
#include "vmm/config.h"

struct vmm_end {
	enum end_reason reason;
	int status; /* the exit status, of dach run, too */
};

/*
 * Runs the guest on the calling thread. Takes over standard input and output
 * as its console (unless config.launch has a socket for that), and SIGTERM,
 * SIGINT and SIGHUP. The process cannot do much else afterwards: it is in the
 * sandbox. Descriptors that were given are not closed, but for disks'.
 */
struct vmm_end vmm_run(const struct vmm_config *config, struct error *err);

#endif
