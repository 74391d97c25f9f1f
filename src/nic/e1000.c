/* SPDX-License-Identifier: Apache-2.0 */
/* The card: registers (13.4), interrupts, the link, resets, saved states. */
#include "nic/e1000.h"

#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "machine/pci/bus.h"
#include "nic/internal.h"
#include "state/state.h"

#define CLASS_ETHERNET 0x020000u
#define MEMORY_BAR 0
#define MEMORY_SIZE 0x20000u
#define PORTS_BAR 1
#define PORTS_SIZE 64u
#define PORT_ADDRESS 0
#define PORT_DATA 4

#define STATUS_UP 0x00000283u /* full duplex, up, 1000 Mbit/s, likewise as it was sensed */
#define STATUS_DOWN 0x00000281u
#define ADDRESS_VALID 0x80000000u

/* What the guest can write, and reads as it wrote it; the rest reads as nought, but for what is below. */
static const struct {
	uint16_t at, count;
	uint32_t mask;
} writable[] = {
	{CTRL, 1, 0x7bffffff},
	{EECD, 1, 0x77},
	{CTRL_EXT, 1, 0x0fffffff},
	{0x28, 4, UINT32_MAX}, /* flow control, the tag of VLANs */
	{0xc4, 1, 0xffff},     /* interrupts a second */
	{IMS, 1, 0x1ffff},
	{RCTL, 1, 0x07ffffff},
	{0x170, 1, 0xffff},
	{TCTL, 1, 0x03fffffa},
	{0x410, 1, 0x3fffffff},
	{0x458, 1, 0xffff},
	{LEDCTL, 1, UINT32_MAX},
	{PBA, 1, 0xffff},
	{0x2160, 1, 0x8000fff8},
	{0x2168, 1, 0xfff8},
	{RDBAL, 1, 0xfffffff0},
	{RDBAH, 1, UINT32_MAX},
	{RDLEN, 1, 0xfff80},
	{RDH, 1, 0xffff},
	{RDT, 1, 0xffff},
	{0x2820, 1, 0xffff}, /* delays */
	{0x2828, 2, UINT32_MAX},
	{0x2c00, 1, 0xfff},
	{0x3000, 1, 1},
	{TDBAL, 1, 0xfffffff0},
	{TDBAH, 1, UINT32_MAX},
	{TDLEN, 1, 0xfff80},
	{TDH, 1, 0xffff},
	{TDT, 1, 0xffff},
	{0x3820, 1, 0xffff},
	{0x3828, 3, UINT32_MAX},
	{RXCSUM, 1, 0x7ff},
	{MTA, 128, UINT32_MAX},
	{RA, 32, UINT32_MAX},
	{VFTA, 128, UINT32_MAX},
	{0x5800, 1, 3}, /* waking up */
	{0x5808, 1, 0xffff},
	{0x5810, 1, 0xffff},
	{MANC, 1, UINT32_MAX},
};

static uint32_t mask_of(uint32_t at)
{
	for (unsigned i = 0; i < sizeof writable / sizeof *writable; i++)
		if (at >= writable[i].at && at < writable[i].at + 4u * writable[i].count)
			return writable[i].mask;
	return 0;
}

static struct e1000 *of_nic(struct nic *nic)
{
	return container_of(nic, struct e1000, nic);
}

static struct e1000 *of_pci(struct pci_device *dev)
{
	return container_of(dev, struct e1000, pci);
}

static void update_line(struct e1000 *e)
{
	pci_intx_set(&e->pci, *e1000_reg(e, ICR) & *e1000_reg(e, IMS));
}

void e1000_raise(struct e1000 *e, uint32_t causes)
{
	*e1000_reg(e, ICR) |= causes;
	update_line(e);
}

static void add_octets(struct e1000 *e, unsigned at, size_t len)
{
	uint32_t *low = e1000_reg(e, at), *high = e1000_reg(e, at + 4);

	*high += __builtin_add_overflow(*low, (uint32_t)len, low);
}

void e1000_count(struct e1000 *e, unsigned good, unsigned octets, unsigned total_octets,
	unsigned total, size_t len)
{
	*e1000_reg(e, good) += 1;
	*e1000_reg(e, total) += 1;
	add_octets(e, octets, len);
	add_octets(e, total_octets, len);
}

