/* SPDX-License-Identifier: Apache-2.0 */
/* Queues that carry a stream of bytes, as consoles and their ports do (virtio 1.2, 5.3.6). Lock held. */
#ifndef DACH_VIRTIO_STREAM_H
#define DACH_VIRTIO_STREAM_H

#include "virtio/device.h"

/*
 * Gives the guest what it has buffers for, and returns how many bytes that was. Of a guest without any it
 * hears when there are some. chain: room to work in.
 */
size_t virtio_stream_in(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain,
	const uint8_t *data, size_t len);
/*
 * Takes the chains that are there and gives their bytes to sink, in pieces; of a chain STREAM_CHAIN_MAX at
 * most, the rest is dropped.
 */
#define STREAM_CHAIN_MAX (1u << 20)
void virtio_stream_out(struct virtio_device *dev, unsigned queue, struct virtq_chain *chain,
	void (*sink)(void *ctx, const uint8_t *data, size_t len), void *ctx);

#endif
