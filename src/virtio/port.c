/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/port.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "state/state.h"
#include "virtio/device.h"
#include "virtio/pci.h"
#include "virtio/stream.h"

#define CLASS_COMMUNICATION 0x078000u
#define QUEUE_SIZE 64
enum { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX, QUEUES };
#define CONFIG_SIZE sizeof(struct virtio_console_config)
/* The guest is told of its one port by messages, of which so many wait for a buffer; more are dropped. */
#define WAITING_MAX 8

struct virtio_port {
	struct virtio_device dev;
	struct virtio_port_owner owner;
	/* by dev.lock */
	struct virtq_chain chain;
	bool starved; /* there was more input than buffers */
	bool open;    /* a program of the guest's has it */
	/* One has it since before the guest was saved: it is to close it, and what it says until then is nothing. */
	bool stale;
	/* What the guest is to be told. */
	struct {
		uint8_t event, value;
	} waiting[WAITING_MAX];
	uint8_t count;
};

static struct virtio_port *port_of(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_port, dev);
}

static void tell(struct virtio_port *port)
{
	struct {
		struct virtio_console_control head;
		char name[VIRTIO_PORT_NAME + 1];
	} message;
	unsigned told = 0;

	for (; told < port->count; told++) {
		const bool names = port->waiting[told].event == VIRTIO_CONSOLE_PORT_NAME;
		const size_t len = names ? strlen(port->owner.name) : 0;

		message.head = (struct virtio_console_control){.event = port->waiting[told].event,
			.value = port->waiting[told].value};
		memcpy(message.name, port->owner.name, len);
		if (!virtio_stream_in(&port->dev, QUEUE_CONTROL_RX, &port->chain,
			    (const uint8_t *)&message, sizeof message.head + len))
			break;
	}
	port->count -= told;
	memmove(port->waiting, port->waiting + told, port->count * sizeof *port->waiting);
}

static void add_message(struct virtio_port *port, uint8_t event, uint8_t value)
{
	if (port->count == WAITING_MAX)
		return;
	port->waiting[port->count].event = event;
	port->waiting[port->count].value = value;
	port->count++;
}

static void set_open(struct virtio_port *port, bool open)
{
	if (open != port->open)
		port->owner.opened(port->owner.ctx, open);
	port->open = open;
}

/* What the guest says of its ports (5.3.6.2). Anything may stand there. */
static void control(void *ctx, const uint8_t *data, size_t len)
{
	struct virtio_port *port = ctx;
	struct virtio_console_control message;

	if (len < sizeof message)
		return;
	memcpy(&message, data, sizeof message);
	if (message.event == VIRTIO_CONSOLE_DEVICE_READY && message.value == 1) {
		add_message(port, VIRTIO_CONSOLE_PORT_ADD, 1);
	} else if (message.id != 0) {
		return;
	} else if (message.event == VIRTIO_CONSOLE_PORT_READY && message.value == 1) {
		add_message(port, VIRTIO_CONSOLE_PORT_NAME, 1);
		add_message(port, VIRTIO_CONSOLE_PORT_OPEN, 1);
	} else if (message.event == VIRTIO_CONSOLE_PORT_OPEN && !port->stale) {
		set_open(port, message.value == 1);
	} else if (message.event == VIRTIO_CONSOLE_PORT_OPEN && message.value != 1) {
		port->stale = false;
		add_message(port, VIRTIO_CONSOLE_PORT_OPEN, 1);
	}
}

static void output(void *ctx, const uint8_t *data, size_t len)
{
	struct virtio_port *port = ctx;

	if (port->open)
		port->owner.output(port->owner.ctx, data, len);
}

static void port_notify(struct virtio_device *dev, unsigned queue)
{
	struct virtio_port *port = port_of(dev);
	bool room = false;

	mutex_lock(&dev->lock);
	switch (queue) {
	case QUEUE_RX:
		room = port->starved;
		port->starved = false;
		break;
	case QUEUE_TX:
		virtio_stream_out(dev, QUEUE_TX, &port->chain, output, port);
		break;
	case QUEUE_CONTROL_TX:
		virtio_stream_out(dev, QUEUE_CONTROL_TX, &port->chain, control, port);
		tell(port);
		break;
	case QUEUE_CONTROL_RX:
		tell(port);
		break;
	}
	mutex_unlock(&dev->lock);
	if (room)
		port->owner.room(port->owner.ctx);
}

size_t virtio_port_input(struct virtio_port *port, const uint8_t *data, size_t len)
{
	size_t done = 0;

	mutex_lock(&port->dev.lock);
	if (port->open)
		done = virtio_stream_in(&port->dev, QUEUE_RX, &port->chain, data, len);
	port->starved = done < len;
	mutex_unlock(&port->dev.lock);
	return done;
}

static void port_start(struct virtio_device *dev)
{
}

static void port_reset(struct virtio_device *dev)
{
	struct virtio_port *port = port_of(dev);

	set_open(port, false);
	port->stale = false;
	port->count = 0;
}

/*
 * What was on the way between the two programs is in no state: who has the port open is told that nobody is at
 * the other end, and that somebody is when he has closed it.
 */
static void port_describe(struct virtio_device *dev, struct state *s)
{
	struct virtio_port *port = port_of(dev);
	bool open = port->open || port->stale;

	state_bool(s, "open", &open);
	state_bool(s, "starved", &port->starved);
	state_u8(s, "waiting", &port->count);
	state_bytes(s, "messages", port->waiting, sizeof port->waiting);
	if (!state_loading(s))
		return;
	state_require(s, port->count <= WAITING_MAX, "more messages than wait for a guest");
	for (unsigned i = 0; i < WAITING_MAX; i++)
		state_require(s,
			port->waiting[i].value <= 1 &&
				port->waiting[i].event <= VIRTIO_CONSOLE_PORT_NAME,
			"no message for a guest");
	if (!state_ok(s)) {
		port->count = 0;
		return;
	}
	if (port->owner.stays) {
		set_open(port, open);
		return;
	}
	port->stale = open;
	if (open)
		add_message(port, VIRTIO_CONSOLE_PORT_OPEN, 0);
}

static const struct virtio_device_ops port_ops = {
	.start = port_start,
	.notify = port_notify,
	.reset = port_reset,
	.describe = port_describe,
};

int virtio_port_create(struct pci_bus *bus, struct memory *memory,
	const struct virtio_port_owner *owner, struct virtio_port **out, struct error *err)
{
	struct virtio_port *port = calloc(1, sizeof *port);
	int r;

	if (!port)
		return error_nomem(err);
	port->owner = *owner;
	virtio_device_init(&port->dev, "virtio-port", VIRTIO_ID_CONSOLE, &port_ops, memory,
		VIRTIO_FEATURE(VIRTIO_CONSOLE_F_MULTIPORT), QUEUES, QUEUE_SIZE);
	port->dev.config_size = CONFIG_SIZE;
	((struct virtio_console_config *)port->dev.config)->max_nr_ports = 1;
	r = virtio_pci_attach(&port->dev, bus, CLASS_COMMUNICATION, err);
	if (r) {
		virtio_port_destroy(port);
		return r;
	}
	*out = port;
	return 0;
}

void virtio_port_destroy(struct virtio_port *port)
{
	if (!port)
		return;
	virtio_pci_detach(&port->dev);
	virtio_device_destroy(&port->dev);
	free(port);
}
