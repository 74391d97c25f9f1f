/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables (ACPI 6.4, chapter 5): RSDP, XSDT, FADT, FACS, MADT, and the
 * DSDT that iasl made of dsdt.asl.
 */
#ifndef DACH_MACHINE_ACPI_H
#define DACH_MACHINE_ACPI_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define ACPI_BASE 0xe0000ull /* where the RSDP goes, and the rest behind it */
#define ACPI_SIZE 0xf000u
/*
 * Behind that, as dsdt.asl has it: the generation ID ("Virtual Machine Generation ID", Microsoft 2012), and which
 * input of the I/O APIC tells that it is another.
 */
#define ACPI_GENERATION 0xef000ull
#define ACPI_GENERATION_SIZE 16u
#define ACPI_GENERATION_IRQ 20u

/*
 * Builds the tables into buf (ACPI_SIZE bytes), which is to be at ACPI_BASE in guest memory.
 * Returns how many bytes are used, or a negative errno if they do not fit.
 */
int acpi_build(uint8_t *buf, size_t size, unsigned vcpus, struct error *err);

#endif
