/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>

#include "base/container.h"
#include "state/state.h"
#include "virtio/device.h"
#include "virtio/pci.h"
#include "virtio/stream.h"

#define CLASS_COMMUNICATION 0x078000u
#define QUEUE_SIZE 64
enum { QUEUE_RX, QUEUE_TX };
/* Columns and rows; the rest of the configuration space (5.3.4) belongs to features that are not offered. */
#define CONFIG_SIZE offsetof(struct virtio_console_config, max_nr_ports)

struct virtio_console {
	struct virtio_device dev;
	struct virtio_console_owner owner;
	/* by dev.lock */
	struct virtq_chain chain;
	bool starved; /* there was more input than buffers */
	/* Linux looks at the size when it changes, not at the start: it is told again with the first output. */
	bool told;
};

static void output(void *ctx, const uint8_t *data, size_t len)
{
	struct virtio_console *console = ctx;

	if (console->owner.output)
		console->owner.output(console->owner.ctx, data, len);
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
		virtio_stream_out(dev, QUEUE_TX, &console->chain, output, console);
	}
	mutex_unlock(&dev->lock);
	if (room && console->owner.room)
		console->owner.room(console->owner.ctx);
}

size_t virtio_console_input(struct virtio_console *console, const uint8_t *data, size_t len)
{
	struct virtio_device *dev = &console->dev;
	size_t done;

	mutex_lock(&dev->lock);
	done = virtio_stream_in(dev, QUEUE_RX, &console->chain, data, len);
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

static void console_describe(struct virtio_device *dev, struct state *s)
{
	bool *at = container_of(dev, struct virtio_console, dev)->owner.last;
	bool last = state_optional(s, "last", at && __atomic_load_n(at, __ATOMIC_RELAXED));

	if (at && state_loading(s))
		__atomic_store_n(at, last, __ATOMIC_RELAXED);
}

static const struct virtio_device_ops console_ops = {
	.start = console_start,
	.notify = console_notify,
	.reset = console_reset,
	.describe = console_describe,
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

unsigned virtio_console_slot(struct virtio_console *console)
{
	return virtio_pci_function(&console->dev)->slot;
}

void virtio_console_destroy(struct virtio_console *console)
{
	if (!console)
		return;
	virtio_pci_detach(&console->dev);
	virtio_device_destroy(&console->dev);
	free(console);
}
