/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair of 8259A interrupt controllers (Intel 8259A data sheet) with the
 * edge/level registers of the PIIX. Its output is the boot processor's LINT0.
 * Not offered: special fully nested mode, polling by the slave, buffered mode.
 */
#ifndef DACH_MACHINE_INTERRUPT_PIC_H
#define DACH_MACHINE_INTERRUPT_PIC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/bus.h"

struct pic_chip {
	uint8_t irr, isr, imr, lines, elcr;
	uint8_t base; /* vector of input 0 (ICW2) */
	uint8_t step; /* which ICW comes next, 0: ready */
	bool icw4, auto_eoi, rotate_auto, read_isr, special_mask, poll;
	uint8_t lowest; /* input of the lowest priority */
};

struct pic {
	pthread_mutex_t lock; /* chip */
	struct pic_chip chip[2];
	atomic_bool output;        /* something is pending: a look without the lock */
	void (*raised)(void *ctx); /* the output went up; the lock is held */
	void *ctx;
};

int pic_init(struct pic *pic, struct bus *io, void (*raised)(void *ctx), void *ctx);
void pic_destroy(struct pic *pic);
void pic_reset(struct pic *pic);
void pic_set(struct pic *pic, unsigned irq, bool level); /* irq 0-15; any thread */
int pic_pending(struct pic *pic);                        /* the vector, or -1 */
int pic_ack(struct pic *pic);                            /* takes it; -1 if there is none */

#endif
