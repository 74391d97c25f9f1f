/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O APIC (Intel 82093AA data sheet): 24 pins, each sent to the local
 * APICs as its redirection entry says; version 0x20 with an EOI register.
 */
#ifndef DACH_MACHINE_INTERRUPT_IOAPIC_H
#define DACH_MACHINE_INTERRUPT_IOAPIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/bus.h"
#include "machine/interrupt/lapic.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_SIZE 0x1000u
#define IOAPIC_PINS 24

/* What the I/O APIC needs of the machine. Both with its lock held, on any thread. */
struct ioapic_host {
	void *ctx;
	/* Sends a message to the local APICs, as lapic_msi() takes it. */
	void (*message)(void *ctx, uint64_t addr, uint32_t data);
	/*
	 * The message that a pin will send; addr 0 if it is edge-triggered, and nobody need tell of
	 * its end. May be NULL.
	 */
	void (*route)(void *ctx, unsigned pin, uint64_t addr, uint32_t data);
};

struct ioapic {
	struct ioapic_host host;
	pthread_mutex_t lock; /* all that follows */
	uint32_t select, id;
	uint64_t entry[IOAPIC_PINS];
	uint32_t level; /* the pins as they are driven */
};

int ioapic_init(struct ioapic *ioapic, struct bus *mmio, const struct ioapic_host *host);
void ioapic_destroy(struct ioapic *ioapic);
void ioapic_reset(struct ioapic *ioapic);
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
