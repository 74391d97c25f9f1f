/* SPDX-License-Identifier: Apache-2.0 */
/* The block device: requests of the fuzzer's bytes, on a small image in memory. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block_rig.h"
#include "machine/pci/bus.h"
#include "virtio/blk.h"
#include "virtio/pci.h"

#define MEMORY (1u << 20)
#define DISK (64u << 10)
#define QUEUE_SIZE 8
#define DESC 0x1000u
#define AVAIL 0x2000u
#define USED 0x3000u
#define HEADERS 0x4000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct memory memory;
	struct bus io, mmio;
	struct pci_bus pci;
	struct block_device *image;
	struct virtio_blk *blk;
	uint64_t bar;
};

/* Mostly sensible values, so that requests get far. */
struct step {
	uint8_t type, flags, sector, count;
	uint32_t length;
	uint64_t raw;
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
	int fd = memfd_create("disk", 0);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bus_init(&w->io);
	bus_init(&w->mmio);
	if (ftruncate(fd, DISK) || memory_create(&w->memory, MEMORY, 0, false, NULL) ||
		pci_bus_init(&w->pci, &w->io, &w->mmio, &owner, NULL) ||
		rig_block_open(path, &w->image, NULL) ||
		virtio_blk_create(&w->pci, &w->memory, w->image, "fuzz", &w->blk, NULL))
		abort();
	close(fd);
	w->bar = w->pci.at[1][0]->bar[VIRTIO_PCI_BAR].mapped;
}

static void put(struct world *w, unsigned field, unsigned size, uint64_t value)
{
	bus_write(&w->mmio, w->bar + field, size, value);
}

static void start(struct world *w, uint32_t features)
{
	put(w, VIRTIO_COMMON_STATUS, 1, 0);
	memset(memory_ptr(&w->memory, DESC, 0x3000), 0, 0x3000);
	put(w, VIRTIO_COMMON_STATUS, 1, 3);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE, 4, 1);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0);
	put(w, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, 0);
	put(w, VIRTIO_COMMON_DRIVER_FEATURE, 4,
		features & bus_read(&w->mmio, w->bar + VIRTIO_COMMON_DEVICE_FEATURE, 4));
	put(w, VIRTIO_COMMON_STATUS, 1, 11);
	put(w, VIRTIO_COMMON_QUEUE_SIZE, 2, QUEUE_SIZE);
	put(w, VIRTIO_COMMON_QUEUE_DESC, 8, DESC);
	put(w, VIRTIO_COMMON_QUEUE_DRIVER, 8, AVAIL);
	put(w, VIRTIO_COMMON_QUEUE_DEVICE, 8, USED);
	put(w, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	put(w, VIRTIO_COMMON_STATUS, 1, 15);
}

static void take_step(struct world *w, const struct step *step, unsigned n)
{
	static const uint8_t types[] = {0, 1, 4, 8, 11, 13};
	struct virtq_desc *desc = memory_ptr(&w->memory, DESC, 16 * QUEUE_SIZE);
	struct virtq_avail *avail = memory_ptr(&w->memory, AVAIL, 64);
	uint64_t header[4] = {types[step->type % 6], step->sector, step->count, step->flags & 1};
	uint32_t header_len = 16, length = step->length % 0x8000;
	uint16_t in = step->type & 1 ? 0 : VIRTQ_DESC_WRITE;
	unsigned head = 3 * (n % 2);

	if (step->flags & 2)
		header[1] = step->raw;
	if (step->flags & 4)
		header[0] = step->raw;
	if (step->flags & 8)
		header_len = step->length % 40;
	if (step->flags & 16)
		length = step->length;
	if (step->type % 6 > 3)
		length = 16;
	memory_write(&w->memory, HEADERS + 64 * head, header, sizeof(header));
	desc[head] =
		(struct virtq_desc){HEADERS + 64 * head, header_len, VIRTQ_DESC_NEXT, head + 1};
	desc[head + 1] = (struct virtq_desc){HEADERS + 64 * head + 16,
		length & (step->flags & 32 ? ~0u : ~511u), VIRTQ_DESC_NEXT | in, head + 2};
	desc[head + 2] = (struct virtq_desc){0x20000, 1, VIRTQ_DESC_WRITE, 0};
	if (step->flags & 64)
		memcpy(&desc[step->raw % 6], &step->raw, 8);
	avail->ring[avail->idx % QUEUE_SIZE] = head;
	__atomic_store_n(&avail->idx, avail->idx + 1, __ATOMIC_SEQ_CST);
	if (!(step->flags & 128))
		put(w, VIRTIO_PCI_NOTIFY, 2, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct step step;

	if (!world.blk)
		world_create(&world);
	start(&world, size ? data[0] << 8 | 3u << 28 : 0);
	for (unsigned n = 0; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		take_step(&world, &step, n++);
	}
	put(&world, VIRTIO_COMMON_STATUS, 1, 0);
	return 0;
}
