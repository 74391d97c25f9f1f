/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "state/state.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define CLASS_OTHER 0x00ff00u
#define QUEUE_SIZE 128
enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS, QUEUES };

/* What of the configuration space (5.5.4) we have: the rest belongs to features that are not offered. */
#define CONFIG_SIZE offsetof(struct virtio_balloon_config, free_page_hint_cmd_id)

#define BATCH 256u    /* page numbers looked at together */
#define CHAIN_MAX 4u  /* batches in one chain; a driver sends one */
#define STATS_MAX 64u /* entries that are looked at */

struct virtio_balloon {
	struct virtio_device dev;
	void (*changed)(void *ctx);
	void *ctx;
	uint32_t all; /* pages of the guest */
	/* by dev.lock */
	struct virtq_chain chain;
	uint32_t pfn[BATCH];
	bool stats_held; /* the driver's buffer is with us: giving it back asks for new numbers */
	uint16_t stats_head;
	uint64_t known, stat[BALLOON_STATS];
};

static struct virtio_balloon_config *config_of(struct virtio_balloon *balloon)
{
	return (struct virtio_balloon_config *)balloon->dev.config;
}

/* A few hundred at most; qsort() would ask the host how much memory it has. */
static void sort_pages(uint32_t *value, unsigned count)
{
	for (unsigned gap = count / 2; gap; gap /= 2) {
		for (unsigned i = gap; i < count; i++) {
			uint32_t moved = value[i];
			unsigned at = i;

			for (; at >= gap && value[at - gap] > moved; at -= gap)
				value[at] = value[at - gap];
			value[at] = moved;
		}
	}
}

/* Gives the pages back in runs; those that are no RAM are passed over, as the guest's own trouble. */
static void give_back(struct virtio_balloon *balloon, unsigned count)
{
	uint32_t *pfn = balloon->pfn;

	sort_pages(pfn, count);
	for (unsigned i = 0, run; i < count; i += run) {
		for (run = 1; i + run < count && pfn[i + run] - pfn[i + run - 1] <= 1; run++)
			;
		memory_discard(balloon->dev.memory, (uint64_t)pfn[i] * VIRTIO_BALLOON_PAGE,
			(uint64_t)(pfn[i + run - 1] - pfn[i] + 1) * VIRTIO_BALLOON_PAGE);
	}
}

static bool serve_pages(struct virtio_balloon *balloon, unsigned queue)
{
	struct virtio_device *dev = &balloon->dev;
	uint64_t offset = 0;
	size_t n;

	if (balloon->chain.in_count) {
		virtio_fail(dev, "a balloon's list of pages that is to be written");
		return false;
	}
	while (queue == QUEUE_INFLATE && offset < CHAIN_MAX * sizeof balloon->pfn) {
		n = virtq_chain_read(&balloon->chain, offset, balloon->pfn, sizeof balloon->pfn);
		give_back(balloon, n / sizeof *balloon->pfn);
		offset += n;
		if (n < sizeof balloon->pfn)
			break;
	}
	virtio_push(dev, queue, balloon->chain.head, 0);
	return true;
}

static bool serve_stats(struct virtio_balloon *balloon)
{
	struct virtio_balloon_stat stat[STATS_MAX];
	size_t n = virtq_chain_read(&balloon->chain, 0, stat, sizeof stat);

	if (balloon->stats_held) {
		virtio_fail(&balloon->dev, "two buffers in a balloon's statistics queue");
		return false;
	}
	for (size_t i = 0; i < n / sizeof *stat; i++) {
		if (stat[i].tag >= BALLOON_STATS)
			continue;
		balloon->stat[stat[i].tag] = stat[i].val;
		balloon->known |= 1u << stat[i].tag;
	}
	balloon->stats_held = true;
	balloon->stats_head = balloon->chain.head;
	return true;
}

static void serve_queue(struct virtio_device *dev, unsigned queue) REQUIRES(dev->lock)
{
	struct virtio_balloon *balloon = container_of(dev, struct virtio_balloon, dev);
	bool good = true;

	for (unsigned left = virtio_arm(dev, queue); left && good; left--) {
		if (virtio_pop(dev, queue, &balloon->chain) != 1)
			break;
		good = queue == QUEUE_STATS ? serve_stats(balloon) : serve_pages(balloon, queue);
	}
	virtio_publish(dev, queue);
}

static void balloon_notify(struct virtio_device *dev, unsigned queue)
{
	mutex_lock(&dev->lock);
	serve_queue(dev, queue);
	mutex_unlock(&dev->lock);
}

