/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tells a guest that PCI devices come and go (ACPI 6.4, 6.3: the DSDT's Notify() and _EJ0; the ports are
 * laid out as QEMU's docs/specs/acpi_pci_hotplug has them, a bit a slot): Linux's acpiphp does the rest.
 *
 * PLUG_CAME and PLUG_LEAVES, read, say which slots have a new device and which are to be given up; reading forgets
 * it. PLUG_EJECT, written, says which the guest has given up. As long as there is anything to be read, input
 * PLUG_IRQ of the I/O APIC is up: a guest whose driver comes later misses nothing.
 */
#ifndef DACH_MACHINE_PCI_PLUG_H
#define DACH_MACHINE_PCI_PLUG_H

#include "machine/board.h"

/* The DSDT says the same. */
#define PLUG_PORTS 0xae00u
#define PLUG_CAME 0u
#define PLUG_LEAVES 4u
#define PLUG_EJECT 8u
#define PLUG_SIZE 12u
#define PLUG_IRQ 21u

struct plug;

extern const struct board_device plug_device;

/* All of these on any thread, slot 1 to 31. */
/* A device is there that was not: bus.h has put it there. */
void plug_came(struct plug *plug, unsigned slot);
/* The guest is to give it up; board_owner.ejected tells when it has. */
void plug_leaves(struct plug *plug, unsigned slot);
/* It need not any more; it may have read that already. */
void plug_stays(struct plug *plug, unsigned slot);

#endif
