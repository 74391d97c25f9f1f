/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/interrupt/ioapic.h"

#include <pthread.h>

#include "base/thread.h"
#include "state/state.h"

#define REG_ID 0
#define REG_VERSION 1
#define REG_ARBITRATION 2
#define REG_ENTRY 0x10
#define VERSION (0x20u | (IOAPIC_PINS - 1) << 16)

/* Redirection entry (82093AA, 3.2.4) */
#define ENTRY_LOGICAL 0x800u
#define ENTRY_STATUS 0x1000u
#define ENTRY_REMOTE_IRR 0x4000u
#define ENTRY_LEVEL 0x8000u
#define ENTRY_MASKED 0x10000u
#define MESSAGE_LEVEL 0x8000u
#define MESSAGE_ASSERT 0x4000u
#define ENTRY_WRITABLE 0xff0000000001afffull

struct ioapic {
	struct board *board;
	struct mutex lock; /* all that follows */
	uint32_t select, id;
	uint64_t entry[IOAPIC_PINS];
	uint32_t level; /* the pins as they are driven */
};

void lapic_msi(struct lapic_set *apics, uint64_t addr, uint32_t data)
{
	unsigned mode = data >> 8 & 7;

	if (addr >> 20 != LAPIC_BASE >> 20)
		return;
	/* Redirection hint with physical destinations means nothing; level de-assert neither. */
	if ((data & 0xc000) == 0x8000)
		return;
	lapic_deliver(apics, addr >> 12 & 0xff, addr & 4, mode, data & 0xff, data & 0x8000);
}

/* An entry as a message (SDM 3A 11.11): destination, mode, vector and trigger are the same bits. */
static uint64_t message_address(uint64_t entry)
{
	return LAPIC_BASE | entry >> 56 << 12 | (entry & ENTRY_LOGICAL ? 4 : 0);
}

static uint32_t message_data(uint64_t entry)
{
	return (entry & 0x7ff) | (entry & ENTRY_LEVEL ? MESSAGE_LEVEL | MESSAGE_ASSERT : 0);
}

static void send_pin(struct ioapic *ioapic, unsigned pin) REQUIRES(ioapic->lock)
{
	uint64_t entry = ioapic->entry[pin];
	bool level = entry & ENTRY_LEVEL;

	if (entry & ENTRY_MASKED)
		return;
	if (level) {
		if (!(ioapic->level >> pin & 1) || (entry & ENTRY_REMOTE_IRR))
			return;
		ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
	}
	ioapic->board->owner->message(ioapic->board->ctx, message_address(entry),
		message_data(entry));
}

static void tell_route(struct ioapic *ioapic, unsigned pin) REQUIRES(ioapic->lock)
{
	uint64_t entry = ioapic->entry[pin];

	/* A masked one too: what it has sent is still to be ended. */
	if (ioapic->board->owner->route)
		ioapic->board->owner->route(ioapic->board->ctx, pin,
			entry & ENTRY_LEVEL ? message_address(entry) : 0, message_data(entry));
}

void ioapic_set(struct ioapic *ioapic, unsigned pin, bool level)
{
	uint32_t bit;
	bool was;

	if (pin >= IOAPIC_PINS)
		return;
	bit = 1u << pin;
	mutex_lock(&ioapic->lock);
	was = ioapic->level & bit;
	ioapic->level = level ? ioapic->level | bit : ioapic->level & ~bit;
	if (level && !was)
		send_pin(ioapic, pin);
	mutex_unlock(&ioapic->lock);
}

static void end_vector(struct ioapic *ioapic, uint8_t vector) REQUIRES(ioapic->lock)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = ioapic->entry[pin];

		if ((entry & 0xff) != vector || !(entry & ENTRY_LEVEL) ||
			!(entry & ENTRY_REMOTE_IRR))
			continue;
		ioapic->entry[pin] &= ~(uint64_t)ENTRY_REMOTE_IRR;
		send_pin(ioapic, pin);
	}
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	mutex_lock(&ioapic->lock);
	end_vector(ioapic, vector);
	mutex_unlock(&ioapic->lock);
}

static uint32_t reg_read(struct ioapic *ioapic) REQUIRES(ioapic->lock)
{
	unsigned reg = ioapic->select;

	if (reg == REG_ID || reg == REG_ARBITRATION)
		return ioapic->id;
	if (reg == REG_VERSION)
		return VERSION;
	if (reg >= REG_ENTRY && reg < REG_ENTRY + 2 * IOAPIC_PINS)
		return ioapic->entry[(reg - REG_ENTRY) / 2] >> (reg & 1 ? 32 : 0);
	return 0;
}

