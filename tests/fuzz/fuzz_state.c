/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved state, into a machine with devices: the fuzzer's bytes as they are, or a good state with
 * some of its bytes changed and its checksums right.
 */
#include <poll.h>
#include <stdint.h>

#include "net/driver.h"
#include "state_rig.h"
#include "virtio/balloon.h"
#include "virtio/net.h"

#define DISK (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct change {
	uint16_t at;
	uint8_t value[4], count;
};

/* A network on which nothing happens, and what else a guest may have. */
static void idle(struct net *net)
{
	struct pollfd wait = {.fd = net->event, .events = POLLIN};

	while (!net_stopping(net))
		if (poll(&wait, 1, 100) > 0)
			net_take_kick(net);
}

static void swallow(struct net *net, const uint8_t *frame, size_t len)
{
}

static void nothing(void *ctx)
{
}

static bool add_devices(struct rig *rig, struct net *net)
{
	static const struct net_driver endpoint = {.run = idle, .send = swallow};
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct pci_bus *pci = machine_pci(rig->machine);
	struct memory *memory = machine_memory(rig->machine);
	struct virtio_balloon *balloon;
	struct nic *nic;

	return !net_begin(net, &endpoint, NULL) &&
		!virtio_net_create(pci, memory, net, mac, NULL, &nic, NULL) &&
		!virtio_balloon_create(pci, memory, 16, nothing, NULL, &balloon, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes good;
	static struct rig rig;
	static struct net net;
	struct error err = {0};
	struct bytes bytes = {.data = (uint8_t *)data, .len = size};
	struct change change;

	if (!rig.machine &&
		(!rig_open(&rig, DISK) || !add_devices(&rig, &net) || rig_save(&rig, &good, &err)))
		abort();
	if (!size || data[0] == 'd') {
		rig_load(&rig, &bytes, &err);
		return 0;
	}
	bytes = (struct bytes){.data = malloc(good.len), .len = good.len};
	memcpy(bytes.data, good.data, good.len);
	for (; size >= sizeof change; data += sizeof change, size -= sizeof change) {
		memcpy(&change, data, sizeof change);
		for (unsigned i = 0; i < 4 && i <= change.count; i++)
			bytes.data[(change.at + i) % good.len] = change.value[i];
	}
	bytes_seal(&bytes);
	rig_load(&rig, &bytes, &err);
	free(bytes.data);
	return 0;
}
