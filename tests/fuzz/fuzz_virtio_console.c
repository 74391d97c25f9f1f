/* SPDX-License-Identifier: Apache-2.0 */
/* The console device: what a driver does, and what is typed meanwhile. */
#include "driver.h"
#include "virtio/console.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void output(void *ctx, const uint8_t *data, size_t len)
{
	read_all(data, len);
}

static void room(void *ctx)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct virtio_console_owner owner = {.output = output, .room = room};
	static struct virtio_console *console;
	static struct driver driver;
	struct driver_step step;

	if (!console) {
		rig_open(&driver.rig);
		if (virtio_console_create(&driver.rig.pci, &driver.rig.mem, &owner, &console, NULL))
			abort();
	}
	driver_start(&driver, ~0ull);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		if (step.what >> 6)
			driver_take(&driver, &step);
		else
			virtio_console_input(console, step.bytes, 1 + step.count % 20);
	}
	return 0;
}
