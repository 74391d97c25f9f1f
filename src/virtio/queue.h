/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split virtqueue, device side (virtio 1.2, 2.7). Everything in it belongs
 * to the guest and may change at any time: each value is read once, checked,
 * and used from the copy. A ring that breaks a rule makes the queue broken: it
 * gives no more chains, and its device asks for a reset (2.1.2).
 *
 * No locking here: one thread at a time. Numbers are little-endian, as the host
 * is. A device uses the queue by device.h's verbs; what is done to the ring itself
 * is in ring.h.
 */
#ifndef DACH_VIRTIO_QUEUE_H
#define DACH_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "machine/memory.h"

#define VIRTQ_SIZE_MAX 256u
#define VIRTQ_SEGMENTS VIRTQ_SIZE_MAX /* a chain's buffers, indirect ones included */

/* Ring layout (virtio 1.2, 2.7.5 to 2.7.8) */
#define VIRTQ_DESC_NEXT 1u
#define VIRTQ_DESC_WRITE 2u
#define VIRTQ_DESC_INDIRECT 4u
#define VIRTQ_AVAIL_NO_INTERRUPT 1u
#define VIRTQ_USED_NO_NOTIFY 1u

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct virtq_avail {
	uint16_t flags, idx;
	uint16_t ring[]; /* size entries, then used_event */
};

struct virtq_used_elem {
	uint32_t id, len;
};

struct virtq_used {
	uint16_t flags, idx;
	struct virtq_used_elem ring[]; /* size entries, then avail_event */
};

struct virtq {
	struct memory *memory;
	uint16_t size_max; /* what the device offers: a power of two, up to VIRTQ_SIZE_MAX */
	/* What the driver asks for; as written, checked by virtq_enable(). */
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint16_t vector; /* MSI-X, the transport's */

	bool enabled;
	const char *broken; /* why, or NULL */
	bool indirect, event_idx;
	const struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t last_avail; /* the next entry to take */
	uint16_t used_next;  /* the next entry to fill */
	uint16_t used_idx;   /* as the guest sees it */
};

/* A request: buffers to read, then buffers to write, as host memory. */
struct virtq_chain {
	uint16_t head;
	unsigned out_count, in_count; /* segments the device reads, writes: iov[0..out), then in */
	uint64_t out_len, in_len;     /* bytes */
	struct iovec iov[VIRTQ_SEGMENTS];
	uint64_t gpa[VIRTQ_SEGMENTS]; /* for memory_written() */
};

/* The chain's readable bytes from offset on; less than len when it ends. */
size_t virtq_chain_read(const struct virtq_chain *chain, uint64_t offset, void *buf, size_t len);
/* Likewise into its writable ones; memory_written() is called. */
size_t virtq_chain_write(struct memory *memory, const struct virtq_chain *chain, uint64_t offset,
	const void *buf, size_t len);
/*
 * What is left of a chain while its buffers are with somebody who writes them himself, as a disk's
 * image does: all that virtio_complete() needs.
 */
struct virtq_span {
	uint64_t gpa, len;
};

struct virtq_held {
	uint16_t head;
	unsigned count;
	struct virtq_span *in; /* all that the chain has to write */
};

/* spans has room for chain->in_count, and stays with held. */
void virtq_chain_hold(const struct virtq_chain *chain, struct virtq_held *held,
	struct virtq_span *spans);

#endif
