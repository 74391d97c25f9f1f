/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables (ACPI 6.4, chapter 5): RSDP, XSDT, FADT, FACS, MADT, the
 * DSDT that iasl made of dsdt.asl, and an SSDT of keyboard.asl where there is one.
 */
#ifndef DACH_MACHINE_ACPI_H
#define DACH_MACHINE_ACPI_H

#include <stdbool.h>
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

/* What the tables depend on. */
struct acpi_config {
	unsigned vcpus;
	bool keyboard; /* there is one, and a mouse (i8042.h) */
	bool screen;   /* there is a VGA */
};

/*
 * Builds the tables into buf (ACPI_SIZE bytes), which is to be at ACPI_BASE in guest memory.
 * Returns how many bytes are used, or a negative errno if they do not fit.
 */
int acpi_build(uint8_t *buf, size_t size, const struct acpi_config *config, struct error *err);

/* What is left to do with tables whose place is not known yet. Offsets are in bytes from their start. */
#define ACPI_RSDP_SIZE 36u
#define ACPI_LINKS 16u
struct acpi_links {
	/* Numbers to which the address of the tables' start is to be added, of so many bytes. */
	struct acpi_pointer {
		uint32_t at;
		uint8_t size;
	} pointer[ACPI_LINKS];
	/* Then a byte so that all of these add up to 0. It is 0 until then. */
	struct acpi_sum {
		uint32_t start, length, at;
	} sum[ACPI_LINKS];
	unsigned pointers, sums;
	uint32_t generation; /* four bytes for the address of the generation ID */
};

/*
 * The same, for a firmware to put somewhere: the RSDP in the first ACPI_RSDP_SIZE bytes, the tables right behind
 * it; at a multiple of 64. What keyboard.asl says is in the DSDT.
 */
int acpi_build_linked(uint8_t *buf, size_t size, const struct acpi_config *config,
	struct acpi_links *links, struct error *err);

#endif
