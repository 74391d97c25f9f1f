/* SPDX-License-Identifier: Apache-2.0 */
/* An 82540EM on a bus of its own, over an endpoint that keeps what it is given: who uses it does what its thread would. */
#ifndef DACH_TESTS_E1000_RIG_H
#define DACH_TESTS_E1000_RIG_H

#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/bus.h"
#include "net/driver.h"
#include "net/frame.h"
#include "nic/internal.h"

#define E1000_MEMORY 0x200000u
#define E1000_BAR 0xf0000000u
#define E1000_PORTS 0xc000u
#define E1000_CONFIG 0x80000800u /* the first slot: it is alone */

struct e1000_world {
	struct net net;
	struct memory memory;
	struct bus io, mmio;
	struct pci_bus pci;
	struct nic *nic;
	bool line;
	unsigned interrupts, frames; /* sent */
	size_t len;                  /* of the last one */
	struct virtio_net_hdr_v1 header;
	uint8_t frame[NET_FRAME_MAX];
};

static void e1000_world_run(struct net *net)
{
	struct pollfd wait = {.fd = net->event, .events = POLLIN};

	while (!net_stopping(net))
		if (poll(&wait, 1, 100) > 0)
			net_take_kick(net);
}

static void e1000_world_send_unfinished(struct net *net, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	struct e1000_world *w = (struct e1000_world *)net;

	w->frames++;
	w->len = len;
	w->header = *header;
	memcpy(w->frame, frame, len);
}

static void e1000_world_send(struct net *net, const uint8_t *frame, size_t len)
{
	e1000_world_send_unfinished(net, &(struct virtio_net_hdr_v1){0}, frame, len);
}

static void e1000_world_offloads(struct net *net, unsigned offloads)
{
}

static void e1000_world_closed(struct net *net)
{
}

static void e1000_world_intx(void *ctx, unsigned pin, bool level)
{
	struct e1000_world *w = ctx;

	w->interrupts += level && !w->line;
	w->line = level;
}

/* Its registers answer at E1000_BAR and E1000_PORTS. */
static inline void e1000_world_map(struct e1000_world *w)
{
	bus_write(&w->io, 0xcf8, 4, E1000_CONFIG + 0x10);
	bus_write(&w->io, 0xcfc, 4, E1000_BAR);
	bus_write(&w->io, 0xcf8, 4, E1000_CONFIG + 0x14);
	bus_write(&w->io, 0xcfc, 4, E1000_PORTS);
	bus_write(&w->io, 0xcf8, 4, E1000_CONFIG + 4);
	bus_write(&w->io, 0xcfc, 2, 7);
}

/* offloaded: the endpoint takes unfinished frames, as a tap. */
static inline void e1000_world_open(struct e1000_world *w, bool offloaded)
{
	static const struct net_driver drivers[2] = {{.run = e1000_world_run,
							     .send = e1000_world_send,
							     .cut = e1000_world_closed,
							     .close = e1000_world_closed},
		{.run = e1000_world_run,
			.send = e1000_world_send,
			.send_unfinished = e1000_world_send_unfinished,
			.set_offloads = e1000_world_offloads,
			.cut = e1000_world_closed,
			.close = e1000_world_closed}};
	static const uint8_t mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 1};
	const struct pci_owner owner = {.ctx = w, .firmware = true, .intx = e1000_world_intx};

	memset(w, 0, sizeof *w);
	bus_init(&w->io);
	bus_init(&w->mmio);
	if (memory_create(&w->memory, E1000_MEMORY, 0, false, NULL) ||
		pci_bus_init(&w->pci, &w->io, &w->mmio, &owner, NULL) ||
		net_begin(&w->net, &drivers[offloaded], NULL) ||
		e1000_create(&w->pci, &w->memory, &w->net, mac, NULL, &w->nic, NULL))
		abort();
	e1000_world_map(w);
}

static inline void e1000_world_close(struct e1000_world *w)
{
	nic_destroy(w->nic);
	net_close(&w->net);
	pci_bus_destroy(&w->pci);
	memory_destroy(&w->memory);
	bus_destroy(&w->io);
	bus_destroy(&w->mmio);
}

static inline struct e1000 *e1000_of(struct e1000_world *w)
{
	return (struct e1000 *)((char *)w->nic - offsetof(struct e1000, nic));
}

/* A frame comes, with nothing behind its last byte. false: there was no room for it. */
static inline bool e1000_world_receive(struct e1000_world *w, const uint8_t *frame, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	bool taken;

	if (!copy)
		abort();
	memcpy(copy, frame, len);
	taken = w->net.client.receive(w->net.client.ctx, copy, len);
	free(copy);
	return taken;
}

static inline uint32_t e1000_get(struct e1000_world *w, uint32_t at)
{
	return bus_read(&w->mmio, E1000_BAR + at, 4);
}

static inline void e1000_put(struct e1000_world *w, uint32_t at, uint32_t value)
{
	bus_write(&w->mmio, E1000_BAR + at, 4, value);
}

#endif
