/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>

#include "base/container.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define CLASS_COMMUNICATION 0x078000u
#define QUEUE_SIZE 64
enum { QUEUE_RX, QUEUE_TX };
/* Columns and rows; the rest of the configuration space (5.3.4) belongs to features that are not offered. */
#define CONFIG_SIZE offsetof(struct virtio_console_config, max_nr_ports)
/* Longer writes are no console's: the rest of the chain is dropped. */
#define OUTPUT_MAX (1u << 20)

struct virtio_console {
	struct virtio_device dev;
	struct virtio_console_owner owner;
	/* by dev.lock */
	struct virtq_chain chain;
	bool starved; /* there was more input than buffers */
	/* Linux looks at the size when it changes, not at the start: it is told again with the first output. */
	bool told;
	uint8_t buf[4096];
};

static void output_chain(struct virtio_console *console)
{
	uint64_t offset = 0;
	size_t n;

	while (offset < OUTPUT_MAX &&
		(n = virtq_chain_read(&console->chain, offset, console->buf,
			 sizeof console->buf))) {
		if (console->owner.output)
			console->owner.output(console->owner.ctx, console->buf, n);
		offset += n;
	}
}

static void console_notify(struct virtio_device *dev, unsigned queue)
{
	struct virtio_console *console = container_of(dev, struct virtio_console, dev);
	bool room = false;

	mutex_lock(&dev->lock);
	if (queue == QUEUE_RX) {
		room = console->starved;
		console->starved = false;
	} else {
		if (!console->told && console->owner.sized)
			virtio_config_changed(dev);
		console->told = true;
		for (unsigned left = virtio_arm(dev, QUEUE_TX); left; left--) {
			if (virtio_pop(dev, QUEUE_TX, &console->chain) != 1)
				break;
			output_chain(console);
			virtio_push(dev, QUEUE_TX, console->chain.head, 0);
		}
		virtio_publish(dev, QUEUE_TX);
	}
	mutex_unlock(&dev->lock);
	if (room && console->owner.room)
		console->owner.room(console->owner.ctx);
}

size_t virtio_console_input(struct virtio_console *console, const uint8_t *data, size_t len)
{
	struct virtio_device *dev = &console->dev;
	size_t done = 0;

	mutex_lock(&dev->lock);
	/* Armed, so that a guest without buffers tells us when it has some. */
	for (unsigned left = virtio_arm(dev, QUEUE_RX); left && done < len; left--) {
		size_t n;

		if (virtio_pop(dev, QUEUE_RX, &console->chain) != 1)
			break;
		n = virtq_chain_write(dev->memory, &console->chain, 0, data + done, len - done);
		virtio_push(dev, QUEUE_RX, console->chain.head, n);
		done += n;
	}
	virtio_publish(dev, QUEUE_RX);
	console->starved = done < len;
	mutex_unlock(&dev->lock);
	return done;
}

void virtio_console_resize(struct virtio_console *console, uint16_t columns, uint16_t rows)
{
	struct virtio_device *dev = &console->dev;
	struct virtio_console_config *config = (struct virtio_console_config *)dev->config;

	mutex_lock(&dev->lock);
	if (console->owner.sized && (config->cols != columns || config->rows != rows)) {
		config->cols = columns;
		config->rows = rows;
		virtio_config_changed(dev);
	}
	mutex_unlock(&dev->lock);
}

static void console_start(struct virtio_device *dev)
{
	container_of(dev, struct virtio_console, dev)->told = false;
}

static void console_reset(struct virtio_device *dev)
{
}

static const struct virtio_device_ops console_ops = {
	.start = console_start,
	.notify = console_notify,
	.reset = console_reset,
};

int virtio_console_create(struct pci_bus *bus, struct memory *memory,
	const struct virtio_console_owner *owner, struct virtio_console **out, struct error *err)
{
	struct virtio_console *console = calloc(1, sizeof *console);
	int r;

	if (!console)
		return error_nomem(err);
	console->owner = *owner;
	virtio_device_init(&console->dev, "virtio-console", VIRTIO_ID_CONSOLE, &console_ops, memory,
		owner->sized ? VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE) : 0, 2, QUEUE_SIZE);
	console->dev.config_size = owner->sized ? CONFIG_SIZE : 0;
	r = virtio_pci_attach(&console->dev, bus, CLASS_COMMUNICATION, err);
	if (r) {
		virtio_console_destroy(console);
		return r;
	}
	*out = console;
	return 0;
}

void virtio_console_destroy(struct virtio_console *console)
{
	if (!console)
		return;
	virtio_pci_detach(&console->dev);
	virtio_device_destroy(&console->dev);
	free(console);
}
