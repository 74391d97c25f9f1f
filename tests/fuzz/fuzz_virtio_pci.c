/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of virtio devices, as a guest can reach them: configuration space, BARs, rings in
 * memory. Each step of the input is an access; memory is the fuzzer's as well.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/bus.h"
#include "virtio/console.h"
#include "virtio/pci.h"
#include "virtio/rng.h"

#define MEMORY (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct memory memory;
	struct bus io, mmio;
	struct pci_bus pci;
	struct virtio_rng *rng;
	struct virtio_console *console;
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
	const struct virtio_console_owner backend = {0};

	bus_init(&w->io);
	bus_init(&w->mmio);
	if (memory_create(&w->memory, MEMORY, 0, false, NULL) ||
		pci_bus_init(&w->pci, &w->io, &w->mmio, &owner, NULL) ||
		virtio_rng_create(&w->pci, &w->memory, &w->rng, NULL) ||
		virtio_console_create(&w->pci, &w->memory, &backend, &w->console, NULL))
		abort();
}

struct step {
	uint8_t what, size;
	uint16_t place;
	uint32_t value;
};

/* Good settings, so that the fuzzer need not find the whole handshake by itself. */
static void start_device(struct world *w, uint64_t bar, unsigned queues, uint32_t value)
{
	bus_write(&w->mmio, bar + VIRTIO_COMMON_STATUS, 1, 0);
	bus_write(&w->mmio, bar + VIRTIO_COMMON_STATUS, 1, 3);
	bus_write(&w->mmio, bar + VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 1);
	bus_write(&w->mmio, bar + VIRTIO_COMMON_DRIVER_FEATURE, 4, 1);
	bus_write(&w->mmio, bar + VIRTIO_COMMON_DRIVER_FEATURE_SELECT, 4, 0);
	bus_write(&w->mmio, bar + VIRTIO_COMMON_DRIVER_FEATURE, 4, value & 3 << 28);
	bus_write(&w->mmio, bar + VIRTIO_COMMON_STATUS, 1, 11);
	for (unsigned i = 0; i < queues; i++) {
		bus_write(&w->mmio, bar + VIRTIO_COMMON_QUEUE_SELECT, 2, i);
		bus_write(&w->mmio, bar + VIRTIO_COMMON_QUEUE_SIZE, 2, 4);
		bus_write(&w->mmio, bar + VIRTIO_COMMON_QUEUE_DESC, 4, 0x1000 * i);
		bus_write(&w->mmio, bar + VIRTIO_COMMON_QUEUE_DRIVER, 4, 0x1000 * i + 0x40);
		bus_write(&w->mmio, bar + VIRTIO_COMMON_QUEUE_DEVICE, 4, 0x1000 * i + 0x60);
		bus_write(&w->mmio, bar + VIRTIO_COMMON_QUEUE_ENABLE, 2, 1);
	}
	bus_write(&w->mmio, bar + VIRTIO_COMMON_STATUS, 1, 15);
}

static void take_step(struct world *w, const struct step *step)
{
	struct pci_device *dev = w->pci.at[1 + (step->what >> 7)][0];
	unsigned size = 1u << (step->size & 3), bar = step->what & 64 ? 1 : 2;
	uint64_t at = dev->bar[bar].mapped;

	switch (step->what & 7) {
	case 0:
		bus_write(&w->io, 0xcf8 + (step->place & 7), size, step->value);
		break;
	case 1: /* not the BARs: the fuzzer is to find the device */
		bus_write(&w->io, 0xcf8, 4, 0x80000000u | dev->slot << 11 | (step->place & 0xfc));
		if ((step->place & 0xfc) < PCI_BAR0 || (step->place & 0xfc) >= PCI_BAR0 + 24)
			bus_write(&w->io, 0xcfc + (step->value & 3), size, step->value >> 2);
		bus_read(&w->io, 0xcfc + (step->value & 3), size);
		break;
	case 2:
		if (at != PCI_NO_ADDRESS)
			bus_read(&w->mmio, at + step->place % 0x4100, size);
		break;
	case 3:
		memory_write(&w->memory, step->place & 0x1fff, &step->value, 4);
		break;
	case 4:
		virtio_console_input(w->console, (const uint8_t *)&step->value, 4);
		break;
	case 5:
		if (dev->bar[2].mapped != PCI_NO_ADDRESS)
			start_device(w, dev->bar[2].mapped, 2, step->value);
		break;
	default:
		if (at != PCI_NO_ADDRESS)
			bus_write(&w->mmio, at + step->place % 0x4100, size,
				step->value | (uint64_t)step->value << 32);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world world;
	struct step step;

	if (!world.rng)
		world_create(&world);
	pci_bus_reset(&world.pci);
	memset(memory_ptr(&world.memory, 0, 0x2100), 0, 0x2100);
	for (; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		take_step(&world, &step);
	}
	return 0;
}