static void entry_write(struct ioapic *ioapic, unsigned pin, bool high, uint32_t value)
	REQUIRES(ioapic->lock)
{
	uint64_t old = ioapic->entry[pin], mask = high ? 0xffffffffull << 32 : 0xffffffffull, entry;

	mask &= ENTRY_WRITABLE;
	entry = (old & ~mask) | ((high ? (uint64_t)value << 32 : value) & mask);
	/* An edge that comes while masked is lost; turning edge-triggered forgets remote IRR. */
	if (!(entry & ENTRY_LEVEL))
		entry &= ~(uint64_t)ENTRY_REMOTE_IRR;
	ioapic->entry[pin] = entry;
	if ((old | entry) & ENTRY_LEVEL)
		tell_route(ioapic, pin);
	if (entry & ENTRY_LEVEL)
		send_pin(ioapic, pin);
}

static void reg_write(struct ioapic *ioapic, uint32_t value) REQUIRES(ioapic->lock)
{
	unsigned reg = ioapic->select;

	if (reg == REG_ID)
		ioapic->id = value & 0x0f000000;
	else if (reg >= REG_ENTRY && reg < REG_ENTRY + 2 * IOAPIC_PINS)
		entry_write(ioapic, (reg - REG_ENTRY) / 2, reg & 1, value);
}

static uint64_t ioapic_read(void *ctx, uint64_t offset, unsigned size)
{
	struct ioapic *ioapic = ctx;

	mutex_assert_held(&ioapic->lock);
	switch (offset) {
	case 0x00:
		return ioapic->select;
	case 0x10:
		return reg_read(ioapic);
	}
	return 0;
}

static void ioapic_write(void *ctx, uint64_t offset, unsigned size, uint64_t value)
{
	struct ioapic *ioapic = ctx;

	mutex_assert_held(&ioapic->lock);
	switch (offset) {
	case 0x00:
		ioapic->select = value & 0xff;
		break;
	case 0x10:
		reg_write(ioapic, value);
		break;
	case 0x40:
		end_vector(ioapic, value);
		break;
	}
}

/* Guests write the select register by bytes too, so all widths reach the registers. */
static const struct bus_ops ioapic_ops = {.read = ioapic_read, .write = ioapic_write};

/* On the board */

static void ioapic_reset(void *device)
{
	struct ioapic *ioapic = device;

	mutex_lock(&ioapic->lock);
	ioapic->select = ioapic->id = 0;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		ioapic->entry[pin] = ENTRY_MASKED;
		tell_route(ioapic, pin);
	}
	mutex_unlock(&ioapic->lock);
}

static void ioapic_describe(void *device, struct state *s)
{
	struct ioapic *ioapic = device;

	mutex_lock(&ioapic->lock);
	state_begin(s, "ioapic", 0, 1);
	state_u32(s, "select", &ioapic->select);
	state_u32(s, "id", &ioapic->id);
	state_u64s(s, "entry", ioapic->entry, IOAPIC_PINS);
	state_u32(s, "level", &ioapic->level);
	state_end(s);
	if (state_loading(s)) {
		ioapic->select &= 0xff;
		ioapic->id &= 0x0f000000;
		ioapic->level &= (1u << IOAPIC_PINS) - 1;
		for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
			ioapic->entry[pin] &= ENTRY_WRITABLE | ENTRY_REMOTE_IRR;
		for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
			tell_route(ioapic, pin);
	}
	mutex_unlock(&ioapic->lock);
}

static int ioapic_init(void *device, struct board *board, struct error *err)
{
	struct ioapic *ioapic = device;

	ioapic->board = board;
	mutex_init(&ioapic->lock);
	ioapic_reset(ioapic);
	return bus_map(&board->mmio, IOAPIC_BASE, IOAPIC_SIZE, &ioapic_ops, ioapic, &ioapic->lock);
}

static void ioapic_destroy(void *device)
{
	struct ioapic *ioapic = device;

	mutex_destroy(&ioapic->lock);
}

const struct board_device ioapic_device = {
	.name = "I/O APIC",
	.size = sizeof(struct ioapic),
	.init = ioapic_init,
	.reset = ioapic_reset,
	.destroy = ioapic_destroy,
	.describe = ioapic_describe,
};
