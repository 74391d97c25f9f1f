/* SPDX-License-Identifier: Apache-2.0 */
/* A guest from its configuration to its end, in this process. */
#ifndef DACH_VMM_VMM_H
#define DACH_VMM_VMM_H

#include "base/error.h"
#include "vmm/config.h"

/* How a guest ended; also the exit status of dach run. */
enum vmm_end {
	VMM_POWEROFF = 0, /* it switched itself off */
	VMM_SETUP = 1,    /* it never started: the sentence is in err */
	VMM_STOPPED = 2,  /* somebody ended it from outside */
	VMM_CRASH = 3,    /* triple fault, kernel panic */
	VMM_ENGINE = 4,   /* the engine failed; its registers are on standard error */
	VMM_REBOOT = 5,   /* it reset itself, and is the daemon's to start again */
	VMM_SAVED = 6,    /* its state is saved, it is no more here */
	VMM_TEST = 100,   /* and more: this plus what a test wrote to its way out (modulo 128) */
};

/*
 * Runs the guest on the calling thread. Takes over standard input and output
 * as its console (unless config.given has a socket for that), and SIGTERM,
 * SIGINT and SIGHUP. The process cannot do much else afterwards: it is in the
 * sandbox. Descriptors that were given are not closed, but for disks'.
 */
enum vmm_end vmm_run(const struct vmm_config *config, struct error *err);

#endif
