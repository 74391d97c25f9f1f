/* SPDX-License-Identifier: Apache-2.0 */
/* The port by which SeaBIOS and OVMF say what they do, on boards where somebody listens (board_owner.firmware_text). */
#ifndef DACH_MACHINE_CHIPSET_DEBUG_PORT_H
#define DACH_MACHINE_CHIPSET_DEBUG_PORT_H

#include "machine/board.h"

extern const struct board_device debug_port_device;

#endif
