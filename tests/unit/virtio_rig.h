/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's side of a virtio device for tests: memory, a PCI bus whose messages
 * are counted, and a driver that goes through the registers as a kernel does.
 */
#ifndef DACH_TESTS_VIRTIO_RIG_H
#define DACH_TESTS_VIRTIO_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "machine/memory.h"
#include "machine/pci/bus.h"
#include "virtio/device.h"
#include "virtio/pci.h"

#define RIG_MEMORY (4ull << 20)
#define RIG_RINGS 0x10000ull /* queue n: desc, avail, used at + n * 0x10000 */
#define RIG_DATA 0x100000ull
#define RIG_QUEUE_SIZE 16

struct rig {
	struct memory mem;
	struct bus io, mmio;
	struct pci_bus pci;
	unsigned msi[8]; /* by data; atomic */
	bool intx;
	unsigned slot;
	uint64_t bar;
};

struct ring {
	struct rig *rig;
	unsigned index;
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	uint16_t seen;
	uint16_t free; /* next descriptor to use */
};

static inline void rig_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct rig *rig = ctx;

	__atomic_fetch_add(&rig->msi[data & 7], 1, __ATOMIC_SEQ_CST);
}

static inline void rig_intx(void *ctx, unsigned pin, bool level)
{
	((struct rig *)ctx)->intx = level;
}

static inline void rig_open(struct rig *rig)
{
	struct pci_owner owner = {.ctx = rig, .msi = rig_msi, .intx = rig_intx};
	struct error err = {0};

	memset(rig, 0, sizeof(*rig));
	rig->slot = 1;
	assert_int_equal(memory_create(&rig->mem, RIG_MEMORY, 0, false, &err), 0);
	bus_init(&rig->io);
	bus_init(&rig->mmio);
	assert_int_equal(pci_bus_init(&rig->pci, &rig->io, &rig->mmio, &owner, &err), 0);
}

static inline void rig_close(struct rig *rig)
{
	pci_bus_destroy(&rig->pci);
	bus_destroy(&rig->io);
	bus_destroy(&rig->mmio);
	memory_destroy(&rig->mem);
}

static inline uint32_t rig_config_read(struct rig *rig, unsigned offset, unsigned size)
{
	bus_write(&rig->io, 0xcf8, 4, 0x80000000u | rig->slot << 11 | (offset & 0xfc));
	return bus_read(&rig->io, 0xcfc + (offset & 3), size);
}

static inline void rig_config_write(struct rig *rig, unsigned offset, unsigned size, uint32_t value)
{
	bus_write(&rig->io, 0xcf8, 4, 0x80000000u | rig->slot << 11 | (offset & 0xfc));
	bus_write(&rig->io, 0xcfc + (offset & 3), size, value);
}

/* Where the capability of this virtio type lies in configuration space; 0: nowhere. */
static inline unsigned rig_cap(struct rig *rig, uint8_t id, int type)
{
	unsigned cap = rig_config_read(rig, PCI_CAPABILITIES, 1);

	for (unsigned i = 0; cap && i < 48; i++, cap = rig_config_read(rig, cap + 1, 1))
		if (rig_config_read(rig, cap, 1) == id &&
			(type < 0 || rig_config_read(rig, cap + 3, 1) == (unsigned)type))
			return cap;
	return 0;
}

static inline uint64_t rig_read(struct rig *rig, unsigned offset, unsigned size)
{
	return bus_read(&rig->mmio, rig->bar + offset, size);
}

static inline void rig_write(struct rig *rig, unsigned offset, unsigned size, uint64_t value)
{
	bus_write(&rig->mmio, rig->bar + offset, size, value);
}

static inline uint8_t rig_status(struct rig *rig)
{
	return rig_read(rig, VIRTIO_COMMON_STATUS, 1);
}

static inline void rig_find_bar(struct rig *rig)
{
	rig->bar = rig_config_read(rig, PCI_BAR0 + 4 * VIRTIO_PCI_BAR, 4) & ~15u;
	assert_true(rig->bar != 0);
}

/* Reset to FEATURES_OK; the features taken are those of wanted that are offered. */
static inline void rig_negotiate(struct rig *rig, uint64_t wanted)
{
	uint64_t offered = 0;

	rig_find_bar(rig);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, 0);
	assert_int_equal(rig_status(rig), 0);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		rig_write(rig, VIRTIO_COMMON_DEVICE_FEATURE_SELECT, 4, i);
		offered |= rig_read(rig, VIRTIO_COMMON_DEVICE_FEATURE, 4) << (32 * i);
	}
	wanted = (wanted | VIRTIO_FEATURE(VIRTIO_F_VERSION_1)) & offered;
	for (unsigned i = 0; i < 2; i++) {
		rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, i);
		rig_write(rig, VIRTIO_COMMON_DRIVER_FEATURE, 4, wanted >> (32 * i));
	}
	rig_write(rig, VIRTIO_COMMON_STATUS, 1,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_true(rig_status(rig) & VIRTIO_CONFIG_S_FEATURES_OK);
}

