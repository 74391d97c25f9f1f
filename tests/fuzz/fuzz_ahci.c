/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver may do to an AHCI controller's registers, its lists and tables of commands. */
#include "ahci_rig.h"

#define LISTS 0x1000u
#define FISES 0x4000u
#define TABLE 0x8000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t what, reg, value, more;
	uint32_t number;
} __attribute__((packed));

static void set(struct ahci_world *w, unsigned port, unsigned reg, uint32_t value)
{
	bus_write(&w->mmio, AHCI_BAR + 0x100 + port * 0x80 + reg, 4, value);
}

static void start(struct ahci_world *w)
{
	pci_bus_reset(&w->pci);
	ahci_world_map(w);
	bus_write(&w->mmio, AHCI_BAR + 4, 4, 2);
	for (unsigned i = 0; i < AHCI_PORTS; i++) {
		set(w, i, PORT_LIST, LISTS + i * 0x400);
		set(w, i, PORT_FIS, FISES + i * 0x100);
		set(w, i, PORT_ENABLE, 0xffffffff);
		set(w, i, PORT_COMMAND, PORT_RECEIVE | PORT_START);
	}
}

/* One that is mostly right. */
static void issue(struct ahci_world *w, const struct step *step)
{
	static const uint8_t commands[] = {0x20, 0x24, 0x30, 0x34, 0xc4, 0xc5, 0xc6, 0xc8, 0x25,
		0xca, 0x35, 0xa0, 0xa0, 0xa0, 0xa1, 0xec, 0xe7, 0x90, 0x08, 0x91, 0x27, 0x40};
	static const uint8_t packets[] = {0x28, 0xa8, 0xbe, 0x43, 0x5a, 0x46, 0x4a, 0x51, 0x12,
		0x03, 0x25, 0xbd};
	const unsigned port = step->more % 4, slot = step->reg % 32;
	const uint32_t header[4] = {5 | (step->number & 7) << 16, 0, TABLE, 0};
	uint8_t table[0x80] = {0x27, step->more & 0x10 ? 0 : 0x80,
		commands[step->value % sizeof commands], step->reg, step->number & 0xff, 0, 0,
		0x40, [12] = step->number >> 8 & 0xff, [15] = step->more & 0x20 ? 4 : 0,
		[0x40] = packets[step->value % sizeof packets], step->reg};

	memcpy(table + 0x42, &step->number, 4);
	memcpy(table + 0x46, &step->number, 4);
	memory_write(&w->memory, LISTS + port * 0x400 + slot * 32, header, sizeof header);
	memory_write(&w->memory, TABLE, table, sizeof table);
	set(w, port, PORT_ISSUE, 1u << slot);
}

/* What lies in a CD drive goes, and perhaps another comes. */
static void change(struct ahci_world *w, unsigned port, struct block_device *image)
{
	struct ata_drive *drive = ahci_drive(w->ahci, port);

	drive_withdraw(drive, true);
	while (drive_remove(drive))
		ahci_world_wait(w);
	if (image)
		drive_insert(drive, image);
}

static void take(struct ahci_world *w, const struct step *step)
{
	const unsigned port = step->more % 7;

	switch (step->what % 8) {
	case 0:
		set(w, port, step->reg % 32 * 4, step->number);
		break;
	case 1:
		bus_read(&w->mmio, AHCI_BAR + step->reg * 4u, 4);
		break;
	case 2:
		memory_write(&w->memory, TABLE + step->reg, &step->number, 4);
		break;
	case 3:
		memory_write(&w->memory, LISTS + step->reg * 4u, &step->number, 4);
		break;
	case 4:
		bus_write(&w->mmio, AHCI_BAR + step->reg % 16 * 4u, 4, step->number);
		break;
	case 5:
		if (step->value & 2)
			drive_withdraw(ahci_drive(w->ahci, step->more & 1 ? 1 : 3),
				step->value & 1);
		else
			change(w, step->more & 1 ? 1 : 3, step->value & 1 ? w->image[1] : NULL);
		break;
	default:
		issue(w, step);
	}
	if (step->more & 0x80)
		ahci_world_wait(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ahci_world world;
	struct step step;

	if (!world.ahci)
		ahci_world_open(&world);
	start(&world);
	change(&world, 1, world.image[1]);
	change(&world, 3, NULL);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		take(&world, &step);
	}
	ahci_world_wait(&world);
	return 0;
}
