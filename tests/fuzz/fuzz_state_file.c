/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved guest as a file: a good one with some bytes of its header, its stream and its memory changed, and
 * its checksums right; or the fuzzer's bytes as they are.
 */
#include <stdint.h>

#include "state_rig.h"

#define DISK (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct change {
	uint16_t at;
	uint8_t where, count, value[4];
};

static struct rig rig;
static struct bytes good; /* the stream */
static struct state_file_header good_header;
static int fd;

#define PACKED 0x20000u

static void set_up(void)
{
	static const uint8_t alike[3 * 4096] = {[5] = 1, [4097] = 2, [8195] = 3};
	struct error err = {0};

	fd = memfd_create("state", 0);
	if (fd < 0 || !rig_open(&rig, DISK) ||
		memory_write(machine_memory(rig.machine), 0x12345, "guest", 6) ||
		memory_write(machine_memory(rig.machine), PACKED, alike, sizeof alike) ||
		rig_save_file(&rig, fd, &err) ||
		pread(fd, &good_header, sizeof good_header, 0) != sizeof good_header)
		abort();
	good.len = good_header.stream_size;
	good.data = malloc(good.len);
	if (pread(fd, good.data, good.len, (off_t)good_header.stream) != (ssize_t)good.len)
		abort();
}

static void put(const void *data, size_t len, uint64_t at)
{
	if (pwrite(fd, data, len, (off_t)at) != (ssize_t)len)
		abort();
}

static void load_changed(const uint8_t *data, size_t size)
{
	struct bytes b = {.data = malloc(good.len), .len = good.len};
	struct state_file_header header = good_header;
	struct error err = {0};
	uint8_t packed[256];
	struct change change;

	memcpy(b.data, good.data, good.len);
	if (pread(fd, packed, sizeof packed, STATE_FILE_MEMORY + PACKED) != sizeof packed)
		abort();
	for (; size >= sizeof change; data += sizeof change, size -= sizeof change) {
		memcpy(&change, data, sizeof change);
		for (unsigned i = 0; i < 4 && i <= change.count % 4; i++)
			if (change.where % 8 == 1)
				put(&change.value[i], 1,
					STATE_FILE_MEMORY + PACKED + change.at % sizeof packed);
			else if (change.where % 4)
				b.data[(change.at + i) % good.len] = change.value[i];
			else
				((uint8_t *)&header)[(change.at + i) % sizeof header] =
					change.value[i];
	}
	bytes_seal(&b);
	header.crc = state_checksum(0, &header, sizeof header - sizeof header.crc);
	put(b.data, b.len, good_header.stream);
	put(&header, sizeof header, 0);
	rig_load_file(&rig, fd, &err);
	put(good.data, good.len, good_header.stream);
	put(packed, sizeof packed, STATE_FILE_MEMORY + PACKED);
	free(b.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {0};

	if (!rig.machine)
		set_up();
	if (size && data[0] == 'd') {
		put(data, size, 0);
		rig_load_file(&rig, fd, &err);
	} else {
		load_changed(data, size);
	}
	return 0;
}
