/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/launch.h"

#include <string.h>

int vmm_launch_read(const char *text, size_t len, struct vmm_launch *launch, struct error *err)
{
	struct launch_spec *spec = &launch->spec;
	struct vmm_config *config = &launch->config;
	int r;

	memset(launch, 0, sizeof *launch);
	r = launch_read(text, len, spec, err);
	if (r)
		return r;
	launch->fds = launch_fds(spec, launch->fd);
	*config = (struct vmm_config){
		.machine = spec->machine,
		.kernel = spec->kernel.fd >= 0 ? spec->kernel.name : NULL,
		.initrd = spec->initrd.fd >= 0 ? spec->initrd.name : NULL,
		.cmdline = spec->cmdline,
		.memory = spec->maxmem << 10,
		.vcpus = spec->vcpus,
		.disks = spec->disks,
		.nets = spec->networks,
		.launch = spec,
	};
	for (unsigned i = 0; i < spec->disks; i++)
		config->disk[i] = spec->disk[i];
	for (unsigned i = 0; i < spec->networks; i++)
		config->net[i] = spec->network[i];
	return 0;
}

void vmm_launch_free(struct vmm_launch *launch)
{
	launch_free(&launch->spec);
	memset(launch, 0, sizeof *launch);
}
