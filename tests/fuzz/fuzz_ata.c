/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver may do to an IDE controller's ports, and to the table of its bus master. */
#include "ide_rig.h"

#define TABLE 0x1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t what, reg, value, more;
	uint32_t number;
} __attribute__((packed));

static void take(struct ide_world *w, const struct step *step)
{
	static const uint8_t commands[] = {0x20, 0x24, 0x30, 0x34, 0xc4, 0xc5, 0xc6, 0xc8, 0x25,
		0xca, 0x35, 0xa0, 0xa1, 0xec, 0xe7, 0x90, 0x08, 0x91, 0x27, 0x40};
	static const uint8_t packets[] = {0x28, 0xa8, 0xbe, 0x43, 0x5a, 0x46, 0x4a, 0x51, 0x12,
		0x03, 0x25, 0xbd};
	const unsigned base = step->more & 1 ? 0x170 : 0x1f0, width = 1u << step->more / 2 % 3;
	uint8_t packet[12] = {packets[step->value % sizeof packets], step->reg};

	switch (step->what % 9) {
	case 0:
	case 1:
		bus_write(&w->io, base + step->reg % 8, 1, step->value);
		break;
	case 2:
		bus_write(&w->io, base + 7, 1, commands[step->value % sizeof commands]);
		break;
	case 3:
		for (unsigned i = 0; i < 4u * step->value; i++)
			bus_read(&w->io, base, width);
		break;
	case 4:
		for (unsigned i = 0; i < 4u * step->value; i++)
			bus_write(&w->io, base, width, step->number);
		break;
	case 5:
		memcpy(packet + 2, &step->number, 4);
		memcpy(packet + 6, &step->number, 4);
		for (unsigned i = 0; i < sizeof packet; i++)
			bus_write(&w->io, base, 1, packet[i]);
		break;
	case 6:
		bus_write(&w->io, 0xc000 + step->reg % 16, width, step->number);
		break;
	case 7:
		memory_write(&w->memory, TABLE + step->reg % 8 * 4, &step->number, 4);
		break;
	default:
		bus_write(&w->io, base + 0x206, 1, step->value);
	}
	if (step->more & 0x80)
		ide_world_wait(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ide_world world;
	struct step step;

	if (!world.ide)
		ide_world_open(&world);
	pci_bus_reset(&world.pci);
	bus_write(&world.io, 0xcf8, 4, 0x80000920);
	bus_write(&world.io, 0xcfc, 4, 0xc000);
	bus_write(&world.io, 0xcf8, 4, 0x80000904);
	bus_write(&world.io, 0xcfc, 2, 5);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		take(&world, &step);
	}
	ide_world_wait(&world);
	return 0;
}
