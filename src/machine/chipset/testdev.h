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
 */
#ifndef DACH_MACHINE_CHIPSET_TESTDEV_H
#define DACH_MACHINE_CHIPSET_TESTDEV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "machine/bus.h"

#define TESTDEV_MEMORY 0x10000u

struct testdev {
	void (*irq)(void *ctx, unsigned gsi, bool level);
	void (*end)(void *ctx);
	void *ctx;
	pthread_mutex_t lock;
	_Atomic uint32_t status;
	uint8_t port[4];                /* by lock */
	uint8_t memory[TESTDEV_MEMORY]; /* by lock */
};

/* irq and end are called on a vCPU's thread. Returns as bus_map() does. */
int testdev_init(struct testdev *testdev, struct bus *io, struct bus *mmio,
	void (*irq)(void *ctx, unsigned gsi, bool level), void (*end)(void *ctx), void *ctx);

#endif
