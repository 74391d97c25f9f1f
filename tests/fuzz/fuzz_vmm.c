/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor's configuration, and what comes over its control socket. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/launch.h"
#include "protocol/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct vmm_launch launch;
	struct monitor_request request;
	struct error err = {""};

	if (!request_parse(text, size, &request, &err) && request.verb >= REQUEST_VERBS)
		abort();
	if (vmm_launch_read(text, size, &launch, &err))
		return 0;
	if (!launch.config.vcpus || launch.config.vcpus > LIMIT_VCPUS ||
		launch.spec.memory << 10 > launch.config.memory ||
		launch.config.disks > LIMIT_DISKS || launch.config.nets > LIMIT_NETWORKS)
		abort();
	for (unsigned i = 1; i < launch.fds; i++)
		if (launch.fd[i] <= launch.fd[i - 1])
			abort();
	vmm_launch_free(&launch);
	return 0;
}
