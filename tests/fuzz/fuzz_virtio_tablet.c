/* SPDX-License-Identifier: Apache-2.0 */
/* The tablet: what a driver does, and how it is moved meanwhile. */
#include "driver.h"
#include "virtio/tablet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtio_tablet *tablet;
	static struct driver driver;
	struct virtio_tablet_state state = {0};
	struct driver_step step;

	if (!tablet) {
		rig_open(&driver.rig);
		if (virtio_tablet_create(&driver.rig.pci, &driver.rig.mem, &tablet, NULL))
			abort();
	}
	driver_start(&driver, ~0ull);
	for (; size >= sizeof step; data += sizeof step, size -= sizeof step) {
		memcpy(&step, data, sizeof step);
		if (step.what >> 6) {
			driver_take(&driver, &step);
			continue;
		}
		rig_write(&driver.rig, VIRTIO_PCI_CONFIG + step.bytes[0] % 140, 1, step.bytes[1]);
		memcpy(&state, step.bytes,
			sizeof state < sizeof step.bytes ? sizeof state : sizeof step.bytes);
		virtio_tablet_move(tablet, &state);
	}
	return 0;
}
