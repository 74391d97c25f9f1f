/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon's guest: from its launch description (protocol/launch.h) to a configuration. */
#ifndef DACH_VMM_LAUNCH_H
#define DACH_VMM_LAUNCH_H

#include <stddef.h>

#include "base/error.h"
#include "protocol/launch.h"
#include "vmm/config.h"

struct vmm_launch {
	struct launch_spec spec; /* the strings lie in it */
	struct vmm_config config;
	int fd[LAUNCH_FDS_MAX]; /* all that it names, ascending */
	unsigned fds;
};

/*
 * Whatever it is that the text holds. The structure is to stay where it is: parts of it point to others.
 * Nothing to free after a failure. No descriptor is touched.
 */
int vmm_launch_read(const char *text, size_t len, struct vmm_launch *launch, struct error *err);
void vmm_launch_free(struct vmm_launch *launch);

#endif
