/* SPDX-License-Identifier: Apache-2.0 */
/* --share DIR[:PATH][,ro|,overlay] of dach run. */
#ifndef DACH_CLI_RUN_SHARE_H
#define DACH_CLI_RUN_SHARE_H

#include "base/error.h"
#include "vmm/config.h"

#define RUN_SHARE_PATH "/mnt" /* where a command finds a folder that is said no path of */

/* Adds a share of config's, whose strings run_share_free() takes back. DIR is a folder of this host, or it fails. */
int run_share_add(struct vmm_config *config, const char *value, struct error *err);
/* All options are read. command: the guest is there for one. */
int run_share_complete(struct vmm_config *config, bool command, struct error *err);
void run_share_free(struct vmm_config *config);

#endif
