/* SPDX-License-Identifier: Apache-2.0 */
/* Two chips beside the controller: the EEPROM (93C46, over Microwire) with its address, and the PHY (Marvell's 88E1011). */
#include <string.h>

#include "nic/internal.h"

/* EECD (13.4.3) */
#define WIRE_CLOCK 0x01u
#define WIRE_SELECT 0x02u
#define WIRE_IN 0x04u
#define WIRE_OUT 0x08u
#define WIRE_WRITABLE 0x37u /* and whether the flash may be written to */
#define WIRE_REQUEST 0x40u
#define WIRE_GRANT 0x80u
#define WIRE_PRESENT 0x100u

/* EERD */
#define READ_START 0x01u
#define READ_DONE 0x10u

/* A read: one, one and nought, and six bits of address */
#define REQUEST_BITS 9
#define REQUEST_READ 6
#define WORD_BITS 16

/* EEPROM (5.6) */
#define EEPROM_SUM 0xbaba
#define EEPROM_SUM_AT 0x3f

/* MDIC (13.4.7) */
#define MDIO_WRITE 1u
#define MDIO_READ 2u
#define MDIO_PHY 1u
#define MDIO_READY 0x10000000u
#define MDIO_TELL 0x20000000u
#define MDIO_ERROR 0x40000000u

/* PHY (IEEE 802.3, clause 22, and Marvell's own) */
enum {
	PHY_CONTROL = 0,
	PHY_STATUS = 1,
	PHY_PARTNER = 5,
	PHY_GIGABIT_STATUS = 10,
	PHY_MARVELL_STATUS = 17
};
#define PHY_RESET 0x8000u
#define PHY_ISOLATED 0x0400u
#define PHY_RESTART 0x0200u
#define PHY_STATUS_LINK 0x0024u /* up, and agreed on */

void eeprom_fill(struct e1000 *e, const uint8_t mac[NET_MAC_LEN])
{
	uint16_t sum = 0;

	memset(e->eeprom, 0, sizeof e->eeprom);
	for (unsigned i = 0; i < 3; i++)
		e->eeprom[i] = mac[2 * i] | mac[2 * i + 1] << 8;
	e->eeprom[0x0a] = 0x4008; /* signature, 64 words */
	e->eeprom[0x0b] = 0x1100;
	e->eeprom[0x0c] = 0x1af4;
	e->eeprom[0x0d] = 0x100e;
	e->eeprom[0x0e] = 0x8086;
	for (unsigned i = 0; i < EEPROM_SUM_AT; i++)
		sum += e->eeprom[i];
	e->eeprom[EEPROM_SUM_AT] = EEPROM_SUM - sum;
}

uint32_t eeprom_control_read(const struct e1000 *e)
{
	const uint32_t said = e->reg[EECD / 4];

	return said | WIRE_PRESENT | (said & WIRE_REQUEST ? WIRE_GRANT : 0) |
		(e->wire.data ? WIRE_OUT : 0);
}

/* At each rise of the clock a bit goes one way or the other; nothing but reading is done. */
static void clock_rises(struct e1000 *e, bool in)
{
	if (e->wire.count < REQUEST_BITS) {
		if (!e->wire.count && !in) /* it begins with a one */
			return;
		e->wire.in = e->wire.in << 1 | in;
		e->wire.count++;
		e->wire.data = false;
		return;
	}
	if (e->wire.in >> 6 != REQUEST_READ)
		return;
	e->wire.data = e->eeprom[e->wire.in % E1000_EEPROM] >> (WORD_BITS - 1 - e->wire.out) & 1;
	if (++e->wire.out == WORD_BITS) {
		e->wire.out = 0;
		e->wire.in = REQUEST_READ << 6 | (e->wire.in + 1) % E1000_EEPROM;
	}
}

void eeprom_control_write(struct e1000 *e, uint32_t value)
{
	uint32_t *said = e1000_reg(e, EECD);
	const uint32_t was = *said;

	*said = value & (WIRE_WRITABLE | WIRE_REQUEST);
	if (!(value & WIRE_SELECT)) {
		memset(&e->wire, 0, sizeof e->wire);
		e->wire.data = true; /* ready */
	} else if (value & WIRE_CLOCK && !(was & WIRE_CLOCK)) {
		clock_rises(e, value & WIRE_IN);
	}
}

uint32_t eeprom_read(const struct e1000 *e, uint32_t request)
{
	const unsigned at = request >> 8 & 0xff;

	if (!(request & READ_START))
		return request & 0xff00;
	return (uint32_t)(at < E1000_EEPROM ? e->eeprom[at] : 0) << 16 | at << 8 | READ_DONE;
}

void phy_link(struct e1000 *e)
{
	e->phy[PHY_STATUS] = 0x7949 | (e->up ? PHY_STATUS_LINK : 0);
	e->phy[PHY_PARTNER] = e->up ? 0xcde1 : 0;
	e->phy[PHY_GIGABIT_STATUS] = e->up ? 0x3c00 : 0;
	e->phy[PHY_MARVELL_STATUS] = e->up ? 0xac00 : 0x8000;
}

void phy_reset(struct e1000 *e)
{
	static const uint16_t values[E1000_PHY] = {[PHY_CONTROL] = 0x1140,
		[2] = 0x0141,
		[3] = 0x0c20,
		[4] = 0x0de1,
		[6] = 0x0001,
		[9] = 0x0e00,
		[15] = 0x3000,
		[16] = 0x0360,
		[20] = 0x0d60};

	memcpy(e->phy, values, sizeof e->phy);
	phy_link(e);
}

static void phy_write(struct e1000 *e, unsigned at, uint16_t value)
{
	/* Control, what it tells its partner, and of Marvell's what drivers write. */
	const uint32_t writable = 1u << 0 | 1u << 4 | 1u << 7 | 1u << 9 | 1u << 16 | 1u << 18 |
		1u << 20 | 1u << 22 | 1u << 29 | 1u << 30;

	if (!(writable >> at & 1))
		return;
	if (at == PHY_CONTROL && value & PHY_RESET) {
		phy_reset(e);
		return;
	}
	e->phy[at] = value;
	if (at != PHY_CONTROL)
		return;
	e->phy[at] &= ~(PHY_RESTART | PHY_ISOLATED);
	if (value & PHY_RESTART && e->up) /* they agree at once */
		e1000_raise(e, INT_LINK);
}

uint32_t phy_access(struct e1000 *e, uint32_t request)
{
	const unsigned at = request >> 16 & 31, phy = request >> 21 & 31, what = request >> 26 & 3;
	uint32_t answer = request & ~(MDIO_READY | MDIO_ERROR);

	if (phy != MDIO_PHY) {
		answer |= MDIO_ERROR;
	} else if (what == MDIO_READ) {
		e->seen |= at == PHY_STATUS;
		answer = (answer & ~0xffffu) | e->phy[at];
	} else if (what == MDIO_WRITE) {
		phy_write(e, at, request);
	}
	if (request & MDIO_TELL)
		e1000_raise(e, INT_MDIO);
	return answer | MDIO_READY;
}
