/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/tablet.h"

#include <linux/input.h>
#include <linux/virtio_input.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define CLASS_POINTER \
	0x098000u /* an input device of another kind: what it is, its configuration says */
#define QUEUE_SIZE 64
#define EVENTS_MAX 8 /* of one change: three buttons, two axes, the wheel, and its end */
#define VENDOR 0x1af4
#define PRODUCT 1
#define WHEEL_MAX 100
enum { QUEUE_EVENTS, QUEUE_STATUS, QUEUES };

_Static_assert(sizeof(struct virtio_input_config) <= VIRTIO_CONFIG_MAX, "no room");

struct virtio_tablet {
	struct virtio_device dev;
	/* by dev.lock */
	struct virtq_chain chain;
	struct virtio_tablet_state now, told; /* wheel: what has not been told */
};

static const struct {
	unsigned bit;
	uint16_t code;
} buttons[] = {{1, BTN_LEFT}, {2, BTN_RIGHT}, {4, BTN_MIDDLE}};

/* What the driver finds of a selection: bytes of u, 0 if there is nothing. */

static unsigned set_bit(uint8_t *bits, unsigned bit)
{
	bits[bit / 8] |= 1u << bit % 8;
	return bit / 8 + 1;
}

static unsigned describe_events(struct virtio_input_config *config)
{
	unsigned size = 0, last;

	switch (config->subsel) {
	case EV_KEY:
		for (unsigned i = 0; i < sizeof buttons / sizeof *buttons; i++) {
			last = set_bit(config->u.bitmap, buttons[i].code);
			size = last > size ? last : size;
		}
		return size;
	case EV_REL:
		return set_bit(config->u.bitmap, REL_WHEEL);
	case EV_ABS:
		set_bit(config->u.bitmap, ABS_X);
		return set_bit(config->u.bitmap, ABS_Y);
	}
	return 0;
}

static unsigned select_config(struct virtio_input_config *config)
{
	static const char name[] = "dach tablet";

	switch (config->select) {
	case VIRTIO_INPUT_CFG_ID_NAME:
		memcpy(config->u.string, name, sizeof name - 1);
		return config->subsel ? 0 : sizeof name - 1;
	case VIRTIO_INPUT_CFG_ID_DEVIDS:
		config->u.ids = (struct virtio_input_devids){.bustype = BUS_VIRTUAL,
			.vendor = VENDOR,
			.product = PRODUCT,
			.version = 1};
		return config->subsel ? 0 : sizeof config->u.ids;
	case VIRTIO_INPUT_CFG_EV_BITS:
		return describe_events(config);
	case VIRTIO_INPUT_CFG_ABS_INFO:
		config->u.abs.max = VIRTIO_TABLET_MAX;
		return config->subsel == ABS_X || config->subsel == ABS_Y ? sizeof config->u.abs
									  : 0;
	}
	return 0;
}

static void tablet_config_write(struct virtio_device *dev, unsigned offset, unsigned size,
	uint32_t value)
{
	struct virtio_input_config *config = (struct virtio_input_config *)dev->config;
	uint8_t *bytes = dev->config;

	for (unsigned i = 0; i < size; i++)
		if (offset + i <= offsetof(struct virtio_input_config, subsel))
			bytes[offset + i] = value >> (8 * i);
	memset(&config->u, 0, sizeof config->u);
	config->size = select_config(config);
	if (!config->size)
		memset(&config->u, 0, sizeof config->u);
}

/* The events of what has changed; how many. */
static unsigned find_events(const struct virtio_tablet *tablet, struct virtio_input_event *event)
{
	const struct virtio_tablet_state *now = &tablet->now, *told = &tablet->told;
	unsigned count = 0;

	if (now->x != told->x)
		event[count++] = (struct virtio_input_event){EV_ABS, ABS_X, now->x};
	if (now->y != told->y)
		event[count++] = (struct virtio_input_event){EV_ABS, ABS_Y, now->y};
	for (unsigned i = 0; i < sizeof buttons / sizeof *buttons; i++)
		if ((now->buttons ^ told->buttons) & buttons[i].bit)
			event[count++] = (struct virtio_input_event){EV_KEY, buttons[i].code,
				now->buttons & buttons[i].bit ? 1 : 0};
	if (now->wheel)
		event[count++] =
			(struct virtio_input_event){EV_REL, REL_WHEEL, (uint32_t)-now->wheel};
	if (count)
		event[count++] = (struct virtio_input_event){EV_SYN, SYN_REPORT, 0};
	return count;
}