/* As after power came, but for what the guest's owner has to say of it. */
static void reset(struct e1000 *e)
{
	memset(e->reg, 0, sizeof e->reg);
	*e1000_reg(e, CTRL) = 0x00140240; /* the link may come up, at 1000 Mbit/s */
	*e1000_reg(e, VET) = 0x8100;
	*e1000_reg(e, LEDCTL) = 0x07061302;
	*e1000_reg(e, PBA) = 0x30;
	memcpy(e1000_reg(e, RA), e->eeprom, 4);
	*e1000_reg(e, RA + 4) = e->eeprom[2] | ADDRESS_VALID;
	memset(&e->wire, 0, sizeof e->wire);
	memset(&e->plain, 0, sizeof e->plain);
	memset(&e->cut, 0, sizeof e->cut);
	e->address = 0;
	e->used = 0;
	e->segment = 0;
	e->too_long = e->tagged = e->received = false;
	phy_reset(e);
	update_line(e);
}

static uint32_t read_register(struct e1000 *e, uint32_t at)
{
	uint32_t value;

	if (at >= E1000_REGISTERS)
		return 0;
	value = *e1000_reg(e, at);
	switch (at) {
	case STATUS:
		e->seen = true;
		return e->up ? STATUS_UP : STATUS_DOWN;
	case EECD:
		return eeprom_control_read(e);
	case ICR:
		*e1000_reg(e, ICR) = 0;
		update_line(e);
		return value;
	case COUNTERS ... COUNTERS_END - 4:
		*e1000_reg(e, at) = 0;
		return value;
	default:
		return value;
	}
}

static void write_register(struct e1000 *e, uint32_t at, uint32_t value)
{
	if (at >= E1000_REGISTERS)
		return;
	switch (at) {
	case CTRL:
		if (value & CTRL_RESET) {
			reset(e);
			return;
		}
		if (value & CTRL_PHY_RESET)
			phy_reset(e);
		break;
	case EECD:
		eeprom_control_write(e, value);
		return;
	case EERD:
		*e1000_reg(e, EERD) = eeprom_read(e, value);
		return;
	case MDIC:
		*e1000_reg(e, MDIC) = phy_access(e, value);
		return;
	case ICR:
		*e1000_reg(e, ICR) &= ~value;
		update_line(e);
		return;
	case ICS:
		e1000_raise(e, value & mask_of(IMS));
		return;
	case IMS:
		*e1000_reg(e, IMS) |= value & mask_of(IMS);
		update_line(e);
		return;
	case IMC:
		*e1000_reg(e, IMS) &= ~value;
		update_line(e);
		return;
	}
	*e1000_reg(e, at) = value & mask_of(at);
	if (at == TDT || at == RDT || at == RCTL || at == TCTL)
		net_kick(e->net);
}

static uint64_t memory_bar_read(void *ctx, uint64_t offset, unsigned size)
{
	struct e1000 *e = ctx;

	mutex_assert_held(&e->lock);
	return read_register(e, offset);
}

static void memory_bar_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct e1000 *e = ctx;

	mutex_assert_held(&e->lock);
	write_register(e, offset, value);
}

static uint64_t ports_read(void *ctx, uint64_t offset, unsigned size)
{
	struct e1000 *e = ctx;

	mutex_assert_held(&e->lock);
	return offset == PORT_ADDRESS ? e->address
		: offset == PORT_DATA ? read_register(e, e->address)
				      : 0;
}

static void ports_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct e1000 *e = ctx;

	mutex_assert_held(&e->lock);
	if (offset == PORT_ADDRESS)
		e->address = value & (MEMORY_SIZE - 4);
	else if (offset == PORT_DATA)
		write_register(e, e->address, value);
}

static const struct bus_ops memory_ops = {memory_bar_read, memory_bar_write, 4, true};
static const struct bus_ops ports_ops = {ports_read, ports_write, 4, true};

/* --- on the bus -------------------------------------------------------------------------------------- */

static void on_reset(struct pci_device *dev)
{
	struct e1000 *e = of_pci(dev);

	mutex_lock(&e->lock);
	reset(e);
	mutex_unlock(&e->lock);
}

static void on_quiesce(struct pci_device *dev, bool quiet)
{
	struct e1000 *e = of_pci(dev);

	mutex_lock(&e->lock);
	e->quiet = quiet;
	e1000_show(e);
	mutex_unlock(&e->lock);
	if (!quiet)
		net_kick(e->net);
}

