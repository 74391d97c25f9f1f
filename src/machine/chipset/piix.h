/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The south bridge of a board with firmware, in slot 1: the ISA bridge of a PIIX3 (Intel 82371SB data sheet, 290550)
 * as function 0, and as function 3 the power management of a PIIX4 (82371AB, 290562), whose registers are those of
 * pm.h and stay where they are. Of the ISA bridge there are the PIRQ routes (2.2.8): the bus's four interrupts drive
 * inputs of the 8259s as they say, beside those of the I/O APIC (root.c), for a guest that has no ACPI.
 */
#ifndef DACH_MACHINE_CHIPSET_PIIX_H
#define DACH_MACHINE_CHIPSET_PIIX_H

#include <stdbool.h>

#include "machine/board.h"

struct piix;

extern const struct board_device piix_device;

/* INTA# to INTD# of the bus (0 to 3) goes up or down. Any thread. */
void piix_intx(struct piix *piix, unsigned pin, bool level);

#endif
