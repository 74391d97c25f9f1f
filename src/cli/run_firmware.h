/* SPDX-License-Identifier: Apache-2.0 */
/* Options of run for a guest that starts with firmware (protocol/firmware.h). */
#ifndef DACH_CLI_RUN_FIRMWARE_H
#define DACH_CLI_RUN_FIRMWARE_H

#include <stdbool.h>

#include "base/error.h"
#include "cli/options.h"
#include "vmm/config.h"

enum { RUN_FIRMWARE_FIRST = 400, FIRMWARE = RUN_FIRMWARE_FIRST, BOOT, NVRAM };

#define RUN_FIRMWARE_OPTIONS                                                                       \
	{"firmware", FIRMWARE, "bios|uefi", "start by it, as the disks say, instead of a kernel"}, \
		{"nvram", NVRAM, "FILE",                                                           \
			"keep what UEFI remembers there; without it nothing is kept"},             \
	{                                                                                          \
		"boot", BOOT, "ORDER",                                                             \
			"what firmware tries: letters c (disks), d (CDs), n (network)"             \
	}

bool run_firmware_has(int id);
int run_firmware_take(struct vmm_config *config, int id, const char *value, struct error *err);
/* When all options are read; command: the guest is there for one. config->kernel is the firmware's file then. */
int run_firmware_complete(struct vmm_config *config, bool command, struct error *err);

#endif
