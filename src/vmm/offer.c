/* SPDX-License-Identifier: Apache-2.0 */
/* What another monitor of this host is to share with this one, so that the guest can go on there: depart.c follows. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/descriptors.h"
#include "machine/memory.h"
#include "net/net.h"
#include "vmm/internal.h"

int offer_request(struct vmm *vmm, int socket, json_t **fields, struct error *err)
{
	struct memory *memory = machine_memory(vmm->machine);
	const bool whole = memory_is_one_file(memory);
	json_t *networks = json_array();
	const bool variables = vmm->variables.fd >= 0;
	int fd[2 + LIMIT_NETWORKS], r;
	unsigned count = 0;

	if (whole)
		fd[count++] = memory->fd;
	if (variables)
		fd[count++] = vmm->variables.fd;
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++) {
		const int net = vmm->devices.net[i] ? net_descriptor(vmm->devices.net[i]) : -1;

		if (net < 0)
			continue;
		fd[count++] = net;
		json_array_append_new(networks,
			json_pack("{s:i, s:i}", "network", (int)i, "mtu",
				(int)net_mtu(vmm->devices.net[i])));
	}
	r = descriptors_send(socket, fd, count);
	if (socket >= 0)
		close(socket);
	*fields = json_pack("{s:b, s:b, s:o}", "memory", whole, "variables", variables, "networks",
		networks);
	if (!r && !*fields)
		r = -ENOMEM;
	return r ? error_set(err, -r, "offer: %s", strerror(-r)) : 0;
}
