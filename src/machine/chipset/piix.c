/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/chipset/piix.h"

#include "base/thread.h"
#include "machine/chipset/pm.h"
#include "machine/pci/bus.h"
#include "machine/pci/root.h"
#include "state/state.h"

#define SLOT 1

#define PIRQ_ROUTE 0x60 /* four bytes */
#define PIRQ_OFF 0x80u
#define PIRQ_INPUTS 0xdef8u /* of the 8259s, that can be chosen */

#define PM_FUNCTION 3
#define PM_BASE 0x40
#define PM_MISC 0x80
#define PM_MISC_ON 1u
#define PM_DEVACTB 0x58
/* SMIs by a port are set up, it says: nobody sets up what is not there. */
#define PM_DEVACTB_APMC 0x02000000u

struct piix {
	struct board *board;
	struct pci_device isa, pm;
	struct mutex lock; /* all that follows */
	uint8_t route[4];
	uint8_t lines;   /* of the bus that are up, a bit each */
	uint16_t driven; /* inputs of the 8259s that are up by them */
};

/* INTA# of slot 1 is PIRQA: the first slot that has a device. */
static unsigned line_of(unsigned pirq)
{
	return (pirq + 1) & 3;
}

static void drive(struct piix *piix) REQUIRES(piix->lock)
{
	uint16_t now = 0, changed;

	for (unsigned i = 0; i < 4; i++)
		if (piix->lines >> line_of(i) & 1 && !(piix->route[i] & PIRQ_OFF))
			now |= 1u << (piix->route[i] & 15);
	now &= PIRQ_INPUTS;
	changed = now ^ piix->driven;
	piix->driven = now;
	for (unsigned irq = 0; changed >> irq; irq++)
		if (changed >> irq & 1)
			board_irq(piix->board, irq, now >> irq & 1);
}

void piix_intx(struct piix *piix, unsigned pin, bool level)
{
	mutex_lock(&piix->lock);
	piix->lines = (piix->lines & ~(1u << pin)) | (unsigned)level << pin;
	drive(piix);
	mutex_unlock(&piix->lock);
}

static struct piix *from_isa(struct pci_device *dev)
{
	return (struct piix *)((char *)dev - offsetof(struct piix, isa));
}

static void take_routes(struct piix *piix) REQUIRES(piix->lock)
{
	for (unsigned i = 0; i < 4; i++)
		piix->route[i] = piix->isa.config[PIRQ_ROUTE + i];
}

static void isa_write(struct pci_device *dev, unsigned offset, unsigned size)
{
	struct piix *piix = from_isa(dev);

	mutex_lock(&piix->lock);
	take_routes(piix);
	drive(piix);
	mutex_unlock(&piix->lock);
}

static void isa_reset(struct pci_device *dev)
{
	isa_write(dev, 0, 0);
}

static const struct pci_device_ops isa_ops = {.config_write = isa_write, .reset = isa_reset};

/* Behind the bus's section, which has the routes. The 8259s' has what is driven. */
static void piix_describe(void *device, struct state *s)
{
	struct piix *piix = device;

	mutex_lock(&piix->lock);
	state_begin(s, "piix", 0, 1);
	state_u8(s, "lines", &piix->lines);
	state_u16(s, "driven", &piix->driven);
	state_require(s, piix->lines < 16 && !(piix->driven & ~PIRQ_INPUTS),
		"lines that are not there");
	state_end(s);
	if (state_loading(s))
		take_routes(piix);
	mutex_unlock(&piix->lock);
}

static int piix_init(void *device, struct board *board, struct error *err)
{
	static const struct pci_ids isa = {.vendor = 0x8086,
		.device = 0x7000,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x060100};
	static const struct pci_ids pm = {.vendor = 0x8086,
		.device = 0x7113,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = 0x068000,
		.revision = 3};
	struct pci_bus *bus = board_find(board, &pci_root_device);
	struct piix *piix = device;
	int r;

	piix->board = board;
	mutex_init(&piix->lock);
	pci_device_init(&piix->isa, "ISA bridge", &isa, &isa_ops);
	pci_device_init(&piix->pm, "power management", &pm, NULL);
	/* It passes on what is below: UEFI looks for drivers of what is there only behind a bridge that can. */
	piix->isa.wmask[PCI_COMMAND] |= PCI_COMMAND_IO;
	pci_config_set(&piix->isa, PCI_COMMAND, 2,
		PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (unsigned i = 0; i < 4; i++) {
		pci_config_set(&piix->isa, PIRQ_ROUTE + i, 1, PIRQ_OFF);
		piix->isa.wmask[PIRQ_ROUTE + i] = PIRQ_OFF | 15;
		piix->route[i] = PIRQ_OFF;
	}
	pci_config_set(&piix->pm, PM_BASE, 4, PM1_EVENT | 1);
	pci_config_set(&piix->pm, PM_MISC, 1, PM_MISC_ON);
	pci_config_set(&piix->pm, PM_DEVACTB, 4, PM_DEVACTB_APMC);
	r = pci_bus_add(bus, &piix->isa, err);
	return r ? r : pci_bus_add_function(bus, &piix->pm, SLOT, PM_FUNCTION, err);
}

static void piix_destroy(void *device)
{
	struct piix *piix = device;

	pci_device_destroy(&piix->pm);
	pci_device_destroy(&piix->isa);
	mutex_destroy(&piix->lock);
}

static bool has_firmware(const struct board *board)
{
	return board->firmware;
}

const struct board_device piix_device = {
	.name = "south bridge",
	.size = sizeof(struct piix),
	.wanted = has_firmware,
	.init = piix_init,
	.destroy = piix_destroy,
	.describe = piix_describe,
};
