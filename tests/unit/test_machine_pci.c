/* SPDX-License-Identifier: Apache-2.0 */
/* PCI: enumeration, sizing and moving BARs, capabilities, MSI-X, INTx; garbage from a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/pci/pci.h"

struct rig {
	struct bus io, mmio;
	struct pci_bus pci;
	struct pci_device dev[2];
	unsigned msis, resets, hooks, controls;
	uint64_t msi_addr;
	uint32_t msi_data;
	bool pin[4];
};

static void on_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct rig *rig = ctx;

	rig->msis++;
	rig->msi_addr = addr;
	rig->msi_data = data;
}

static void on_intx(void *ctx, unsigned pin, bool level)
{
	((struct rig *)ctx)->pin[pin] = level;
}

static void on_reset_control(void *ctx, uint8_t value)
{
	((struct rig *)ctx)->controls = value;
}

static uint64_t bar_read(void *ctx, uint64_t offset, unsigned size)
{
	return 0x5a + offset;
}

static void bar_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
}

static const struct bus_ops bar_ops = {bar_read, bar_write, 0, false};
static struct rig *the_rig;

static void on_write(struct pci_device *dev, unsigned offset, unsigned size)
{
	the_rig->hooks++;
}

static void on_reset(struct pci_device *dev)
{
	the_rig->resets++;
}

static const struct pci_device_ops dev_ops = {.config_write = on_write, .reset = on_reset};

static uint32_t get(struct rig *rig, unsigned slot, unsigned reg, unsigned size)
{
	bus_write(&rig->io, 0xcf8, 4, 0x80000000u | slot << 11 | (reg & 0xfc));
	return bus_read(&rig->io, 0xcfc + (reg & 3), size);
}

static void put(struct rig *rig, unsigned slot, unsigned reg, unsigned size, uint32_t value)
{
	bus_write(&rig->io, 0xcf8, 4, 0x80000000u | slot << 11 | (reg & 0xfc));
	bus_write(&rig->io, 0xcfc + (reg & 3), size, value);
}

static int setup(void **state)
{
	static const struct pci_ids ids = {0x1af4, 0x1041, 0x1af4, 0x40, 0x020000, 1};
	static struct rig rig;
	struct pci_host host = {.ctx = &rig,
		.msi = on_msi,
		.intx = on_intx,
		.reset_control = on_reset_control};
	struct error err = {0};

	memset(&rig, 0, sizeof rig);
	the_rig = &rig;
	bus_init(&rig.io);
	bus_init(&rig.mmio);
	assert_int_equal(pci_bus_init(&rig.pci, &rig.io, &rig.mmio, &host, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		struct pci_device *dev = &rig.dev[i];

		pci_device_init(dev, "test", &ids, &dev_ops);
		assert_int_equal(pci_add_bar(dev, 4, 0x4000, PCI_BAR_64, &bar_ops, dev, NULL), 0);
		assert_int_equal(pci_msix_init(dev, 1, 3), 0);
		assert_true(pci_add_capability(dev, PCI_CAP_VENDOR, 16) > 0);
		pci_use_intx(dev);
		assert_int_equal(pci_bus_add(&rig.pci, dev, &err), 0);
	}
	*state = &rig;
	return 0;
}

static void enumerate(void **state)
{
	struct rig *rig = *state;
	unsigned at;

	assert_int_equal(get(rig, 0, 0x08, 4) >> 8, 0x060000);
	assert_int_equal(get(rig, 1, 0, 4), 0x10411af4);
	assert_int_equal(get(rig, 1, 2, 2), 0x1041);
	assert_int_equal(get(rig, 1, 0x2e, 2), 0x40);
	assert_int_equal(get(rig, 1, 0x3d, 1), 1);
	assert_int_equal(get(rig, 3, 0, 4), 0xffffffff);
	/* Other functions and buses, and no enable bit. */
	bus_write(&rig->io, 0xcf8, 4, 0x80000900);
	assert_int_equal(bus_read(&rig->io, 0xcfc, 4), 0xffffffff);
	bus_write(&rig->io, 0xcf8, 4, 0x80010800);
	assert_int_equal(bus_read(&rig->io, 0xcfc, 4), 0xffffffff);
	bus_write(&rig->io, 0xcf8, 4, 0x00000800);
	assert_int_equal(bus_read(&rig->io, 0xcfc, 4), 0xffffffff);
	/* Two capabilities, the second the last. */
	assert_true(get(rig, 1, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
	at = get(rig, 1, PCI_CAPABILITIES, 1);
	assert_int_equal(get(rig, 1, at, 1), PCI_CAP_MSIX);
	at = get(rig, 1, at + 1, 1);
	assert_int_equal(get(rig, 1, at, 1), PCI_CAP_VENDOR);
	assert_int_equal(get(rig, 1, at + 1, 1), 0);
	/* Read-only things stay. */
	put(rig, 1, 0, 4, 0);
	assert_int_equal(get(rig, 1, 0, 4), 0x10411af4);
	/* The reset register between the address register's bytes. */
	bus_write(&rig->io, 0xcf9, 1, 6);
	assert_int_equal(rig->controls, 6);
}

static void bars(void **state)
{
	struct rig *rig = *state;
	uint64_t base = rig->dev[0].bar[4].mapped;

	assert_true(base >= PCI_WINDOW_START && base + 0x4000 <= PCI_WINDOW_END);
	assert_int_equal(get(rig, 1, 0x20, 4), base | 4);
	assert_int_equal(bus_read(&rig->mmio, base + 1, 1), 0x5b);
	/* Sizing, with decoding off as it is to be. */
	put(rig, 1, PCI_COMMAND, 2, 0);
	assert_int_equal(bus_read(&rig->mmio, base + 1, 1), 0xff);
	put(rig, 1, 0x20, 4, 0xffffffff);
	put(rig, 1, 0x24, 4, 0xffffffff);
	assert_int_equal(get(rig, 1, 0x20, 4), 0xffffc004);
	assert_int_equal(get(rig, 1, 0x24, 4), 0xffffffff);
	put(rig, 1, 0x14, 4, 0xffffffff);
	assert_int_equal(get(rig, 1, 0x14, 4), 0xfffff000);
	put(rig, 1, 0x10, 4, 0xffffffff);
	assert_int_equal(get(rig, 1, 0x10, 4), 0);
	/* Somewhere above 4 GiB, then over the other device, then back. */
	put(rig, 1, 0x20, 4, 0);
	put(rig, 1, 0x24, 4, 0x12);
	put(rig, 1, 0x14, 4, 0);
	put(rig, 1, PCI_COMMAND, 2, 2);
	assert_int_equal(bus_read(&rig->mmio, 0x1200000000, 1), 0x5a);
	put(rig, 1, 0x20, 4, rig->dev[1].bar[4].mapped);
	put(rig, 1, 0x24, 4, 0);
	assert_int_equal(rig->dev[0].bar[4].mapped, PCI_NO_ADDRESS);
	assert_int_equal(bus_read(&rig->mmio, 0x1200000000, 1), 0xff);
	/* A machine's reset puts both where they were. */
	pci_bus_reset(&rig->pci);
	assert_int_equal(rig->dev[0].bar[4].mapped, base);
	assert_int_equal(bus_read(&rig->mmio, base, 1), 0x5a);
	assert_int_equal(rig->resets, 2);
}

static void msix(void **state)
{
	struct rig *rig = *state;
	struct pci_device *dev = &rig->dev[0];
	uint64_t table = dev->bar[1].mapped;
	unsigned cap = dev->msix.cap;

	assert_int_equal(get(rig, 1, cap + 2, 2), 2); /* three vectors */
	pci_msix_notify(dev, 0);                      /* off: nothing */
	assert_false(pci_msix_enabled(dev));
	put(rig, 1, cap + 2, 2, 0x8000);
	assert_true(pci_msix_enabled(dev));
	bus_write(&rig->mmio, table + 16, 8, 0xfee01003);
	bus_write(&rig->mmio, table + 24, 4, 0x4045);
	pci_msix_notify(dev, 1); /* masked: waits */
	assert_int_equal(rig->msis, 0);
	assert_int_equal(bus_read(&rig->mmio, table + 0x800, 8), 2);
	bus_write(&rig->mmio, table + 28, 4, 0);
	assert_int_equal(rig->msis, 1);
	assert_int_equal(rig->msi_addr, 0xfee01000);
	assert_int_equal(rig->msi_data, 0x4045);
	assert_int_equal(bus_read(&rig->mmio, table + 0x800, 4), 0);
	pci_msix_notify(dev, 1);
	assert_int_equal(rig->msis, 2);
	/* All masked at once. */
	put(rig, 1, cap + 3, 1, 0xc0);
	pci_msix_notify(dev, 1);
	assert_int_equal(rig->msis, 2);
	put(rig, 1, cap + 3, 1, 0x80);
	assert_int_equal(rig->msis, 3);
	pci_msix_notify(dev, 3);
	pci_msix_notify(dev, 5000);
	assert_int_equal(rig->msis, 3);
	/* Entries that are not there. */
	bus_write(&rig->mmio, table + 48, 4, 1);
	assert_int_equal(bus_read(&rig->mmio, table + 48, 4), 0);
	assert_int_equal(bus_read(&rig->mmio, table + 0x810, 8), 0);
	/* Narrow accesses of the table are not defined: they do nothing. */
	bus_write(&rig->mmio, table + 16, 1, 0xaa);
	assert_int_equal(bus_read(&rig->mmio, table + 16, 4), 0xfee01000);
}

static void intx(void **state)
{
	struct rig *rig = *state;

	pci_intx_set(&rig->dev[0], true);
	assert_true(rig->pin[1]);
	assert_true(get(rig, 1, PCI_STATUS, 2) & PCI_STATUS_INTX);
	put(rig, 1, PCI_COMMAND, 2, 2 | PCI_COMMAND_INTX_OFF);
	assert_false(rig->pin[1]);
	put(rig, 1, PCI_COMMAND, 2, 2);
	assert_true(rig->pin[1]);
	pci_intx_set(&rig->dev[0], false);
	assert_false(rig->pin[1]);
	assert_false(get(rig, 1, PCI_STATUS, 2) & PCI_STATUS_INTX);
}

static void limits(void **state)
{
	static const struct pci_ids ids = {1, 2, 3, 4, 5, 6};
	struct rig *rig = *state;
	static struct pci_device many[PCI_SLOTS];
	struct error err = {0};
	struct pci_device dev;
	int r = 0;

	pci_device_init(&dev, "limits", &ids, NULL);
	assert_int_equal(pci_add_bar(&dev, 6, 4096, 0, &bar_ops, &dev, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&dev, 5, 4096, PCI_BAR_64, &bar_ops, &dev, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&dev, 0, 4095, 0, &bar_ops, &dev, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&dev, 0, 8, 0, &bar_ops, &dev, NULL), -EINVAL);
	assert_int_equal(pci_msix_init(&dev, 0, 0), -EINVAL);
	assert_int_equal(pci_msix_init(&dev, 0, 129), -EINVAL);
	assert_int_equal(pci_add_capability(&dev, 9, 200), -ENOSPC);
	assert_int_equal(pci_add_bar(&dev, 0, 1ull << 40, PCI_BAR_64, &bar_ops, &dev, NULL), 0);
	assert_int_equal(pci_bus_add(&rig->pci, &dev, &err), -ENOSPC);
	for (unsigned i = 0; i < PCI_SLOTS && !r; i++) {
		pci_device_init(&many[i], "many", &ids, NULL);
		r = pci_bus_add(&rig->pci, &many[i], &err);
	}
	assert_int_equal(r, -ENOSPC);
}

static void garbage(void **state)
{
	struct rig *rig = *state;

	srandom(1);
	for (unsigned i = 0; i < 300000; i++) {
		unsigned size = 1u << (random() % 3);
		uint64_t value = (uint64_t)random() << 32 ^ random() << 7;

		switch (random() % 4) {
		case 0:
			put(rig, random() % 4, random() % 256, size, value);
			break;
		case 1:
			get(rig, random() % 4, random() % 256, size);
			break;
		case 2:
			bus_write(&rig->io, 0xcf8 + random() % 10, size, value);
			break;
		default:
			if (rig->dev[0].bar[1].mapped == PCI_NO_ADDRESS)
				break;
			bus_write(&rig->mmio, rig->dev[0].bar[1].mapped + random() % 4100, size,
				value);
			bus_read(&rig->mmio, rig->dev[0].bar[1].mapped + random() % 4100, 8);
			pci_msix_notify(&rig->dev[0], random() % 4);
		}
	}
	pci_bus_reset(&rig->pci);
	assert_int_equal(get(rig, 1, 0, 4), 0x10411af4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(enumerate, setup),
		cmocka_unit_test_setup(bars, setup),
		cmocka_unit_test_setup(msix, setup),
		cmocka_unit_test_setup(intx, setup),
		cmocka_unit_test_setup(limits, setup),
		cmocka_unit_test_setup(garbage, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
