/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet): eight
 * ports, 16-byte FIFOs, one interrupt. The line is infinitely fast: what the
 * guest writes goes to output at once; input waits until the guest takes it.
 */
#ifndef DACH_MACHINE_CHIPSET_SERIAL_H
#define DACH_MACHINE_CHIPSET_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine/board.h"

#define SERIAL_COM1 0x3f8 /* where PCs have the first */
#define SERIAL_FIFO 16

struct serial;

/*
 * The first port. It uses of the board's owner, each if it is there:
 *
 * serial_output: the guest sent these bytes. On a vCPU's thread, with the port's lock held: it may
 * block for flow control, but must not call the port.
 *
 * serial_room: there is room for input again after serial_input() took less than all. Any thread,
 * with the lock held.
 */
extern const struct board_device serial_com1_device;

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
