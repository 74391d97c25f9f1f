/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/stream.h"

static void take_chain(const struct virtq_chain *chain,
	void (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	uint8_t bytes[4096];
	uint64_t offset = 0;
	size_t n;

	while (offset < STREAM_CHAIN_MAX &&
		(n = virtq_chain_read(chain, offset, bytes, sizeof bytes))) {
		sink(ctx, bytes, n);
		offset += n;
	}
}

void virtio_stream_out(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain,
	void (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx)
{
	for (unsigned left = virtio_arm(dev, queue); left; left--) {
		if (virtio_pop(dev, queue, chain) != 1)
			break;
		take_chain(chain, sink, ctx);
		virtio_push(dev, queue, chain->head, 0);
	}
	virtio_publish(dev, queue);
}

size_t virtio_stream_in(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain,
	const uint8_t *data, size_t len)
{
	size_t done = 0;

	for (unsigned left = virtio_arm(dev, queue); left && done < len; left--) {
		size_t n;

		if (virtio_pop(dev, queue, chain) != 1)
			break;
		n = virtq_chain_write(dev->memory, chain, 0, data + done, len - done);
		virtio_push(dev, queue, chain->head, n);
		done += n;
	}
	virtio_publish(dev, queue);
	return done;
}
