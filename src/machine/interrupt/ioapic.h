/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O APIC (Intel 82093AA data sheet): 24 pins, each sent to the local
 * APICs as its redirection entry says; version 0x20 with an EOI register.
 */
#ifndef DACH_MACHINE_INTERRUPT_IOAPIC_H
#define DACH_MACHINE_INTERRUPT_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/board.h"
#include "machine/interrupt/lapic.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_SIZE 0x1000u
#define IOAPIC_PINS 24

struct ioapic;

extern const struct board_device ioapic_device;

/* Drives a pin; an edge is a change from false to true. Any thread. */
void ioapic_set(struct ioapic *ioapic, unsigned pin, bool level);
/* A local APIC ended a level-triggered vector. Any thread. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

/*
 * A message-signalled interrupt (SDM 3A 11.11): a 4-byte write of data to addr. Others than the
 * local APICs' addresses are dropped. Any thread, lock-free.
 */
void lapic_msi(struct lapic_set *apics, uint64_t addr, uint32_t data);

#endif
