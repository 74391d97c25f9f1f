/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/container.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define CLASS_OTHER 0x00ff00u
#define QUEUE_SIZE 16
/* getrandom() gives up to this many bytes whole, and at once (random(7)). */
#define REQUEST_MAX 256

struct virtio_rng {
	struct virtio_device dev;
	struct virtq_chain chain; /* by dev.lock */
};

static void rng_notify(struct virtio_device *dev, unsigned queue)
{
	struct virtio_rng *rng = container_of(dev, struct virtio_rng, dev);
	struct virtq_chain *chain = &rng->chain;
	uint8_t bytes[REQUEST_MAX];

	mutex_lock(&dev->lock);
	for (unsigned left = virtio_arm(dev, 0); left; left--) {
		size_t len;

		if (virtio_pop(dev, 0, chain) != 1)
			break;
		len = chain->in_len < sizeof bytes ? chain->in_len : sizeof bytes;
		if (!len || chain->out_count || getrandom(bytes, len, 0) != (ssize_t)len) {
			virtio_fail(dev, "bad request for random bytes");
			break;
		}
		virtq_chain_write(dev->memory, chain, 0, bytes, len);
		virtio_push(dev, 0, chain->head, len);
	}
	virtio_publish(dev, 0);
	mutex_unlock(&dev->lock);
	explicit_bzero(bytes, sizeof bytes);
}

static void rng_nothing(struct virtio_device *dev)
{
}

static const struct virtio_device_ops rng_ops = {
	.start = rng_nothing,
	.notify = rng_notify,
	.reset = rng_nothing,
};

int virtio_rng_create(struct pci_bus *bus, struct memory *memory, struct virtio_rng **out,
	struct error *err)
{
	struct virtio_rng *rng = calloc(1, sizeof *rng);
	int r;

	if (!rng)
		return error_nomem(err);
	virtio_device_init(&rng->dev, "virtio-rng", VIRTIO_ID_RNG, &rng_ops, memory, 0, 1,
		QUEUE_SIZE);
	r = virtio_pci_attach(&rng->dev, bus, CLASS_OTHER, err);
	if (r) {
		virtio_rng_destroy(rng);
		return r;
	}
	*out = rng;
	return 0;
}

unsigned virtio_rng_slot(struct virtio_rng *rng)
{
	return virtio_pci_function(&rng->dev)->slot;
}

void virtio_rng_destroy(struct virtio_rng *rng)
{
	if (!rng)
		return;
	virtio_pci_detach(&rng->dev);
	virtio_device_destroy(&rng->dev);
	free(rng);
}
