/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/device.h"

#include <string.h>

#include "base/thread.h"
#include "virtio/ring.h"

void virtio_device_init(struct virtio_device *dev, const char *name, unsigned id,
	const struct virtio_device_ops *ops, struct memory *memory, uint64_t features,
	unsigned queues, uint16_t size_max)
{
	memset(dev, 0, sizeof *dev);
	dev->name = name;
	dev->id = id;
	dev->ops = ops;
	dev->memory = memory;
	dev->offered = features | VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
		VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
		VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	dev->queues = queues;
	dev->config_vector = VIRTIO_NO_VECTOR;
	mutex_init(&dev->lock);
	for (unsigned i = 0; i < queues; i++) {
		dev->queue[i].memory = memory;
		dev->queue[i].size_max = size_max;
		virtq_reset(&dev->queue[i]);
	}
}

void virtio_device_destroy(struct virtio_device *dev)
{
	mutex_destroy(&dev->lock);
}

void virtio_reset(struct virtio_device *dev)
{
	mutex_assert_held(&dev->lock);
	if (dev->resetting)
		return;
	dev->resetting = true;
	dev->ops->reset(dev);
	dev->features = 0;
	dev->failure = NULL;
	dev->config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < dev->queues; i++)
		virtq_reset(&dev->queue[i]);
	/* Last: the driver waits to read it as 0 (2.4.2). */
	dev->status = 0;
	dev->resetting = false;
}

static bool features_acceptable(const struct virtio_device *dev)
{
	return !(dev->features & ~dev->offered) &&
		(dev->features & VIRTIO_FEATURE(VIRTIO_F_VERSION_1));
}

void virtio_set_status(struct virtio_device *dev, uint8_t status)
{
	uint8_t added;

	if (status == 0) {
		virtio_reset(dev);
		return;
	}
	/* Bits are only ever added; what needs a reset is ours to say. */
	added = status & VIRTIO_STATUS_KNOWN & ~dev->status & ~VIRTIO_CONFIG_S_NEEDS_RESET;
	if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(dev))
		added &= ~VIRTIO_CONFIG_S_FEATURES_OK; /* the driver reads it back (3.1.1) */
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) &&
		!((dev->status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	dev->status |= added;
	if ((added & VIRTIO_CONFIG_S_DRIVER_OK) && virtio_running(dev))
		dev->ops->start(dev);
}

void virtio_queue_enable(struct virtio_device *dev, unsigned index)
{
	struct virtq *queue = &dev->queue[index];

	mutex_assert_held(&dev->lock);
	if (queue->enabled || !(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (!virtq_enable(queue, dev->features & VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
		    dev->features & VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX)))
		virtio_fail(dev, "impossible size or address of a queue");
}

bool virtio_running(const struct virtio_device *dev)
{
	mutex_assert_held(&dev->lock);
	return (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		!(dev->status & VIRTIO_CONFIG_S_NEEDS_RESET) && !dev->resetting && !dev->quiet;
}

void virtio_fail(struct virtio_device *dev, const char *why)
{
	mutex_assert_held(&dev->lock);
	if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	dev->failure = why;
	dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_config_changed(dev);
}

unsigned virtio_arm(struct virtio_device *dev, unsigned index)
{
	struct virtq *queue = &dev->queue[index];
	unsigned count;

	if (!virtio_running(dev))
		return 0;
	count = virtq_arm(queue);
	if (queue->broken)
		virtio_fail(dev, queue->broken);
	return count;
}

int virtio_pop(struct virtio_device *dev, unsigned index, struct virtq_chain *chain)
{
	struct virtq *queue = &dev->queue[index];
	int r;

	if (!virtio_running(dev))
		return 0;
	r = virtq_pop(queue, chain);
	if (r >= 0)
		return r;
	virtio_fail(dev, queue->broken);
	return 0;
}

void virtio_unpop(struct virtio_device *dev, unsigned index, unsigned count)
{
	virtq_unpop(&dev->queue[index], count);
}

void virtio_ignore(struct virtio_device *dev, unsigned index)
{
	virtq_ignore(&dev->queue[index]);
}

bool virtio_want_more(struct virtio_device *dev, unsigned index, unsigned seen)
{
	return virtio_running(dev) && virtq_want_more(&dev->queue[index], seen);
}

void virtio_push(struct virtio_device *dev, unsigned index, uint16_t head, uint32_t len)
{
	mutex_assert_held(&dev->lock);
	virtq_push(&dev->queue[index], head, len);
}

void virtio_publish(struct virtio_device *dev, unsigned index)
{
	if (virtio_running(dev) && virtq_publish(&dev->queue[index]))
		dev->interrupt(dev, index);
}

void virtio_complete(struct virtio_device *dev, unsigned index, const struct virtq_held *held,
	uint32_t len)
{
	for (unsigned i = 0; i < held->count; i++)
		memory_written(dev->memory, held->in[i].gpa, held->in[i].len);
	if (!virtio_running(dev))
		return;
	virtio_push(dev, index, held->head, len);
	virtio_publish(dev, index);
}

void virtio_config_changed(struct virtio_device *dev)
{
	dev->generation++;
	dev->interrupt(dev, -1);
}
