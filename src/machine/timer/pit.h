/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8254 interval timer (Intel 8254 data sheet) with port 0x61, which gates
 * and reads channel 2. Channel 0 drives IRQ 0. Counting is computed from the
 * host's clock, not ticked. BCD counting is not offered (it counts in binary).
 */
#ifndef DACH_MACHINE_TIMER_PIT_H
#define DACH_MACHINE_TIMER_PIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "machine/bus.h"

#define PIT_HZ 1193182u

struct pit_channel {
	uint8_t mode, access; /* access: 1 low byte, 2 high byte, 3 low then high */
	bool gate, counting, high_next_write, high_next_read, latched, status_latched;
	uint8_t low, status;
	uint16_t latch;
	uint32_t reload; /* 1 to 65536 */
	uint64_t start;  /* when the count was loaded, ns */
};

struct pit {
	pthread_mutex_t lock; /* all that follows */
	struct pit_channel channel[3];
	bool speaker, refresh;
	struct loop_timer timer;
	void (*irq)(void *ctx, bool level);
	void *ctx;
};

int pit_init(struct pit *pit, struct bus *io, struct loop *loop, void (*irq)(void *ctx, bool level),
	void *ctx);
void pit_destroy(struct pit *pit);
void pit_reset(struct pit *pit);

#endif