/* All events of a change, or none: each has a buffer of its own. */
static void tell(struct virtio_tablet *tablet)
{
	struct virtio_device *dev = &tablet->dev;
	struct virtio_input_event event[EVENTS_MAX];
	unsigned count = find_events(tablet, event);

	if (!count || virtio_arm(dev, QUEUE_EVENTS) < count)
		return;
	for (unsigned i = 0; i < count; i++) {
		if (virtio_pop(dev, QUEUE_EVENTS, &tablet->chain) != 1)
			return;
		if (tablet->chain.out_count || tablet->chain.in_len < sizeof *event) {
			virtio_fail(dev, "a buffer for a tablet's events that holds none");
			return;
		}
		virtq_chain_write(dev->memory, &tablet->chain, 0, &event[i], sizeof *event);
		virtio_push(dev, QUEUE_EVENTS, tablet->chain.head, sizeof *event);
	}
	virtio_publish(dev, QUEUE_EVENTS);
	tablet->now.wheel = 0;
	tablet->told = tablet->now;
}

static void tablet_notify(struct virtio_device *dev, unsigned queue)
{
	struct virtio_tablet *tablet = container_of(dev, struct virtio_tablet, dev);

	mutex_lock(&dev->lock);
	if (queue == QUEUE_EVENTS)
		tell(tablet);
	/* A tablet has no lights: what is said of them is given back as it is. */
	for (unsigned left = queue == QUEUE_STATUS ? virtio_arm(dev, queue) : 0; left; left--) {
		if (virtio_pop(dev, queue, &tablet->chain) != 1)
			break;
		virtio_push(dev, queue, tablet->chain.head, 0);
	}
	if (queue == QUEUE_STATUS)
		virtio_publish(dev, queue);
	mutex_unlock(&dev->lock);
}

static void tablet_nothing(struct virtio_device *dev)
{
}

static void tablet_reset(struct virtio_device *dev)
{
	struct virtio_tablet *tablet = container_of(dev, struct virtio_tablet, dev);

	memset(dev->config, 0, sizeof dev->config);
	tablet->told = (struct virtio_tablet_state){.x = 0};
}

static const struct virtio_device_ops tablet_ops = {
	.start = tablet_nothing,
	.notify = tablet_notify,
	.reset = tablet_reset,
	.config_write = tablet_config_write,
};

static int within(int wheel)
{
	return wheel > WHEEL_MAX ? WHEEL_MAX : wheel < -WHEEL_MAX ? -WHEEL_MAX : wheel;
}

bool virtio_tablet_move(struct virtio_tablet *tablet, const struct virtio_tablet_state *state)
{
	struct virtio_device *dev = &tablet->dev;
	bool there;

	mutex_lock(&dev->lock);
	there = virtio_running(dev) && dev->queue[QUEUE_EVENTS].enabled;
	if (there) {
		int wheel = tablet->now.wheel + within(state->wheel);

		tablet->now = *state;
		tablet->now.x = state->x < VIRTIO_TABLET_MAX ? state->x : VIRTIO_TABLET_MAX;
		tablet->now.y = state->y < VIRTIO_TABLET_MAX ? state->y : VIRTIO_TABLET_MAX;
		tablet->now.wheel = within(wheel);
		tell(tablet);
	}
	mutex_unlock(&dev->lock);
	return there;
}

int virtio_tablet_create(struct pci_bus *bus, struct memory *memory, struct virtio_tablet **out,
	struct error *err)
{
	struct virtio_tablet *tablet = calloc(1, sizeof *tablet);
	int r;

	if (!tablet)
		return error_nomem(err);
	virtio_device_init(&tablet->dev, "virtio-tablet", VIRTIO_ID_INPUT, &tablet_ops, memory, 0,
		QUEUES, QUEUE_SIZE);
	tablet->dev.config_size = sizeof(struct virtio_input_config);
	r = virtio_pci_attach(&tablet->dev, bus, CLASS_POINTER, err);
	if (r) {
		virtio_tablet_destroy(tablet);
		return r;
	}
	*out = tablet;
	return 0;
}

unsigned virtio_tablet_slot(struct virtio_tablet *tablet)
{
	return virtio_pci_function(&tablet->dev)->slot;
}

void virtio_tablet_destroy(struct virtio_tablet *tablet)
{
	if (!tablet)
		return;
	virtio_pci_detach(&tablet->dev);
	virtio_device_destroy(&tablet->dev);
	free(tablet);
}
