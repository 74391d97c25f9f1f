/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine in a saved state: each device describes its own section or
 * sections (state/state.h says how), in its own file where it is small.
 * The machine does not run. Loading, all devices are as after their init or
 * reset; one that fails leaves a machine that can only be destroyed.
 */
#ifndef DACH_MACHINE_DESCRIBE_H
#define DACH_MACHINE_DESCRIBE_H

#include "state/state.h"

struct ioapic;
struct lapic;
struct memory;
struct pci_bus;
struct pic;
struct pit;
struct pm;
struct pvclock;
struct rtc;
struct serial;

void ioapic_describe(struct ioapic *ioapic, struct state *s);
/* Of one processor. After state_clock(), and loading, with the guest's TSC already right. */
void lapic_describe(struct lapic *lapic, struct state *s);
/* Sections "memory", many: runs of pages that are not all zeros. Loading, all is zeros before. */
void memory_describe(struct memory *mem, struct state *s);
/* The bus, configuration space and MSI-X of each device on it; which ones are there must be equal. */
void pci_describe(struct pci_bus *bus, struct state *s);
void pic_describe(struct pic *pic, struct state *s);
void pit_describe(struct pit *pit, struct state *s);
void pm_describe(struct pm *pm, struct state *s);
/* tsc_offset: the guest's, loading: as it is now. The pages in guest memory are written anew. */
void pvclock_describe(struct pvclock *clock, int64_t tsc_offset, struct state *s);
void rtc_describe(struct rtc *rtc, struct state *s);
void serial_describe(struct serial *serial, struct state *s);

#endif
