/* SPDX-License-Identifier: Apache-2.0 */
#include "block/reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"
#include "protocol/limits.h"

int block_reader_open(const struct disk_spec *spec, const int *fd, struct block_image **image,
	struct error *err)
{
	struct disk_file file[LIMIT_CHAIN];
	struct disk_spec looked_at = {.file = file,
		.files = spec->files,
		.readonly = true,
		.cache = DISK_WRITEBACK,
		.unlocked = true};

	for (unsigned i = 0; i < spec->files; i++) {
		file[i] = spec->file[i];
		file[i].fd = dup(fd[i]);
		if (file[i].fd >= 0)
			continue;
		while (i-- > 0)
			close(file[i].fd);
		return error_set(err, errno, "%s: %s", spec->file[0].name, strerror(errno));
	}
	return block_image_open(&looked_at, 0, image, err);
}

uint64_t block_reader_size(const struct block_image *image)
{
	return image->size;
}

int block_reader_read(struct block_image *image, uint64_t offset, void *to, size_t size)
{
	struct iovec iov = {to, size};
	struct block_request request = {.op = BLOCK_READ,
		.offset = offset,
		.length = size,
		.iov = &iov,
		.iov_count = 1};

	if (offset > image->size || size > image->size - offset)
		return -EINVAL;
	return image->driver->perform(image, &request);
}

void block_reader_close(struct block_image *image)
{
	image->driver->close(image);
}
