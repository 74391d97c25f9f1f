/* SPDX-License-Identifier: Apache-2.0 */
/* What a firmware starts a guest with from its network: iPXE, as the ROM of a network card. */
#ifndef DACH_VMM_BOOT_ROM_H
#define DACH_VMM_BOOT_ROM_H

#include "net/nic.h"
#include "vmm/config.h"

/*
 * Reads the ROMs for the configuration's networks, where its boot order has the network and the firmware needs them for
 * it; others stay as they are. One that cannot be had is an error where the network comes first and no state is loaded, and
 * a line on standard error elsewhere. data is the caller's to free(), after failures, too. Before files are out of reach.
 */
int boot_rom_read(const struct vmm_config *config, struct nic_rom rom[NET_MODELS],
	struct error *err);

#endif
