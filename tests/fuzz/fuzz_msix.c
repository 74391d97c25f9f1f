/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSI-X: the guest's writes to table, pending bits and capability, and the device's messages. One that was not
 * sent is pending, and is sent when nothing holds it back any more.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/bus.h"

#define VECTORS 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bus io, mmio;
static struct pci_bus bus;
static struct pci_device device;
static unsigned sent, asked;

static void message(void *ctx, uint64_t addr, uint32_t data)
{
	sent++;
}

static void pin(void *ctx, unsigned n, bool level)
{
}

static void set_up(void)
{
	const struct pci_owner owner = {.msi = message, .intx = pin};
	const struct pci_ids ids = {.vendor = 0x1af4, .device = 0x1041};

	bus_init(&io);
	bus_init(&mmio);
	pci_device_init(&device, "fuzz", &ids, NULL);
	if (pci_bus_init(&bus, &io, &mmio, &owner, NULL) || pci_msix_init(&device, 1, VECTORS) ||
		pci_bus_add(&bus, &device, NULL))
		abort();
}

static void take(const uint8_t step[8])
{
	static const unsigned sizes[] = {1, 2, 4, 8};
	unsigned length = sizes[step[1] & 3];
	uint64_t at = device.bar[1].assigned + (step[1] >> 2) + (step[2] & 15) * 64u;
	uint32_t value;

	memcpy(&value, step + 4, sizeof value);
	switch (step[0] % 6) {
	case 0:
	case 1:
		bus_write(&mmio, at, length, value);
		break;
	case 2:
		bus_read(&mmio, at, length);
		break;
	case 3:
		bus_write(&io, 0xcf8, 4,
			0x80000000u | device.slot << 11 |
				(step[1] & 4 ? device.msix.cap : step[2] & 0xfc));
		bus_write(&io, 0xcfc + (step[1] & 3), step[3] & 1 ? 1 : 2, value);
		break;
	default:
		asked++;
		pci_msix_notify(&device, step[2] % (VECTORS + 2));
	}
}

/* Whatever was done: with all masks open nothing is pending, and no message came from nowhere. */
static void settle(void)
{
	bus_write(&io, 0xcf8, 4, 0x80000000u | device.slot << 11 | 4);
	bus_write(&io, 0xcfc, 2, 6);
	bus_write(&io, 0xcf8, 4, 0x80000000u | device.slot << 11 | device.msix.cap);
	bus_write(&io, 0xcfe, 2, 0x8000);
	for (unsigned i = 0; i < VECTORS; i++)
		bus_write(&mmio, device.bar[1].mapped + 16 * i + 12, 4, 0);
	for (unsigned i = 0; i < PCI_MSIX_MAX / 64; i++)
		if (device.msix.pending[i])
			abort();
	if (sent > asked)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!bus.io)
		set_up();
	pci_bus_reset(&bus);
	sent = asked = 0;
	for (; size >= 8; data += 8, size -= 8)
		take(data);
	if (device.bar[1].mapped != PCI_NO_ADDRESS)
		settle();
	return 0;
}
