/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: lists of pages and statistics of the fuzzer's bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/bus.h"
#include "virtio/balloon.h"
#include "virtio/pci.h"

#define MEMORY (1u << 20)
#define QUEUE_SIZE 8
#define RINGS 0x1000u /* a queue's desc, avail, used: a page each */
#define BYTES 0x10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct memory memory;
	struct bus io, mmio;
	struct pci_bus pci;
	struct virtio_balloon *balloon;
	uint64_t bar;
};

static void take_msi(void *ctx, uint64_t addr, uint32_t data)
{
}

static void take_intx(void *ctx, unsigned pin, bool level)
{
}

static void world_create(struct world *w)
{
	const struct pci_owner owner = {.ctx = w, .msi = take_msi, .intx = take_intx};

	bus_init(&w->io);
	bus_init(&w->mmio);
	if (memory_create(&w->memory, MEMORY, 0, false, NULL) ||
		pci_bus_init(&w->pci, &w->io, &w->mmio, &owner, NULL) ||
		virtio_balloon_create(&w->pci, &w->memory, 7, NULL, NULL, &w->balloon, NULL))
		abort();
	w->bar = w->pci.at[1][0]->bar[VIRTIO_PCI_BAR].mapped;
}

static void put(struct world *w, unsigned field, unsigned size, uint64_t value)
{
	bus_write(&w->mmio, w->bar + field, size, value);
}

static uint64_t ring(unsigned queue, unsigned part)
{
	return RINGS + 0x3000u * queue + 0x1000u * part;
}

static void start(struct world *w, bool stats)
{
	put(w, VIRTIO_COMMON_STATUS, 1, 0);
	memset(memory_ptr(&w->memory, RINGS, 0x9000), 0, 0x9000);
	put(w, VIRTIO_COMMON_STATUS, 1, 3);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE, 4, 1);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE, 4, stats ? 2 : 0);
	put(w, VIRTIO_COMMON_STATUS, 1, 11);
	for (unsigned q = 0; q < 3; q++) {
		put(w, VIRTIO_COMMON_QUEUE_SELECT, 2, q);
		put(w, VIRTIO_COMMON_QUEUE_SIZE, 2, QUEUE_SIZE);
		put(w, VIRTIO_COMMON_QUEUE_DESC, 8, ring(q, 0));
		put(w, VIRTIO_COMMON_QUEUE_DRIVER, 8, ring(q, 1));
		put(w, VIRTIO_COMMON_QUEUE_DEVICE, 8, ring(q, 2));
		put(w, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	}
	put(w, VIRTIO_COMMON_STATUS, 1, 15);
}

/* A chain of the next bytes, in two buffers. */
static size_t offer(struct world *w, uint8_t how, const uint8_t *data, size_t size)
{
	unsigned q = how % 3;
	struct virtq_desc *desc = memory_ptr(&w->memory, ring(q, 0), 16 * QUEUE_SIZE);
	struct virtq_avail *avail = memory_ptr(&w->memory, ring(q, 1), 64);
	size_t len = how & 0x80 ? 4096 : how >> 2, first = how & 8 ? len / 3 : len;

	if (len > size)
		len = size;
	first = first < len ? first : len;
	memory_write(&w->memory, BYTES, data, len);
	desc[0] = (struct virtq_desc){BYTES, first, VIRTQ_DESC_NEXT, 1};
	desc[1] = (struct virtq_desc){BYTES + first, how & 4 ? 0xffffff : len - first,
		how & 0x40 ? VIRTQ_DESC_WRITE : 0, 0};
	avail->ring[avail->idx % QUEUE_SIZE] = 0;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_SEQ_CST);
	put(w, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STEP * q, 2, q);
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct virtio_balloon_info info;

	if (!world.balloon)
		world_create(&world);
	start(&world, size && data[0] & 1);
	while (size > 1) {
		uint8_t how = data[1];
		size_t used = 2;

		if (how % 8 == 7 && size >= 6) {
			uint32_t value;

			memcpy(&value, data + 2, 4);
			put(&world, VIRTIO_PCI_CONFIG + (how >> 3) % 8, 4, value);
			virtio_balloon_set(world.balloon, value);
			used = 6;
		} else {
			used += offer(&world, how, data + 2, size - 2);
		}
		virtio_balloon_info(world.balloon, &info);
		if (info.pages > MEMORY / VIRTIO_BALLOON_PAGE || info.target > info.pages + MEMORY)
			abort();
		data += used;
		size -= used;
	}
	put(&world, VIRTIO_COMMON_STATUS, 1, 0);
	return 0;
}
