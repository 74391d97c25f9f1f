/* SPDX-License-Identifier: Apache-2.0 */
/* A launch description as dach-vmm takes it: read, its descriptors counted, made a configuration. */
#ifndef DACH_TESTS_LAUNCH_RIG_H
#define DACH_TESTS_LAUNCH_RIG_H

#include "protocol/launch.h"
#include "vmm/launch.h"

struct taken_launch {
	struct launch_spec spec;
	struct vmm_config config;
	int fd[LAUNCH_FDS_MAX];
	unsigned fds;
};

/* launch_free(&launch->spec) after success. */
static inline int take_launch(const char *text, size_t len, struct taken_launch *launch,
	struct error *err)
{
	int r = launch_read(text, len, &launch->spec, err);

	if (r)
		return r;
	launch->fds = launch_fds(&launch->spec, launch->fd);
	vmm_config_of_launch(&launch->spec, &launch->config);
	return 0;
}

#endif
