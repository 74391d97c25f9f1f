/* SPDX-License-Identifier: Apache-2.0 */
/* A virtio device in a saved state: what it is in for any device, and standing still for that. */
#include <errno.h>
#include <string.h>

#include "state/state.h"
#include "virtio/device.h"
#include "virtio/ring.h"

void virtio_quiesce(struct virtio_device *dev, bool quiet)
{
	mutex_lock(&dev->lock);
	if (quiet && !dev->quiet) {
		if (dev->ops->drain)
			dev->ops->drain(dev);
		for (unsigned i = 0; virtio_running(dev) && i < dev->queues; i++)
			virtio_publish(dev, i);
	}
	/* Memory may have become another meanwhile (machine/memory_base.h), whose pages come when they are asked for. */
	for (unsigned i = 0; !quiet && i < dev->queues; i++)
		if (dev->queue[i].enabled && !virtq_find(&dev->queue[i]))
			virtio_fail(dev, "its rings cannot be had");
	dev->quiet = quiet;
	mutex_unlock(&dev->lock);
	/* What the guest has queued meanwhile, or what a state came with. */
	for (unsigned i = 0; !quiet && i < dev->queues; i++)
		dev->ops->notify(dev, i);
}

bool virtio_busy(struct virtio_device *dev)
{
	bool busy = false;

	mutex_lock(&dev->lock);
	for (unsigned i = 0; dev->ops->drain && virtio_running(dev) && i < dev->queues; i++)
		busy |= dev->queue[i].enabled && dev->queue[i].last_avail != dev->queue[i].used_idx;
	mutex_unlock(&dev->lock);
	return busy;
}

static void load_queue(struct virtio_device *dev, unsigned n, const struct virtq *from, bool broken,
	struct state *s)
{
	struct virtq *queue = &dev->queue[n];

	virtq_reset(queue);
	queue->size = from->size;
	queue->desc_gpa = from->desc_gpa;
	queue->avail_gpa = from->avail_gpa;
	queue->used_gpa = from->used_gpa;
	queue->vector = from->vector;
	if (from->enabled)
		state_require(s,
			virtq_enable(queue,
				dev->features & VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
				dev->features & VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX)),
			"a queue with an impossible size or address");
	queue->last_avail = from->last_avail;
	queue->used_idx = queue->used_next = from->used_idx;
	if (broken)
		queue->broken = "it was so before it was saved";
}

static void describe_queue(struct virtio_device *dev, unsigned n, struct state *s)
{
	struct virtq queue = dev->queue[n];
	bool broken = queue.broken;

	state_group(s, "queue", n);
	state_u16(s, "size", &queue.size);
	state_u64(s, "desc", &queue.desc_gpa);
	state_u64(s, "driver", &queue.avail_gpa);
	state_u64(s, "device", &queue.used_gpa);
	state_u16(s, "vector", &queue.vector);
	state_bool(s, "enabled", &queue.enabled);
	state_bool(s, "broken", &broken);
	state_u16(s, "last_avail", &queue.last_avail);
	state_u16(s, "used_idx", &queue.used_idx);
	if (state_loading(s) && state_ok(s))
		load_queue(dev, n, &queue, broken, s);
}

void virtio_describe(struct virtio_device *dev, struct state *s)
{
	uint32_t id = dev->id, queues = dev->queues;
	uint64_t features = dev->features;
	uint8_t status = dev->status;

	state_u32(s, "type", &id);
	state_u32(s, "queues", &queues);
	state_u64(s, "features", &features);
	state_u8(s, "status", &status);
	state_u8(s, "generation", &dev->generation);
	state_u16(s, "config_vector", &dev->config_vector);
	if (id != dev->id || queues != dev->queues)
		state_fail(s, EINVAL, "the guest had another device than %s here", dev->name);
	if ((status & VIRTIO_CONFIG_S_FEATURES_OK) && features & ~dev->offered)
		state_fail(s, ENOTSUP,
			"the guest uses what this %s does not offer (features %#llx)", dev->name,
			(unsigned long long)(features & ~dev->offered));
	state_require(s, !(status & ~VIRTIO_STATUS_KNOWN), "an unknown status bit");
	if (state_loading(s) && state_ok(s)) {
		dev->features = features;
		dev->status = status;
		dev->failure = status & VIRTIO_CONFIG_S_NEEDS_RESET ? "before it was saved" : NULL;
	}
	for (unsigned i = 0; i < dev->queues; i++)
		describe_queue(dev, i, s);
	state_group(s, NULL, 0);
	if (dev->ops->describe)
		dev->ops->describe(dev, s);
}
