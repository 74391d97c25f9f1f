/* SPDX-License-Identifier: Apache-2.0 */
/* The networks of dach run that are links of this host's: --net bridge=NAME, --net tap=NAME. */
#ifndef DACH_CLI_RUN_LINK_H
#define DACH_CLI_RUN_LINK_H

#include "base/error.h"
#include "vmm/config.h"

/*
 * Makes or opens them, filtered and on their bridges, into config's networks. What filters them goes when this
 * process has ended, however that is; the taps do by themselves.
 */
int run_link_open(struct vmm_config *config, struct error *err);

#endif
