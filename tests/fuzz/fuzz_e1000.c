/* SPDX-License-Identifier: Apache-2.0 */
/* What a driver may do to an 82540EM's registers and rings, and frames that come meanwhile, on this thread alone. */
#include "../unit/e1000_rig.h"

#define SEND_RING 0x1000u
#define RECEIVE_RING 0x2000u
#define RING 8u
#define DATA 0x10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t what, reg, value, more;
	uint32_t number;
} __attribute__((packed));

static void start(struct e1000_world *w)
{
	pci_bus_reset(&w->pci);
	e1000_world_map(w);
	memory_zero(&w->memory, 0, 0x20000);
	e1000_put(w, TDBAL, SEND_RING);
	e1000_put(w, TDLEN, RING * 16);
	e1000_put(w, TCTL, 2);
	e1000_put(w, RDBAL, RECEIVE_RING);
	e1000_put(w, RDLEN, RING * 16);
	for (unsigned i = 0; i < RING; i++) {
		const uint64_t address = DATA + i * 2048;

		memory_write(&w->memory, RECEIVE_RING + 16 * i, &address, sizeof address);
	}
	e1000_put(w, RDT, RING - 1);
	e1000_put(w, RCTL, 0x0000801a);
	e1000_put(w, IMS, 0x1ffff);
}

/* One that is mostly right: of the old kind, of data, a context. */
static void describe(struct e1000_world *w, const struct step *step)
{
	static const uint32_t kinds[] = {0x09000000, 0x29100000, 0x2d100000, 0x24100000, 0x27000000,
		0x20000000, 0x4d000000};
	const uint32_t tail = e1000_get(w, TDT) % RING;
	const uint32_t d[4] = {step->more & 1 ? step->number : DATA,
		step->more & 1 ? step->number : 0,
		kinds[step->value % 7] | (step->number & (step->more & 2 ? 0xfffff : 0xfff)),
		step->more & 4 ? step->number : 0x03e83600};

	memory_write(&w->memory, SEND_RING + tail * 16, d, sizeof d);
	e1000_put(w, TDT, (tail + 1) % RING);
}

static void come(struct e1000_world *w, const struct step *step)
{
	static const uint8_t head[54] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0,
		1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 81, 0, 0, 0, 1, 0, 0,
		0, 2, 0x50, 0x18, 1};
	static uint8_t frame[NET_FRAME_MAX];
	size_t len = step->number & 0x7fff;

	memcpy(frame, head, sizeof head);
	frame[step->reg % 60] = step->value;
	if (len > sizeof frame)
		len = sizeof frame;
	e1000_world_receive(w, frame, len);
	if (step->more & 1)
		w->net.client.flush(w->net.client.ctx);
}

static void take(struct e1000_world *w, const struct step *step)
{
	static const uint16_t regs[] = {CTRL, EECD, EERD, MDIC, VET, ICR, ICS, IMS, IMC, RCTL, TCTL,
		RDBAL, RDBAH, RDLEN, RDH, RDT, TDBAL, TDBAH, TDLEN, TDH, TDT, RXCSUM, RA, RA + 4};

	switch (step->what % 9) {
	case 0:
		e1000_put(w, regs[step->reg % (sizeof regs / sizeof *regs)], step->number);
		break;
	case 1:
		e1000_put(w, step->number & 0x1fffc, step->value * 0x01010101u);
		break;
	case 2:
		e1000_get(w, step->number & 0x1fffc);
		break;
	case 3:
		bus_write(&w->io, E1000_PORTS + (step->reg & 0x3c), 4, step->number);
		bus_read(&w->io, E1000_PORTS + (step->value & 0x3c), 4);
		break;
	case 4:
		memory_write(&w->memory, SEND_RING + step->reg * 4u % 0x2000, &step->number, 4);
		break;
	case 5:
		come(w, step);
		break;
	case 6:
		for (unsigned i = 0; i < 4 && w->net.client.transmit(w->net.client.ctx); i++)
			;
		break;
	default:
		describe(w, step);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct e1000_world worlds[2];
	struct e1000_world *w = &worlds[size && data[0] & 1];
	struct step step;

	if (!w->nic)
		e1000_world_open(w, w == &worlds[1]);
	start(w);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		take(w, &step);
	}
	w->net.client.transmit(w->net.client.ctx);
	return 0;
}
