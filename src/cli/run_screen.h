/* SPDX-License-Identifier: Apache-2.0 */
/* --vnc WHERE and --vnc-password FILE of dach run. */
#ifndef DACH_CLI_RUN_SCREEN_H
#define DACH_CLI_RUN_SCREEN_H

#include "base/error.h"
#include "vmm/config.h"

/* The first line of the file becomes config->vnc_password, which is run_screen_free()'s to end. */
int run_screen_password(struct vmm_config *config, const char *file, struct error *err);
void run_screen_free(struct vmm_config *config);

#endif
