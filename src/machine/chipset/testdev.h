/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices for freestanding tests (dach run --test-devices), at the addresses
 * that QEMU's pc-testdev and isa-debug-exit have, so that one test runs in both:
 *
 *   port 0xf4, 4 bytes    a write ends the guest; the value is its status
 *   port 0xe0, 4 bytes    holds what is written
 *   port 0xe4, 4 bytes    takes what is written
 *   port 0x2000 + n       writes set the level of global interrupt n (0 to 23)
 *   0xff000000, 64 KiB    device memory that holds what is written
 *
 * With them the 8259s are as firmware leaves them, since such tests begin in 16-bit code: IRQ 0-7 at
 * vector 8, IRQ 8-15 at 0x70.
 */
#ifndef DACH_MACHINE_CHIPSET_TESTDEV_H
#define DACH_MACHINE_CHIPSET_TESTDEV_H

#include <stdint.h>

#include "machine/board.h"

struct testdev;

extern const struct board_device testdev_device;

/* The status that the guest ended with. Any thread. */
uint32_t testdev_status(const struct testdev *testdev);

#endif
