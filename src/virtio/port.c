/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/port.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "virtio/device.h"
#include "virtio/pci.h"
#include "virtio/stream.h"

#define CLASS_COMMUNICATION 0x078000u
#define QUEUE_SIZE 64
enum { QUEUE_RX, QUEUE_TX, QUEUE_CONTROL_RX, QUEUE_CONTROL_TX, QUEUES };
#define CONFIG_SIZE sizeof(struct virtio_console_config)
/* The guest is told of its one port by these messages, each once for each start of its driver. */
#define TOLD_MAX 3

struct virtio_port {
	struct virtio_device dev;
	struct virtio_port_owner owner;
	/* by dev.lock */
	struct virtq_chain chain;
	bool starved; /* there was more input than buffers */
	bool open;    /* a program of the guest's has it */
	/* What the guest is to be told, and how much of it had a buffer. */
	struct {
		struct virtio_console_control head;
		char name[VIRTIO_PORT_NAME + 1];
	} message[TOLD_MAX];
	size_t size[TOLD_MAX];
	unsigned messages, told;
};

static struct virtio_port *port_of(struct virtio_device *dev)
{
	return container_of(dev, struct virtio_port, dev);
}

static void tell(struct virtio_port *port)
{
	struct virtio_device *dev = &port->dev;

	while (port->told < port->messages &&
		virtio_stream_in(dev, QUEUE_CONTROL_RX, &port->chain,
			(const uint8_t *)&port->message[port->told], port->size[port->told]))
		port->told++;
}

static void add_message(struct virtio_port *port, uint16_t event, uint16_t value, const char *text)
{
	const unsigned i = port->messages;
	const size_t size = strlen(text);

	if (i == TOLD_MAX)
		return;
	port->message[i].head = (struct virtio_console_control){.event = event, .value = value};
	memcpy(port->message[i].name, text, size);
	port->size[i] = sizeof port->message[i].head + size;
	port->messages++;
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
		add_message(port, VIRTIO_CONSOLE_PORT_ADD, 1, "");
	} else if (message.id != 0) {
		return;
	} else if (message.event == VIRTIO_CONSOLE_PORT_READY && message.value == 1) {
		add_message(port, VIRTIO_CONSOLE_PORT_NAME, 1, port->owner.name);
		add_message(port, VIRTIO_CONSOLE_PORT_OPEN, 1, "");
	} else if (message.event == VIRTIO_CONSOLE_PORT_OPEN) {
		set_open(port, message.value == 1);
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
	port->messages = port->told = 0;
}

static const struct virtio_device_ops port_ops = {
	.start = port_start,
	.notify = port_notify,
	.reset = port_reset,
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
