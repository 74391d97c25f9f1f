/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: what a driver does, and frames that come meanwhile, on this thread alone. */
#include <poll.h>

#include "driver.h"
#include "net/driver.h"
#include "virtio/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An endpoint whose thread does nothing: the fuzzer does what it would. */
static void idle(struct net *net)
{
	struct pollfd wait = {.fd = net->event, .events = POLLIN};

	while (!net_stopping(net))
		if (poll(&wait, 1, 100) > 0)
			net_take_kick(net);
}

static void swallow(struct net *net, const uint8_t *frame, size_t len)
{
	read_all(frame, len);
}

static void closed(struct net *net)
{
}

static const struct net_driver endpoint = {.run = idle, .send = swallow, .close = closed};
static struct net net;
static struct driver driver;
static struct virtio_net *nic;

static void receive(const struct driver_step *step)
{
	static uint8_t frame[65536 + 64];
	size_t len = step->flags & 1 ? 14 + step->a % 1500 : 14 + step->a % 65500;

	for (size_t i = 0; i < len; i++)
		frame[i] = step->bytes[i % sizeof step->bytes];
	/* Often TCP over IPv4, which may be segmented. */
	if (step->flags & 2) {
		frame[12] = 8;
		frame[13] = 0;
		frame[14] = 0x45;
		frame[23] = 6;
	}
	net.client.receive(net.client.ctx, frame, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct driver_step step;

	if (!nic) {
		rig_open(&driver.rig);
		if (net_begin(&net, &endpoint, NULL) ||
			virtio_net_create(&driver.rig.pci, &driver.rig.mem, &net, mac, 0, &nic,
				NULL))
			abort();
	}
	driver_start(&driver, size ? ~0ull << (data[0] % 32) : ~0ull);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		switch (step.what >> 5) {
		case 0:
			receive(&step);
			break;
		case 1:
			net.client.transmit(net.client.ctx);
			net.client.flush(net.client.ctx);
			break;
		case 2:
			virtio_net_set_link(nic, step.flags & 1);
			break;
		default:
			driver_take(&driver, &step);
		}
	}
	virtio_net_set_link(nic, true);
	net.client.transmit(net.client.ctx);
	return 0;
}
