/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved state, into a machine with devices: the fuzzer's bytes as they are, or a good state with
 * some of its bytes changed and its checksums right.
 */
#include <stdint.h>

#include "state_rig.h"

#define DISK (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct change {
	uint16_t at;
	uint8_t value[4], count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bytes good;
	static struct rig rig;
	struct error err = {0};
	struct bytes bytes = {.data = (uint8_t *)data, .len = size};
	struct change change;

	if (!rig.machine && (!rig_open(&rig, DISK) || rig_save(&rig, &good, &err)))
		abort();
	if (!size || data[0] == 'd') {
		rig_load(&rig, &bytes, &err);
		return 0;
	}
	bytes = (struct bytes){.data = malloc(good.len), .len = good.len};
	memcpy(bytes.data, good.data, good.len);
	for (; size >= sizeof change; data += sizeof change, size -= sizeof change) {
		memcpy(&change, data, sizeof change);
		for (unsigned i = 0; i < 4 && i <= change.count; i++)
			bytes.data[(change.at + i) % good.len] = change.value[i];
	}
	bytes_seal(&bytes);
	rig_load(&rig, &bytes, &err);
	free(bytes.data);
	return 0;
}
