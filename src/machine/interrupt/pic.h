/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair of 8259A interrupt controllers (Intel 8259A data sheet) with the
 * edge/level registers of the PIIX. Its output is the boot processor's LINT0.
 * Not offered: special fully nested mode, polling by the slave, buffered mode.
 */
#ifndef DACH_MACHINE_INTERRUPT_PIC_H
#define DACH_MACHINE_INTERRUPT_PIC_H

#include <stdbool.h>

#include "machine/board.h"

struct pic;

extern const struct board_device pic_device;

void pic_set(struct pic *pic, unsigned irq, bool level); /* irq 0-15; any thread */
int pic_pending(struct pic *pic);                        /* the vector, or -1 */
int pic_ack(struct pic *pic);                            /* takes it; -1 if there is none */

#endif
