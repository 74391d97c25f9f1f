/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel's 82540EM, a gigabit Ethernet controller that old and new systems have a driver for ("PCI/PCI-X Family of Gigabit
 * Ethernet Controllers Software Developer's Manual", 317453). Frames move on the endpoint's thread. Checksums are
 * put in where the driver asks for it, and TCP over IPv4 is cut up. Interrupts by INTA#; their moderation is kept and
 * means nothing.
 *
 * Locking: the card has one lock, held around its registers and by the endpoint's thread while it uses rings.
 */
#ifndef DACH_NIC_E1000_H
#define DACH_NIC_E1000_H

#include "base/error.h"
#include "machine/memory.h"
#include "net/net.h"
#include "net/nic.h"

struct pci_bus;

/* No vCPU runs: before the machine starts, or while it is paused. rom NULL: none. */
int e1000_create(struct pci_bus *bus, struct memory *memory, struct net *net,
	const uint8_t mac[NET_MAC_LEN], const struct nic_rom *rom, struct nic **nic,
	struct error *err);

#endif
