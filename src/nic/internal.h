/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the 82540EM. All functions: the card's lock is held. */
#ifndef DACH_NIC_INTERNAL_H
#define DACH_NIC_INTERNAL_H

#include "base/thread.h"
#include "machine/memory.h"
#include "machine/pci/device.h"
#include "net/net.h"
#include "net/nic.h"
#include "nic/e1000.h"

#define E1000_REGISTERS 0x6000u /* bytes of them */
#define E1000_EEPROM 64u        /* words */
#define E1000_PHY 32u

/* Registers (13.4) */
enum {
	CTRL = 0x0000,
	STATUS = 0x0008,
	EECD = 0x0010,
	EERD = 0x0014,
	CTRL_EXT = 0x0018,
	MDIC = 0x0020,
	VET = 0x0038,
	ICR = 0x00c0,
	ICS = 0x00c8,
	IMS = 0x00d0,
	IMC = 0x00d8,
	RCTL = 0x0100,
	TCTL = 0x0400,
	LEDCTL = 0x0e00,
	PBA = 0x1000,
	RDBAL = 0x2800,
	RDBAH = 0x2804,
	RDLEN = 0x2808,
	RDH = 0x2810,
	RDT = 0x2818,
	TDBAL = 0x3800,
	TDBAH = 0x3804,
	TDLEN = 0x3808,
	TDH = 0x3810,
	TDT = 0x3818,
	COUNTERS = 0x4000, /* all are cleared by reading */
	GPRC = 0x4074,
	GPTC = 0x4080,
	GORC = 0x4088, /* and the upper half behind it, as of the next ones */
	GOTC = 0x4090,
	TOR = 0x40c0,
	TOT = 0x40c8,
	TPR = 0x40d0,
	TPT = 0x40d4,
	COUNTERS_END = 0x4100,
	RXCSUM = 0x5000,
	MTA = 0x5200,
	RA = 0x5400,
	VFTA = 0x5600,
	MANC = 0x5820,
};

/* Interrupts (13.4.17) */
#define INT_SENT 0x0001u
#define INT_RING_EMPTY 0x0002u
#define INT_LINK 0x0004u
#define INT_FEW_BUFFERS 0x0010u
#define INT_RECEIVED 0x0080u
#define INT_MDIO 0x0200u

#define CTRL_RESET 0x04000000u
#define CTRL_PHY_RESET 0x80000000u
#define CTRL_VLANS 0x40000000u
#define RCTL_ENABLE 0x00000002u
#define TCTL_ENABLE 0x00000002u

#define E1000_DESCRIPTOR 16u

struct e1000_context {
	uint8_t ip_start, ip_at, sum_start, sum_at;
	uint16_t ip_end, sum_end; /* the last byte; 0: the frame's */
	uint16_t mss;
	uint8_t header;
	bool tcp, ipv4;
};

struct e1000 {
	struct nic nic;
	struct pci_device pci;
	struct memory *memory;
	struct net *net;
	struct mutex lock;
	uint32_t reg[E1000_REGISTERS / 4];
	uint32_t address; /* of the register that is reached by ports */
	uint16_t eeprom[E1000_EEPROM];
	uint16_t phy[E1000_PHY];
	struct {
		uint32_t in; /* bits of the request, from the first one on */
		uint8_t count, out;
		bool data; /* what the line says */
	} wire;            /* to the EEPROM */
	bool up, seen;     /* the link; the driver has looked at it since it changed */
	bool lost, quiet, removed;
	struct announcement announcement;
	bool received; /* frames that no interrupt has told of */
	struct nic_counters counters;

	/* The frame whose descriptors come. */
	struct e1000_context plain, cut; /* for checksums alone, and for cutting up */
	uint32_t used;                   /* bytes of it */
	bool too_long, tagged;
	uint8_t options; /* of its first data descriptor: which checksums */
	uint16_t tag;
	unsigned
		segment; /* of the received frame that waits for room, the first that is not delivered */
	uint8_t frame[NET_FRAME_MAX];
	uint8_t piece[NET_FRAME_MAX]; /* of one that is cut up here; in no state */
};

static inline uint32_t *e1000_reg(struct e1000 *e, unsigned at)
{
	return &e->reg[at / 4];
}

/* e1000.c: more causes of an interrupt */
void e1000_raise(struct e1000 *e, uint32_t causes);
/* A frame has gone by: its counters, at these registers. */
void e1000_count(struct e1000 *e, unsigned good, unsigned octets, unsigned total_octets,
	unsigned total, size_t len);

/* e1000_chips.c: the EEPROM and the PHY */
void eeprom_fill(struct e1000 *e, const uint8_t mac[NET_MAC_LEN]);
uint32_t eeprom_control_read(const struct e1000 *e);
void eeprom_control_write(struct e1000 *e, uint32_t value);
uint32_t eeprom_read(const struct e1000 *e, uint32_t request);
void phy_reset(struct e1000 *e);
void phy_link(struct e1000 *e);
uint32_t phy_access(struct e1000 *e, uint32_t request);

/* e1000_send.c, e1000_receive.c: net_client.transmit and .receive, which take the lock */
bool e1000_transmit(void *e1000);
bool e1000_receive(void *e1000, const uint8_t *frame, size_t len);

/* e1000_receive.c: the guest hears of the frames that it has got. */
void e1000_show(struct e1000 *e);

/* How many descriptors a ring has. */
static inline uint32_t e1000_ring(struct e1000 *e, unsigned length)
{
	return (*e1000_reg(e, length) & 0xfff80) / E1000_DESCRIPTOR;
}

#endif