static void balloon_config_write(struct virtio_device *dev, unsigned offset, unsigned size,
	uint32_t value)
{
	struct virtio_balloon *balloon = container_of(dev, struct virtio_balloon, dev);
	struct virtio_balloon_config *config = config_of(balloon);

	if (offset != offsetof(struct virtio_balloon_config, actual) || size != 4)
		return;
	config->actual = value < balloon->all ? value : balloon->all;
	if (config->actual == config->num_pages && balloon->changed)
		balloon->changed(balloon->ctx);
}

/* Linux fills the statistics queue before it says that it is ready. */
static void balloon_start(struct virtio_device *dev)
{
	mutex_assert_held(&dev->lock);
	serve_queue(dev, QUEUE_STATS);
}

/* What the guest gave up is its own again, and empty. */
static void balloon_reset(struct virtio_device *dev)
{
	struct virtio_balloon *balloon = container_of(dev, struct virtio_balloon, dev);

	config_of(balloon)->actual = 0;
	balloon->stats_held = false;
	balloon->known = 0;
}

static void balloon_describe(struct virtio_device *dev, struct state *s)
{
	struct virtio_balloon *balloon = container_of(dev, struct virtio_balloon, dev);
	struct virtio_balloon_config *config = config_of(balloon);
	uint32_t pages = config->num_pages, actual = config->actual;

	state_u32(s, "target", &pages);
	state_u32(s, "actual", &actual);
	state_bool(s, "stats_held", &balloon->stats_held);
	state_u16(s, "stats_head", &balloon->stats_head);
	state_require(s, pages <= balloon->all && actual <= balloon->all,
		"a balloon larger than the guest");
	config->num_pages = pages;
	config->actual = actual;
}

static const struct virtio_device_ops balloon_ops = {
	.start = balloon_start,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.config_write = balloon_config_write,
	.describe = balloon_describe,
};

void virtio_balloon_set(struct virtio_balloon *balloon, uint64_t pages)
{
	struct virtio_device *dev = &balloon->dev;

	mutex_lock(&dev->lock);
	config_of(balloon)->num_pages = pages < balloon->all ? pages : balloon->all;
	if (virtio_running(dev))
		virtio_config_changed(dev);
	mutex_unlock(&dev->lock);
}

void virtio_balloon_info(struct virtio_balloon *balloon, struct virtio_balloon_info *info)
{
	struct virtio_device *dev = &balloon->dev;

	mutex_lock(&dev->lock);
	*info = (struct virtio_balloon_info){
		.driver = virtio_running(dev),
		.pages = config_of(balloon)->actual,
		.target = config_of(balloon)->num_pages,
		.known = balloon->known,
	};
	memcpy(info->stat, balloon->stat, sizeof info->stat);
	if (info->driver && balloon->stats_held) {
		balloon->stats_held = false;
		virtio_push(dev, QUEUE_STATS, balloon->stats_head, 0);
		virtio_publish(dev, QUEUE_STATS);
	}
	mutex_unlock(&dev->lock);
}

int virtio_balloon_create(struct pci_bus *bus, struct memory *memory, uint64_t target_pages,
	void (*changed)(void *ctx), void *ctx, struct virtio_balloon **out, struct error *err)
{
	struct virtio_balloon *balloon = calloc(1, sizeof *balloon);
	uint64_t all = memory->size / VIRTIO_BALLOON_PAGE;
	int r;

	if (!balloon)
		return error_nomem(err);
	balloon->changed = changed;
	balloon->ctx = ctx;
	balloon->all = all < UINT32_MAX ? all : UINT32_MAX;
	virtio_device_init(&balloon->dev, "virtio-balloon", VIRTIO_ID_BALLOON, &balloon_ops, memory,
		VIRTIO_FEATURE(VIRTIO_BALLOON_F_STATS_VQ), QUEUES, QUEUE_SIZE);
	balloon->dev.config_size = CONFIG_SIZE;
	config_of(balloon)->num_pages = target_pages < balloon->all ? target_pages : balloon->all;
	r = virtio_pci_attach(&balloon->dev, bus, CLASS_OTHER, err);
	if (r) {
		virtio_balloon_destroy(balloon);
		return r;
	}
	*out = balloon;
	return 0;
}

unsigned virtio_balloon_slot(struct virtio_balloon *balloon)
{
	return virtio_pci_function(&balloon->dev)->slot;
}

void virtio_balloon_destroy(struct virtio_balloon *balloon)
{
	if (!balloon)
		return;
	virtio_pci_detach(&balloon->dev);
	virtio_device_destroy(&balloon->dev);
	free(balloon);
}