/* MSI-X on, vector i sends data i. */
static inline void rig_msix(struct rig *rig)
{
	unsigned cap = rig_cap(rig, PCI_CAP_MSIX, -1);
	uint64_t table = rig_config_read(rig, PCI_BAR0 + 4 * VIRTIO_PCI_MSIX_BAR, 4) & ~15u;

	assert_true(cap != 0);
	for (unsigned i = 0; i < 5; i++) {
		bus_write(&rig->mmio, table + 16 * i, 4, 0xfee00000);
		bus_write(&rig->mmio, table + 16 * i + 4, 4, 0);
		bus_write(&rig->mmio, table + 16 * i + 8, 4, i);
		bus_write(&rig->mmio, table + 16 * i + 12, 4, 0);
	}
	rig_config_write(rig, cap + 2, 2, 0x8000);
}

static inline void rig_queue(struct rig *rig, unsigned index, struct ring *ring)
{
	uint64_t base = RIG_RINGS + 0x10000ull * index;

	rig_write(rig, VIRTIO_COMMON_QUEUE_SELECT, 2, index);
	rig_write(rig, VIRTIO_COMMON_QUEUE_SIZE, 2, RIG_QUEUE_SIZE);
	rig_write(rig, VIRTIO_COMMON_QUEUE_VECTOR, 2, index + 1);
	rig_write(rig, VIRTIO_COMMON_QUEUE_DESC, 4, base);
	rig_write(rig, VIRTIO_COMMON_QUEUE_DESC + 4, 4, 0);
	rig_write(rig, VIRTIO_COMMON_QUEUE_DRIVER, 8, base + 0x4000);
	rig_write(rig, VIRTIO_COMMON_QUEUE_DEVICE, 8, base + 0x8000);
	memset(memory_ptr(&rig->mem, base, 0x10000), 0, 0x10000);
	rig_write(rig, VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	*ring = (struct ring){
		.rig = rig,
		.index = index,
		.desc = memory_ptr(&rig->mem, base, 0x1000),
		.avail = memory_ptr(&rig->mem, base + 0x4000, 0x1000),
		.used = memory_ptr(&rig->mem, base + 0x8000, 0x1000),
	};
}

/* All up to DRIVER_OK, with this many queues. */
static inline void rig_start(struct rig *rig, uint64_t features, struct ring *ring, unsigned queues)
{
	rig_negotiate(rig, features);
	rig_msix(rig);
	rig_write(rig, VIRTIO_COMMON_CONFIG_VECTOR, 2, 0);
	for (unsigned i = 0; i < queues; i++)
		rig_queue(rig, i, &ring[i]);
	rig_write(rig, VIRTIO_COMMON_STATUS, 1,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
			VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(rig_status(rig),
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
			VIRTIO_CONFIG_S_DRIVER_OK);
}

/* One buffer of a chain; the last has no VIRTQ_DESC_NEXT. Returns its number. */
static inline uint16_t ring_desc(struct ring *ring, uint64_t addr, uint32_t len, uint16_t flags)
{
	uint16_t at = ring->free++ % RIG_QUEUE_SIZE;

	ring->desc[at] = (struct virtq_desc){addr, len, flags, ring->free % RIG_QUEUE_SIZE};
	return at;
}

static inline void ring_offer(struct ring *ring, uint16_t head)
{
	ring->avail->ring[ring->avail->idx % RIG_QUEUE_SIZE] = head;
	__atomic_store_n(&ring->avail->idx, ring->avail->idx + 1, __ATOMIC_RELEASE);
}

static inline void ring_notify(struct ring *ring)
{
	rig_write(ring->rig, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STEP * ring->index, 2,
		ring->index);
}

/* Waits up to 5 s for a used entry. */
static inline bool ring_wait(struct ring *ring, struct virtq_used_elem *elem)
{
	*elem = (struct virtq_used_elem){0};
	for (unsigned i = 0; i < 50000; i++) {
		const struct timespec pause = {.tv_nsec = 100000};

		if (__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) != ring->seen) {
			*elem = ring->used->ring[ring->seen++ % RIG_QUEUE_SIZE];
			return true;
		}
		nanosleep(&pause, NULL);
	}
	return false;
}

#endif
