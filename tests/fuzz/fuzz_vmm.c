/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor's configuration, and what comes over its control socket. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launch_rig.h"
#include "protocol/request.h"
#include "from_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(const char *text, size_t size)
{
	struct taken_launch launch;
	struct monitor_request request;
	struct error err = {""};

	if (!request_parse(text, size, &request, &err) && request.verb >= REQUEST_VERBS)
		abort();
	if (take_launch(text, size, &launch, &err))
		return;
	if (!launch.config.vcpus || launch.config.vcpus > LIMIT_VCPUS ||
		launch.spec.memory << 10 > launch.config.memory ||
		launch.config.disks > LIMIT_DISKS || launch.config.nets > LIMIT_NETWORKS)
		abort();
	for (unsigned i = 1; i < launch.fds; i++)
		if (launch.fd[i] <= launch.fd[i - 1])
			abort();
	launch_free(&launch.spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct from from = {data + 1, size - 1, 16};
	json_t *json;
	char *text;

	/* As it is, or a launch description by its table. */
	if (!size || data[0] & 1) {
		take((const char *)data, size);
		return 0;
	}
	json = from_fields(&from, launch_fields);
	text = json_dumps(json, JSON_COMPACT);
	take(text, strlen(text));
	free(text);
	json_decref(json);
	return 0;
}
