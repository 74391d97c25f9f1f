/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet): eight
 * ports, 16-byte FIFOs, one interrupt. The line is infinitely fast: what the
 * guest writes goes to output at once; input waits until the guest takes it.
 */
#ifndef DACH_MACHINE_CHIPSET_SERIAL_H
#define DACH_MACHINE_CHIPSET_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/bus.h"

#define SERIAL_COM1 0x3f8 /* where PCs have the first */
#define SERIAL_FIFO 16

struct serial_backend {
	void *ctx;
	/*
	 * The guest sent these bytes. On a vCPU's thread, with the port's lock held: it may block
	 * for flow control, but must not call the port. NULL drops all.
	 */
	void (*output)(void *ctx, const uint8_t *data, size_t len);
	/*
	 * There is room for input again after serial_input() took less than all. Any thread, with
	 * the lock held; NULL if nobody asks.
	 */
	void (*room)(void *ctx);
	/* The interrupt line changed. */
	void (*irq)(void *ctx, bool level);
};

struct serial {
	pthread_mutex_t lock; /* all that follows */
	struct serial_backend backend;
	uint8_t ier, fcr, lcr, mcr, lsr, scr;
	uint16_t divisor;
	uint8_t fifo[SERIAL_FIFO];
	unsigned head, count;
	bool thr_empty_irq, irq;
	bool starved; /* input was refused; room is to be told */
};

int serial_init(struct serial *serial, struct bus *io, uint16_t port,
	const struct serial_backend *backend);
void serial_destroy(struct serial *serial);
void serial_reset(struct serial *serial);
/*
 * Bytes arrive for the guest. Returns how many were taken: as many as the FIFO
 * has room for. Any thread.
 */
size_t serial_input(struct serial *serial, const uint8_t *data, size_t len);
/* A break condition arrives. Any thread. */
void serial_break(struct serial *serial);
/* A break, then a byte, both or neither. false: nobody listens, or there is no room. Any thread. */
bool serial_break_then(struct serial *serial, uint8_t byte);

#endif
