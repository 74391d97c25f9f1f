/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller: what the guest does to its two ports, what is typed and moved, and states loaded. */
#include <stdint.h>
#include <stdlib.h>

#include "machine/board.h"
#include "machine/chipset/i8042.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void irq(void *ctx, unsigned line, bool level)
{
	if (line != 1 && line != 12)
		abort();
}

static void reset(void *ctx)
{
}

/* Whatever was done, who reads on comes to an end. */
static void drain(struct board *board)
{
	for (unsigned i = 0; bus_read(&board->io, 0x64, 1) & 1; i++) {
		bus_read(&board->io, 0x60, 1);
		if (i > 3000)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct board_owner owner = {.irq = irq, .reset = reset};
	static struct board board;
	struct ps2_motion motion;
	struct i8042 *i8042;

	if (!board.owner) {
		board.owner = &owner;
		board.keyboard = true;
		board_init(&board);
		if (board_add(&board, &i8042_device, NULL))
			abort();
	}
	board_reset(&board);
	i8042 = board_find(&board, &i8042_device);
	for (; size >= 2; data += 2, size -= 2)
		switch (data[0] % 8) {
		case 0:
			bus_read(&board.io, 0x60, 1u << (data[0] >> 7));
			break;
		case 1:
			i8042_key(i8042, data[1], data[0] & 0x80);
			break;
		case 2:
			motion = (struct ps2_motion){(int)((uint32_t)data[1] << 24) >> data[0] % 32,
				(int8_t)data[0] * (int8_t)data[1], (int8_t)data[1], data[0] >> 3};
			i8042_pointer(i8042, &motion);
			break;
		case 3:
			drain(&board);
			break;
		case 4:
		case 5:
			bus_write(&board.io, 0x64, 1, data[1]);
			break;
		default:
			bus_write(&board.io, 0x60, 1, data[1]);
		}
	drain(&board);
	return 0;
}