static void describe_context(struct e1000_context *c, struct state *s, const char *name)
{
	state_group(s, name, 0);
	state_u8(s, "ip_start", &c->ip_start);
	state_u8(s, "ip_at", &c->ip_at);
	state_u16(s, "ip_end", &c->ip_end);
	state_u8(s, "sum_start", &c->sum_start);
	state_u8(s, "sum_at", &c->sum_at);
	state_u16(s, "sum_end", &c->sum_end);
	state_u16(s, "mss", &c->mss);
	state_u8(s, "header", &c->header);
	state_bool(s, "tcp", &c->tcp);
	state_bool(s, "ipv4", &c->ipv4);
	state_group(s, NULL, 0);
}

/* Only bits that can be there; what is in them is the guest's to say in any case. */
static void mask_registers(struct e1000 *e)
{
	for (uint32_t at = 0; at < E1000_REGISTERS; at += 4)
		if (at != ICR && at != EERD && at != MDIC && (at < COUNTERS || at >= COUNTERS_END))
			*e1000_reg(e, at) &= mask_of(at);
}

static void describe_wire(struct e1000 *e, struct state *s)
{
	state_u32(s, "wire_in", &e->wire.in);
	state_u8(s, "wire_count", &e->wire.count);
	state_u8(s, "wire_out", &e->wire.out);
	state_bool(s, "wire_data", &e->wire.data);
	state_require(s, e->wire.count <= 9 && e->wire.out < 16, "a request of too many bits");
}

static void describe_phy(struct e1000 *e, struct state *s)
{
	for (unsigned i = 0; i < E1000_PHY; i++) {
		state_group(s, "phy", i);
		state_u16(s, "value", &e->phy[i]);
	}
	state_group(s, NULL, 0);
}

/* The guest keeps its address, and its lease; what was on the way is lost, as networks do. */
static void on_describe(struct pci_device *dev, struct state *s)
{
	struct e1000 *e = of_pci(dev);
	uint8_t mac[NET_MAC_LEN];

	mutex_lock(&e->lock);
	state_begin(s, "e1000", pci_instance(dev), 1);
	if (e->lost)
		state_fail(s, EBUSY,
			"the guest has not let go of a network that was taken from it");
	memcpy(mac, e->eeprom, sizeof mac);
	state_bytes(s, "mac", mac, sizeof mac);
	state_bool(s, "link", &e->up);
	state_u32s(s, "registers", e->reg, E1000_REGISTERS / 4);
	state_u32(s, "address", &e->address);
	describe_phy(e, s);
	describe_wire(e, s);
	describe_context(&e->plain, s, "plain");
	describe_context(&e->cut, s, "cut");
	state_bool(s, "too_long", &e->too_long);
	state_bool(s, "tagged", &e->tagged);
	state_u8(s, "options", &e->options);
	state_u16(s, "tag", &e->tag);
	state_u32(s, "used", &e->used);
	state_require(s, e->used <= NET_FRAME_MAX && e->address < MEMORY_SIZE,
		"a place beyond its end");
	state_bytes(s, "frame", e->frame, state_ok(s) ? e->used : 0);
	state_end(s);
	if (state_ok(s) && state_loading(s)) {
		eeprom_fill(e, mac);
		mask_registers(e);
		e->segment = 0;
	} else if (!state_ok(s)) { /* nobody uses it any more but to destroy it */
		e->used = 0;
	}
	mutex_unlock(&e->lock);
}

static const struct pci_device_ops pci_ops = {.reset = on_reset,
	.quiesce = on_quiesce,
	.describe = on_describe};

/* --- as a card --------------------------------------------------------------------------------------- */

static void on_flush(void *ctx)
{
	struct e1000 *e = ctx;

	mutex_lock(&e->lock);
	e1000_show(e);
	mutex_unlock(&e->lock);
}

/* It takes finished frames alone, but what is said of finished ones may be said here, too. */
static bool on_receive_unfinished(void *ctx, const struct virtio_net_hdr_v1 *header,
	const uint8_t *frame, size_t len)
{
	return e1000_receive(ctx, frame, len);
}

static unsigned on_slot(struct nic *nic)
{
	return of_nic(nic)->pci.slot;
}

