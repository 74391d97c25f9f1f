/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables as files for a firmware, with the list of what it is to do with them: take memory, write addresses
 * into them, add them up (the "table loader" of SeaBIOS' src/fw/romfile_loader.h, which OVMF reads too).
 */
#ifndef DACH_MACHINE_FIRMWARE_LOADER_H
#define DACH_MACHINE_FIRMWARE_LOADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "machine/acpi/acpi.h"

#define LOADER_TABLES "etc/acpi/tables"
#define LOADER_RSDP "etc/acpi/rsdp"
#define LOADER_GENERATION "etc/generation" /* ACPI_GENERATION_SIZE bytes */
#define LOADER_GENERATION_AT \
	"etc/generation-address" /* the firmware writes it: 8 bytes, little-endian */

#define LOADER_ENTRY 128u
#define LOADER_ENTRIES 48u

struct loader {
	uint8_t tables[ACPI_SIZE]; /* LOADER_TABLES; its first bytes are the RSDP's place, empty */
	uint8_t rsdp[ACPI_RSDP_SIZE];
	size_t tables_size;
	uint8_t script[LOADER_ENTRIES * LOADER_ENTRY];
	unsigned entries;
};

int loader_build(struct loader *loader, const struct acpi_config *config, struct error *err);

#endif
