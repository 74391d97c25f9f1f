/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon's guest: from its launch description (protocol/launch.h) to a configuration. */
#ifndef DACH_VMM_LAUNCH_H
#define DACH_VMM_LAUNCH_H

#include "protocol/launch.h"
#include "vmm/config.h"

/* Strings and lists stay the description's. */
void vmm_config_of_launch(const struct launch_spec *spec, struct vmm_config *config);

#endif
