/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody does to the machine's keyboard and mouse. */
#include "machine/chipset/i8042.h"
#include "machine/internal.h"

void machine_key(struct machine *machine, uint8_t key, bool down)
{
	struct i8042 *i8042 = board_find(&machine->board, &i8042_device);

	if (i8042)
		i8042_key(i8042, key, down);
}

void machine_pointer(struct machine *machine, const struct ps2_motion *motion)
{
	struct i8042 *i8042 = board_find(&machine->board, &i8042_device);

	if (i8042)
		i8042_pointer(i8042, motion);
}
