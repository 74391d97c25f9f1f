/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port: what the guest does to its eight ports, and what is typed and broken meanwhile. */
#include <stdint.h>
#include <stdlib.h>

#include "machine/board.h"
#include "machine/chipset/serial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void irq(void *ctx, unsigned line, bool level)
{
}

static void output(void *ctx, const uint8_t *data, size_t len)
{
	if (len == 0 || len > 16)
		abort();
}

static void room(void *ctx)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct board_owner owner = {.irq = irq,
		.serial_output = output,
		.serial_room = room};
	static struct board board;
	struct serial *serial;

	if (!board.owner) {
		board.owner = &owner;
		board_init(&board);
		if (board_add(&board, &serial_com1_device, NULL))
			abort();
	}
	board_reset(&board);
	serial = board_find(&board, &serial_com1_device);
	for (; size >= 2; data += 2, size -= 2)
		switch (data[0] >> 6) {
		case 0:
			bus_read(&board.io, SERIAL_COM1 + data[0] % 8, 1);
			break;
		case 1:
			if (data[0] & 8)
				serial_break_then(serial, data[1]);
			else
				serial_input(serial, data,
					size < data[1] % 20u ? size : data[1] % 20u);
			break;
		default:
			bus_write(&board.io, SERIAL_COM1 + data[0] % 8, 1u << (data[0] >> 3 & 1),
				data[1]);
		}
	return 0;
}