static void on_counters(struct nic *nic, struct nic_counters *counters)
{
	struct e1000 *e = of_nic(nic);

	mutex_lock(&e->lock);
	*counters = e->counters;
	mutex_unlock(&e->lock);
}

static void on_set_link(struct nic *nic, bool up)
{
	struct e1000 *e = of_nic(nic);

	mutex_lock(&e->lock);
	if (e->up != up) {
		e->up = up;
		e->seen = false;
		phy_link(e);
		e1000_raise(e, INT_LINK);
	}
	mutex_unlock(&e->lock);
}

static bool on_link_seen(struct nic *nic)
{
	struct e1000 *e = of_nic(nic);
	bool seen;

	mutex_lock(&e->lock);
	seen = e->seen || !(*e1000_reg(e, RCTL) & RCTL_ENABLE);
	mutex_unlock(&e->lock);
	return seen;
}

static void on_announce(struct nic *nic, const uint8_t (*address)[ANNOUNCE_ADDRESS], unsigned count)
{
	struct e1000 *e = of_nic(nic);

	mutex_lock(&e->lock);
	announcement_set(&e->announcement, address, count);
	mutex_unlock(&e->lock);
	net_kick(e->net);
}

static void on_set_mac(struct nic *nic, const uint8_t mac[NET_MAC_LEN])
{
	struct e1000 *e = of_nic(nic);

	mutex_lock(&e->lock);
	eeprom_fill(e, mac);
	mutex_unlock(&e->lock);
}

static void on_lose(struct nic *nic)
{
	struct e1000 *e = of_nic(nic);

	on_set_link(nic, false);
	mutex_lock(&e->lock);
	e->lost = true;
	mutex_unlock(&e->lock);
}

static void on_unplug(struct nic *nic)
{
	struct e1000 *e = of_nic(nic);

	/* The only function of its slot: it can go. */
	if (e->pci.bus && !e->removed)
		e->removed = !pci_bus_remove(&e->pci, NULL);
}

static void on_destroy(struct nic *nic)
{
	struct e1000 *e = of_nic(nic);

	on_unplug(nic);
	net_stop(e->net);
	announcement_free(&e->announcement);
	pci_device_destroy(&e->pci);
	mutex_destroy(&e->lock);
	free(e);
}

static const struct nic_ops nic_ops = {.slot = on_slot,
	.counters = on_counters,
	.set_link = on_set_link,
	.link_seen = on_link_seen,
	.announce = on_announce,
	.set_mac = on_set_mac,
	.lose = on_lose,
	.unplug = on_unplug,
	.destroy = on_destroy};

int e1000_create(struct pci_bus *bus, struct memory *memory, struct net *net,
	const uint8_t mac[NET_MAC_LEN], const struct nic_rom *rom, struct nic **out,
	struct error *err)
{
	static const struct pci_ids ids = {.vendor = 0x8086,
		.device = 0x100e,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.class_code = CLASS_ETHERNET,
		.revision = 3};
	struct e1000 *e = calloc(1, sizeof *e);
	const struct net_client client = {.ctx = e,
		.transmit = e1000_transmit,
		.receive = e1000_receive,
		.flush = on_flush,
		.receive_unfinished = on_receive_unfinished};
	int r;

	if (!e)
		return error_nomem(err);
	e->nic.ops = &nic_ops;
	e->memory = memory;
	e->net = net;
	e->up = true;
	mutex_init(&e->lock);
	pci_device_init(&e->pci, "e1000", &ids, &pci_ops);
	pci_use_intx(&e->pci);
	eeprom_fill(e, mac);
	on_reset(&e->pci);
	r = pci_add_bar(&e->pci, MEMORY_BAR, MEMORY_SIZE, 0, &memory_ops, e, &e->lock);
	if (!r)
		r = pci_add_bar(&e->pci, PORTS_BAR, PORTS_SIZE, PCI_BAR_IO, &ports_ops, e,
			&e->lock);
	if (!r && rom && rom->data)
		r = pci_add_rom(&e->pci, rom->data, rom->size);
	if (r)
		error_set(err, -r, "e1000: no place for its registers");
	if (!r)
		r = pci_bus_add(bus, &e->pci, err);
	if (!r)
		r = net_start(net, &client, err);
	if (r) {
		on_destroy(&e->nic);
		return r;
	}
	*out = &e->nic;
	return 0;
}
