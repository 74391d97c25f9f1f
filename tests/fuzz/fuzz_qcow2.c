/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A qcow2 image that somebody has made up: its header by itself, then the whole as a disk that is read,
 * written, checked and repaired. The file is a sound image that the input is laid over: pairs of an offset
 * (2 bytes, times 8) and 8 bytes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "block/block.h"
#include "block/dirty.h"
#include "block/driver.h"
#include "chain/chain.h"

/* The image: clusters of 512 bytes, so that much happens in few. */
enum { HEADER, REFTABLE, REFCOUNTS, L1, L2, DATA, PACKED, DIRECTORY, BITMAP, BITS, CLUSTERS };
#define CLUSTER 512u
#define SIZE (64u << 10)
#define ROOM (16 * CLUSTER) /* of what the input may lie over */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_sound(uint8_t image[ROOM])
{
	memset(image, 0, ROOM);
	qcow2_put(image, 4, QCOW2_MAGIC);
	qcow2_put(image + 4, 4, 3);
	qcow2_put(image + 20, 4, 9);
	qcow2_put(image + QCOW2_AT_SIZE, 8, SIZE);
	qcow2_put(image + QCOW2_AT_L1, 4, 2);
	qcow2_put(image + QCOW2_AT_L1 + 4, 8, L1 * CLUSTER);
	qcow2_put(image + QCOW2_AT_REFTABLE, 8, REFTABLE * CLUSTER);
	qcow2_put(image + QCOW2_AT_REFTABLE + 8, 4, 1);
	qcow2_put(image + 96, 4, 4);
	qcow2_put(image + 100, 4, QCOW2_HEADER_V3);
	qcow2_put(image + QCOW2_AT_AUTOCLEAR, 8, QCOW2_BITMAPS);
	qcow2_put(image + QCOW2_HEADER_V3, 4, QCOW2_EXTENSION_BITMAPS);
	qcow2_put(image + QCOW2_HEADER_V3 + 4, 4, QCOW2_EXTENSION_BITMAPS_SIZE);
	qcow2_put(image + QCOW2_HEADER_V3 + 8, 4, 1);
	qcow2_put(image + QCOW2_HEADER_V3 + 16, 8, 32);
	qcow2_put(image + QCOW2_HEADER_V3 + 24, 8, DIRECTORY * CLUSTER);
	qcow2_put(image + DIRECTORY * CLUSTER, 8, BITMAP * CLUSTER);
	qcow2_put(image + DIRECTORY * CLUSTER + 8, 4, 1);
	qcow2_put(image + DIRECTORY * CLUSTER + 12, 8, 2ull << 32 | 1 << 24 | 9 << 16 | 1);
	image[DIRECTORY * CLUSTER + 24] = 'a';
	qcow2_put(image + BITMAP * CLUSTER, 8, BITS * CLUSTER);
	qcow2_put(image + REFTABLE * CLUSTER, 8, REFCOUNTS * CLUSTER);
	for (unsigned i = 0; i < CLUSTERS; i++)
		qcow2_put(image + REFCOUNTS * CLUSTER + 2 * i, 2, 1);
	qcow2_put(image + L1 * CLUSTER, 8, L2 * CLUSTER | 1ull << 63);
	qcow2_put(image + L2 * CLUSTER, 8, DATA * CLUSTER | 1ull << 63);
	qcow2_put(image + L2 * CLUSTER + 8, 8, PACKED * CLUSTER | 1ull << 62);
	qcow2_put(image + L2 * CLUSTER + 16, 8, 1);
}

static void lay_over(uint8_t image[ROOM], const uint8_t *data, size_t size)
{
	for (; size >= 10; data += 10, size -= 10)
		memcpy(image + (data[0] << 8 | data[1]) * 8 % ROOM, data + 2, 8);
	/* A larger table of counts is allowed, and takes seconds to go through. */
	memset(image + QCOW2_AT_REFTABLE + 8, 0, 3);
}

static void use(struct block_image *image, const struct dirty_set *dirty)
{
	static char bytes[3072];
	struct block_faults faults;
	struct error err = {""};

	for (int op = BLOCK_READ; op <= BLOCK_WRITE_ZEROES; op++) {
		for (uint64_t at = 0; at < 4; at++) {
			struct iovec iov = {bytes, sizeof bytes};
			struct block_request request = {.op = (enum block_op)op,
				.offset = at * 16 * 1024,
				.length = op == BLOCK_FLUSH ? 0 : sizeof bytes,
				.iov = &iov,
				.iov_count = 1,
				.unmap = at & 1};

			if (request.offset + request.length <= image->size)
				image->driver->perform(image, &request);
		}
	}
	image->driver->check(image, &faults, &err);
	image->driver->store_dirty(image, dirty);
	image->driver->snapshot(image, BLOCK_SNAPSHOT_CREATE, "one", &err);
	image->driver->snapshot(image, BLOCK_SNAPSHOT_APPLY, "one", &err);
	image->driver->snapshot(image, BLOCK_SNAPSHOT_DELETE, "one", &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk_file file = {.format = DISK_QCOW2, .name = (char *)(uintptr_t) "fuzz"};
	struct disk_spec spec = {.file = &file, .files = 1};
	struct qcow2_header header;
	struct block_image *image;
	struct error err = {""};
	uint8_t bytes[ROOM];
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	qcow2_header_parse(data, size < QCOW2_HEADER_READ ? size : QCOW2_HEADER_READ, "fuzz",
		&header, &err);
	make_sound(bytes);
	lay_over(bytes, data, size);
	if (fd < 0 || io_pwrite_all(fd, bytes, CLUSTERS * CLUSTER, 0))
		abort();
	file.fd = fd;
	if (!block_image_open(&spec, 0, &image, &err)) {
		struct dirty_set dirty = {.count = 0};

		image->driver->load_dirty(image, &dirty);
		for (unsigned i = 0; i < dirty.count; i++)
			if (image->size <= 1ull << 32)
				dirty_mark(dirty.map[i], 0, image->size);
		use(image, &dirty);
		image->driver->store_dirty(image, &dirty);
		dirty_clear(&dirty);
		image->driver->close(image);
	}
	return 0;
}
