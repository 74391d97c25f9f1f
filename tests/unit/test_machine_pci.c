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

#include "bytes.h"
#include "machine/pci/bus.h"

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
	struct pci_owner owner = {.ctx = &rig,
		.msi = on_msi,
		.intx = on_intx,
		.reset_control = on_reset_control};
	struct error err = {0};

	memset(&rig, 0, sizeof rig);
	the_rig = &rig;
	bus_init(&rig.io);
	bus_init(&rig.mmio);
	assert_int_equal(pci_bus_init(&rig.pci, &rig.io, &rig.mmio, &owner, &err), 0);
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

/* Functions, ports, a ROM; coming and going */

static const struct pci_ids more_ids = {0x1234, 0x5678, 0x1234, 1, 0x0c0300, 2};

static uint32_t get_function(struct rig *rig, unsigned slot, unsigned function, unsigned reg,
	unsigned size)
{
	bus_write(&rig->io, 0xcf8, 4, 0x80000000u | slot << 11 | function << 8 | (reg & 0xfc));
	return bus_read(&rig->io, 0xcfc + (reg & 3), size);
}

static void functions(void **state)
{
	struct rig *rig = *state;
	struct pci_device more[2];
	struct error err = {0};

	assert_int_equal(get(rig, 1, PCI_HEADER_TYPE, 1), 0);
	for (unsigned i = 0; i < 2; i++) {
		pci_device_init(&more[i], "more", &more_ids, NULL);
		pci_use_intx(&more[i]);
		assert_int_equal(pci_add_bar(&more[i], 0, 16, 0, &bar_ops, &more[i], NULL), 0);
	}
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[0], 1, 0, &err), -EINVAL);
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[0], 1, 8, &err), -EINVAL);
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[0], 32, 1, &err), -EINVAL);
	err.text[0] = '\0';
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[0], 9, 1, &err), -EINVAL);
	assert_string_equal(err.text, "more: PCI slot 9 has no function 0");
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[0], 1, 3, &err), 0);
	err.text[0] = '\0';
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[1], 1, 3, &err), -EEXIST);
	assert_string_equal(err.text, "more: function 3 of PCI slot 1 is more");
	assert_int_equal(pci_bus_add_function(&rig->pci, &more[1], 1, 7, &err), 0);
	/* Found by who asks function 0 whether to go on. */
	assert_int_equal(get(rig, 1, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTI);
	assert_int_equal(get(rig, 2, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(get_function(rig, 1, 3, 0, 4), 0x56781234);
	assert_int_equal(get_function(rig, 1, 4, 0, 4), 0xffffffff);
	assert_int_equal(get_function(rig, 1, 3, PCI_HEADER_TYPE, 1), 0);
	assert_int_not_equal(more[0].bar[0].mapped, more[1].bar[0].mapped);
	/* INTD# of function 3 is line 0 of slot 1; function 7 has it too. */
	assert_int_equal(get_function(rig, 1, 3, PCI_INTERRUPT_PIN, 1), 4);
	assert_int_equal(get_function(rig, 1, 3, PCI_INTERRUPT_LINE, 1), 16);
	pci_intx_set(&more[0], true);
	pci_intx_set(&more[1], true);
	assert_true(rig->pin[0] && !rig->pin[1]);
	pci_intx_set(&more[0], false);
	assert_true(rig->pin[0]);
	/* Function 0 is the last to go. */
	err.text[0] = '\0';
	assert_int_equal(pci_bus_remove(&rig->dev[0], &err), -EBUSY);
	assert_string_equal(err.text, "test: PCI slot 1 has further functions");
	assert_int_equal(pci_bus_remove(&more[1], &err), 0);
	assert_false(rig->pin[0]);
	assert_int_equal(get(rig, 1, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTI);
	pci_bus_reset(&rig->pci);
	assert_int_equal(get(rig, 1, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTI);
	assert_int_equal(pci_bus_remove(&more[0], &err), 0);
	assert_int_equal(get(rig, 1, PCI_HEADER_TYPE, 1), 0);
	pci_bus_reset(&rig->pci);
	assert_int_equal(get(rig, 1, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(get_function(rig, 1, 3, 0, 4), 0xffffffff);
	assert_int_equal(pci_bus_remove(&rig->dev[0], &err), 0);
}

static void ports(void **state)
{
	struct rig *rig = *state;
	struct pci_device dev;
	struct error err = {0};
	uint64_t base;

	pci_device_init(&dev, "ports", &more_ids, NULL);
	assert_int_equal(pci_add_bar(&dev, 0, 512, PCI_BAR_IO, &bar_ops, &dev, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&dev, 0, 2, PCI_BAR_IO, &bar_ops, &dev, NULL), -EINVAL);
	assert_int_equal(pci_add_bar(&dev, 0, 32, PCI_BAR_IO | PCI_BAR_64, &bar_ops, &dev, NULL),
		-EINVAL);
	assert_int_equal(pci_add_bar(&dev, 0, 32, PCI_BAR_IO, &bar_ops, &dev, NULL), 0);
	assert_int_equal(pci_add_bar(&dev, 1, 4, PCI_BAR_IO, &bar_ops, &dev, NULL), 0);
	assert_int_equal(pci_bus_add(&rig->pci, &dev, &err), 0);
	base = dev.bar[0].mapped;
	assert_in_range(base, PCI_PORTS_START, PCI_PORTS_END - 32);
	assert_int_equal(base % 32, 0);
	assert_int_equal(dev.bar[1].mapped, base + 32);
	assert_int_equal(get(rig, 3, PCI_BAR0, 4), base | 1);
	assert_int_equal(bus_read(&rig->io, base + 3, 1), 0x5d);
	assert_int_equal(bus_read(&rig->mmio, base + 3, 1), 0xff);
	/* Memory's switch is not theirs. */
	put(rig, 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(bus_read(&rig->io, base, 1), 0xff);
	put(rig, 3, PCI_BAR0, 4, 0xffffffff);
	assert_int_equal(get(rig, 3, PCI_BAR0, 4), 0xffffffe1);
	/* All ones, and what is beyond the last port, is nowhere. */
	put(rig, 3, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(dev.bar[0].mapped, PCI_NO_ADDRESS);
	put(rig, 3, PCI_BAR0, 4, 0x10000);
	assert_int_equal(dev.bar[0].mapped, PCI_NO_ADDRESS);
	put(rig, 3, PCI_BAR0, 4, 0xffe0);
	assert_int_equal(bus_read(&rig->io, 0xffff, 1), 0x5a + 31);
	put(rig, 3, PCI_BAR0, 4, 0xcf0); /* over PCI's own ports */
	assert_int_equal(dev.bar[0].mapped, PCI_NO_ADDRESS);
	assert_int_equal(get(rig, 3, 0, 4), 0x56781234);
	pci_bus_reset(&rig->pci);
	assert_int_equal(dev.bar[0].mapped, base);
	/* A device without any has no such switch. */
	put(rig, 1, PCI_COMMAND, 2, PCI_COMMAND_IO);
	assert_int_equal(get(rig, 1, PCI_COMMAND, 2), 0);
	assert_int_equal(pci_bus_remove(&dev, &err), 0);
	assert_int_equal(bus_read(&rig->io, base, 1), 0xff);
}

static void rom(void **state)
{
	static uint8_t image[0x800];
	struct rig *rig = *state;
	struct pci_device dev;
	struct error err = {0};
	uint64_t base;

	for (unsigned i = 0; i < sizeof image; i++)
		image[i] = i * 7;
	pci_device_init(&dev, "rom", &more_ids, NULL);
	assert_int_equal(pci_add_rom(&dev, image, 0x400), -EINVAL);
	assert_int_equal(pci_add_rom(&dev, image, 0xc00), -EINVAL);
	assert_int_equal(pci_add_rom(&dev, image, 0x2000000), -EINVAL);
	assert_int_equal(pci_add_rom(&dev, image, sizeof image), 0);
	assert_int_equal(pci_bus_add(&rig->pci, &dev, &err), 0);
	/* It has an address, and is off. */
	base = get(rig, 3, PCI_ROM_BAR, 4);
	assert_in_range(base, PCI_WINDOW_START, PCI_WINDOW_END);
	assert_int_equal(bus_read(&rig->mmio, base + 1, 1), 0xff);
	put(rig, 3, PCI_ROM_BAR, 4, base | PCI_ROM_ENABLE);
	assert_int_equal(bus_read(&rig->mmio, base + 1, 1), 7);
	assert_int_equal(bus_read(&rig->mmio, base + 4, 4), 0x312a231c);
	assert_int_equal(bus_read(&rig->mmio, base + 0x7fc, 8) & 0xff, (uint8_t)(0x7fc * 7));
	bus_write(&rig->mmio, base + 1, 1, 0);
	assert_int_equal(bus_read(&rig->mmio, base + 1, 1), 7);
	put(rig, 3, PCI_COMMAND, 2, 0);
	assert_int_equal(bus_read(&rig->mmio, base + 1, 1), 0xff);
	put(rig, 3, PCI_ROM_BAR, 4, 0xfffff7fe);
	assert_int_equal(get(rig, 3, PCI_ROM_BAR, 4), 0xfffff000 & ~0x7ff);
	put(rig, 3, PCI_ROM_BAR, 4, 0xffffffff);
	assert_int_equal(get(rig, 3, PCI_ROM_BAR, 4), 0xfffff801);
	pci_bus_reset(&rig->pci);
	assert_int_equal(get(rig, 3, PCI_ROM_BAR, 4), base);
	/* Who has none has no such register. */
	put(rig, 1, PCI_ROM_BAR, 4, 0xffffffff);
	assert_int_equal(get(rig, 1, PCI_ROM_BAR, 4), 0);
	assert_int_equal(pci_bus_remove(&dev, &err), 0);
}

static void on_mapped(struct pci_device *dev, unsigned bar, uint64_t addr)
{
	the_rig->hooks += addr == PCI_NO_ADDRESS ? 1000 : 1;
}

/* A device goes: nothing of it answers, what it had is free, and the next one gets it. */
static void removed(void **state)
{
	static const struct pci_device_ops ops = {.bar_mapped = on_mapped};
	struct rig *rig = *state;
	unsigned ranges = rig->mmio.count;
	struct error err = {0};
	struct pci_device dev;
	uint64_t bar, table;

	for (unsigned i = 0; i < 300; i++) {
		pci_device_init(&dev, "guest", &more_ids, &ops);
		pci_use_intx(&dev);
		assert_int_equal(pci_add_bar(&dev, 0, 0x100000, PCI_BAR_64, &bar_ops, &dev, NULL),
			0);
		assert_int_equal(pci_msix_init(&dev, 2, 2), 0);
		rig->hooks = 0;
		assert_int_equal(pci_bus_add(&rig->pci, &dev, &err), 0);
		assert_int_equal(dev.slot, 3);
		assert_int_equal(rig->hooks, 2);
		if (!i) {
			bar = dev.bar[0].mapped;
			table = dev.bar[2].mapped;
		}
		assert_int_equal(dev.bar[0].mapped, bar);
		assert_int_equal(dev.bar[2].mapped, table);
		put(rig, 3, PCI_BAR0, 4, 0xd0000000 + 0x100000 * (i % 7)); /* the guest moves it */
		put(rig, 3, dev.msix.cap + 2, 2, 0x8000);
		bus_write(&rig->mmio, table + 12, 4, 0);
		pci_msix_notify(&dev, 0);
		assert_int_equal(rig->msis, i + 1);
		pci_intx_set(&dev, true);
		assert_true(rig->pin[3]);
		rig->hooks = 0;
		assert_int_equal(pci_bus_remove(&dev, &err), 0);
		assert_int_equal(rig->hooks, 2000);
		assert_int_equal(rig->mmio.count, ranges);
		assert_int_equal(get(rig, 3, 0, 4), 0xffffffff);
		assert_false(rig->pin[3]);
		/* Its own threads may not know yet. */
		pci_msix_notify(&dev, 0);
		pci_intx_set(&dev, false);
		pci_intx_set(&dev, true);
		assert_int_equal(rig->msis, i + 1);
		assert_false(rig->pin[3]);
		pci_device_destroy(&dev);
	}
}

/* Addresses are given to one only, also where a guest has moved another's; those of who went come back. */
static void addresses(void **state)
{
	struct rig *rig = *state;
	static struct pci_device dev[20];
	struct error err = {0};
	uint64_t where;

	put(rig, 1, 0x20, 4, 0xc0100000);
	assert_int_equal(rig->dev[0].bar[4].mapped, 0xc0100000);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 20; i++) {
			pci_device_init(&dev[i], "many", &more_ids, NULL);
			assert_int_equal(pci_add_bar(&dev[i], 0, 0x20000u << i % 5, 0, &bar_ops,
						 &dev[i], NULL),
				0);
			assert_int_equal(pci_add_bar(&dev[i], 1, 16, 0, &bar_ops, &dev[i], NULL),
				0);
			assert_int_equal(pci_bus_add(&rig->pci, &dev[i], &err), 0);
			assert_int_equal(dev[i].bar[0].mapped, dev[i].bar[0].assigned);
			assert_int_equal(dev[i].bar[1].mapped, dev[i].bar[1].assigned);
		}
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(pci_bus_remove(&dev[(i * 7 + round) % 20], &err), 0);
	}
	/* Two of these have room, the third where one of them was. */
	for (unsigned i = 0; i < 3; i++) {
		pci_device_init(&dev[i], "large", &more_ids, NULL);
		assert_int_equal(pci_add_bar(&dev[i], 0, 0x10000000, 0, &bar_ops, &dev[i], NULL),
			0);
	}
	assert_int_equal(pci_bus_add(&rig->pci, &dev[0], &err), 0);
	assert_int_equal(pci_bus_add(&rig->pci, &dev[1], &err), 0);
	assert_int_equal(pci_bus_add(&rig->pci, &dev[2], &err), -ENOSPC);
	assert_string_equal(err.text, "large: no room for its registers");
	where = dev[0].bar[0].assigned;
	assert_int_equal(pci_bus_remove(&dev[0], &err), 0);
	assert_int_equal(pci_bus_add(&rig->pci, &dev[2], &err), 0);
	assert_int_equal(dev[2].bar[0].assigned, where);
	assert_int_equal(pci_bus_remove(&dev[1], &err), 0);
	assert_int_equal(pci_bus_remove(&dev[2], &err), 0);
}

/* The bus in a saved state, with functions and without: then as it was before there were any. */

static void save_bus(struct rig *rig, struct bytes *bytes)
{
	struct error err = {0};
	struct state *s;

	assert_int_equal(state_save(BYTES_TO(bytes), "saved", &s, &err), 0);
	pci_bus_describe(&rig->pci, s);
	assert_int_equal(state_finish(s), 0);
	state_destroy(s);
}

static int load_bus(struct rig *rig, struct bytes *bytes, struct error *err)
{
	struct state *s;
	int r;

	bytes->at = 0;
	err->text[0] = '\0';
	assert_int_equal(state_load(BYTES_FROM(bytes), "saved", &s, err), 0);
	pci_bus_describe(&rig->pci, s);
	r = state_finish(s);
	state_destroy(s);
	return r;
}

static void functions_are_saved(void **state)
{
	struct rig *rig = *state;
	struct bytes plain = {0}, more = {0};
	struct pci_device dev;
	struct error err = {0};

	pci_device_init(&dev, "more", &more_ids, NULL);
	assert_int_equal(pci_add_bar(&dev, 0, 32, PCI_BAR_IO, &bar_ops, &dev, NULL), 0);
	save_bus(rig, &plain);
	assert_null(memmem(plain.data, plain.len, "functions", 9));
	assert_int_equal(pci_bus_add_function(&rig->pci, &dev, 2, 5, &err), 0);
	put(rig, 2, PCI_COMMAND, 2, 6);
	bus_write(&rig->io, 0xcf8, 4, 0x80000000u | 2 << 11 | 5 << 8 | PCI_BAR0);
	bus_write(&rig->io, 0xcfc, 4, 0xd000);
	save_bus(rig, &more);
	assert_non_null(memmem(more.data, more.len, "functions", 9));
	pci_bus_reset(&rig->pci);
	assert_int_equal(load_bus(rig, &more, &err), 0);
	assert_int_equal(dev.bar[0].mapped, 0xd000);
	assert_int_equal(get(rig, 2, PCI_COMMAND, 2), 6);
	assert_true(load_bus(rig, &plain, &err) < 0);
	assert_non_null(strstr(err.text, "the guest had 3 PCI devices, here there are 4"));
	assert_int_equal(pci_bus_remove(&dev, &err), 0);
	assert_true(load_bus(rig, &more, &err) < 0);
	assert_non_null(strstr(err.text, "the guest had 4 PCI devices, here there are 3"));
	assert_int_equal(load_bus(rig, &plain, &err), 0);
	free(plain.data);
	free(more.data);
}

/* Saved with one size of ROM, and loaded where the file has another, or none: what does not count stays outside. */
static void roms_differ(void **state)
{
	static const uint8_t image[0x4000];
	static const unsigned sizes[] = {0x2000, 0x4000, 0x800, 0};
	static const uint32_t found[] = {0xff006001, 0xff004001, 0xff006001, 0};
	struct rig *rig = *state;
	struct bytes bytes = {0};
	struct error err = {0};

	for (unsigned i = 0; i < 4; i++) {
		struct pci_device dev;

		pci_device_init(&dev, "rom", &more_ids, NULL);
		if (sizes[i])
			assert_int_equal(pci_add_rom(&dev, image, sizes[i]), 0);
		assert_int_equal(pci_bus_add(&rig->pci, &dev, &err), 0);
		if (!i) {
			put(rig, 3, PCI_ROM_BAR, 4, 0xff006001);
			save_bus(rig, &bytes);
		}
		assert_int_equal(load_bus(rig, &bytes, &err), 0);
		assert_int_equal(get(rig, 3, PCI_ROM_BAR, 4), found[i]);
		/* Any other bit that the guest cannot write still counts. */
		dev.config[PCI_BAR0] = 1;
		assert_true(load_bus(rig, &bytes, &err) < 0);
		assert_non_null(strstr(err.text, "the guest had another device than rom"));
		assert_int_equal(pci_bus_remove(&dev, &err), 0);
		pci_device_destroy(&dev);
	}
	free(bytes.data);
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
		cmocka_unit_test_setup(functions, setup),
		cmocka_unit_test_setup(ports, setup),
		cmocka_unit_test_setup(rom, setup),
		cmocka_unit_test_setup(removed, setup),
		cmocka_unit_test_setup(addresses, setup),
		cmocka_unit_test_setup(functions_are_saved, setup),
		cmocka_unit_test_setup(roms_differ, setup),
		cmocka_unit_test_setup(garbage, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
