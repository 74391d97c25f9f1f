/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a board tells its firmware (QEMU's docs/specs/fw_cfg.rst): items by number, some of them files with a name,
 * read a byte at a time at port FW_CFG_DATA, or by a transfer into guest memory (FW_CFG_DMA). Memory map, processors,
 * boot order, and the ACPI tables with what is to be done to them (loader.h).
 *
 * The guest is hostile: what it names is looked for, and what it asks for has bounds.
 */
#ifndef DACH_MACHINE_FIRMWARE_FW_CFG_H
#define DACH_MACHINE_FIRMWARE_FW_CFG_H

#include <stdint.h>

#include "machine/board.h"

#define FW_CFG_SELECT 0x510u /* 2 bytes */
#define FW_CFG_DATA 0x511u
#define FW_CFG_DMA \
	0x514u /* 8 bytes, big-endian: where a struct fw_cfg_transfer is; the lower half starts it */

/* Big-endian. */
struct fw_cfg_transfer {
	uint32_t control, length;
	uint64_t address;
};
#define FW_CFG_ERROR 0x1u
#define FW_CFG_READ 0x2u
#define FW_CFG_SKIP 0x4u
#define FW_CFG_CHOOSE 0x8u /* the item in the upper 16 bits of control, from its start */
#define FW_CFG_WRITE 0x10u

/* Items that have no name; files are from FW_CFG_FILES on, as the directory has them. */
#define FW_CFG_SIGNATURE 0x00u
#define FW_CFG_ID 0x01u
#define FW_CFG_RAM 0x03u
#define FW_CFG_CPUS 0x05u
#define FW_CFG_BOOT_MENU 0x0eu
#define FW_CFG_MAX_CPUS 0x0fu
#define FW_CFG_DIRECTORY 0x19u
#define FW_CFG_FILES 0x20u
#define FW_CFG_IRQ0_OVERRIDE 0x8002u

struct fw_cfg;

extern const struct board_device fw_cfg_device;

/*
 * From what to start, the first one first: Open Firmware's paths, each a line, as QEMU has them for SeaBIOS and OVMF. The rest
 * comes behind. Before the guest starts, or while it stands still.
 */
#define FW_CFG_BOOT_ORDER_MAX 4096u
int fw_cfg_set_boot_order(struct fw_cfg *fw, const char *paths, struct error *err);

/* Where the firmware has put the generation ID (acpi.h); 0: nowhere yet. Any thread. */
uint64_t fw_cfg_generation(struct fw_cfg *fw);

#endif
