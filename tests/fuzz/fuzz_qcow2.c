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
#include "block/create.h"
#include "block/driver.h"
#include "chain/chain.h"

#define SIZE (1ull << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lay_over(int fd, const uint8_t *data, size_t size)
{
	for (; size >= 10; data += 10, size -= 10)
		if (io_pwrite_all(fd, data + 2, 8, (uint64_t)(data[0] << 8 | data[1]) * 8))
			abort();
}

static void use(struct block_image *image)
{
	static char bytes[8192];
	struct block_faults faults;
	struct error err = {""};

	for (int op = BLOCK_READ; op <= BLOCK_WRITE_ZEROES; op++) {
		for (uint64_t at = 0; at < 4; at++) {
			struct iovec iov = {bytes, sizeof bytes};
			struct block_request request = {.op = (enum block_op)op,
				.offset = at * 60 * 1024,
				.length = op == BLOCK_FLUSH ? 0 : sizeof bytes,
				.iov = &iov,
				.iov_count = 1,
				.unmap = at & 1};

			if (request.offset + request.length <= image->size)
				image->driver->perform(image, &request);
		}
	}
	image->driver->check(image, &faults, &err);
	image->driver->snapshot(image, BLOCK_SNAPSHOT_CREATE, "one", &err);
	image->driver->snapshot(image, BLOCK_SNAPSHOT_APPLY, "one", &err);
	image->driver->snapshot(image, BLOCK_SNAPSHOT_DELETE, "one", &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct qcow2_make made = {.size = SIZE};
	struct disk_file file = {.format = DISK_QCOW2, .name = (char *)(uintptr_t) "fuzz"};
	struct disk_spec spec = {.file = &file, .files = 1};
	struct qcow2_header header;
	struct block_image *image;
	struct error err = {""};
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	qcow2_header_parse(data, size < QCOW2_HEADER_READ ? size : QCOW2_HEADER_READ, "fuzz",
		&header, &err);
	if (fd < 0 || qcow2_create(fd, "fuzz", &made, &err))
		abort();
	lay_over(fd, data, size);
	file.fd = fd;
	if (!block_image_open(&spec, 0, &image, &err)) {
		use(image);
		image->driver->close(image);
	}
	return 0;
}
