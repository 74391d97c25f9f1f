/* SPDX-License-Identifier: Apache-2.0 */
/* A monitor's configuration, and what comes over its control socket. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/document.h"
#include "protocol/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct vmm_document document;
	struct monitor_request request;
	struct error err = {""};

	if (!request_parse(text, size, &request, &err) && request.verb >= REQUEST_VERBS)
		abort();
	if (document_parse(text, size, &document, &err))
		return 0;
	if (!document.config.vcpus || document.config.vcpus > VMM_VCPUS_MAX ||
		document.given.target > document.config.memory ||
		document.config.disks > VMM_DISKS_MAX || document.config.nets > VMM_NETS_MAX)
		abort();
	for (unsigned i = 1; i < document.fds; i++)
		if (document.fd[i] <= document.fd[i - 1])
			abort();
	document_free(&document);
	return 0;
}
