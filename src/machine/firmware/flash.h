/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flash memory in which a UEFI firmware keeps its variables, right below the ROM: one chip of bytes with blocks of
 * 4 KiB and Intel's command set (Intel StrataFlash 28FxxxJ3 data sheet, 290667; Common Flash Interface, JEDEC JESD68
 * with primary command set 0001h). It is read like memory; the first command makes it answer by itself, until a
 * command makes it memory again. As OVMF wants to see it, a cleared status is 0, its ready bit too.
 *
 * What is programmed is written to the guest's own file (board_firmware.variables) by mapping it, in the order in
 * which it is programmed; so it outlives the process, however that ends.
 *
 * The guest is hostile: what it writes is commands for a byte, whose place the bus has checked.
 */
#ifndef DACH_MACHINE_FIRMWARE_FLASH_H
#define DACH_MACHINE_FIRMWARE_FLASH_H

#include "machine/board.h"

#define FLASH_BLOCK 0x1000u

#define FLASH_PROGRAM 0x40u /* the next write is the byte: its zeros become zeros */
#define FLASH_PROGRAM_2 0x10u
#define FLASH_ERASE 0x20u /* with FLASH_CONFIRM a block's bits become ones */
#define FLASH_LOCK 0x60u  /* takes one more, and does nothing: no block is ever locked */
#define FLASH_CONFIRM 0xd0u
#define FLASH_CLEAR_STATUS 0x50u
#define FLASH_READ_STATUS 0x70u
#define FLASH_READ_IDENTIFIER 0x90u
#define FLASH_READ_QUERY 0x98u
#define FLASH_READ_ARRAY 0xffu

#define FLASH_STATUS_READY 0x80u
#define FLASH_STATUS_ERROR 0x30u /* not a sequence of commands */

/* Where board_firmware has variables. */
extern const struct board_device flash_device;

#endif
