/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: a regular file or a block device, byte for byte the guest's disk. */
#include <errno.h>
#include <stdlib.h>

#include "base/container.h"
#include "block/driver.h"
#include "block/file.h"

struct raw {
	struct block_image image;
	struct file file;
	enum disk_cache cache;
};

static int raw_read_now(struct block_image *image, const struct block_request *request)
{
	struct raw *raw = container_of(image, struct raw, image);

	return file_read_now(&raw->file, request->iov, request->iov_count, request->offset,
		request->length);
}

static int raw_transfer(struct raw *raw, struct block_request *request)
{
	return file_transfer(&raw->file, request->op == BLOCK_WRITE, request->iov,
		request->iov_count, request->offset, request->length);
}

/* What has been written is stable at once, if that is wanted. */
static int raw_written(struct raw *raw, int r)
{
	return !r && raw->cache == DISK_WRITETHROUGH ? file_flush(&raw->file) : r;
}

static int raw_perform(struct block_image *image, struct block_request *request)
{
	struct raw *raw = container_of(image, struct raw, image);

	switch (request->op) {
	case BLOCK_READ:
		return raw_transfer(raw, request);
	case BLOCK_WRITE:
		return raw_written(raw, raw_transfer(raw, request));
	case BLOCK_FLUSH:
		return file_flush_result(&raw->file, request, file_flush(&raw->file));
	case BLOCK_DISCARD:
		return file_discard(&raw->file, request->offset, request->length);
	case BLOCK_WRITE_ZEROES:
		return raw_written(raw,
			file_write_zeroes(&raw->file, request->offset, request->length,
				request->unmap));
	case BLOCK_CALL:
		break;
	}
	return -EINVAL;
}

static int raw_find_zero(struct block_image *image, uint64_t offset, uint64_t *length, bool *zero)
{
	file_find_hole(&container_of(image, struct raw, image)->file, offset, length, zero);
	return 0;
}

static struct file *raw_file(struct block_image *image)
{
	return &container_of(image, struct raw, image)->file;
}

static void raw_freeze(struct block_image *image)
{
	struct raw *raw = container_of(image, struct raw, image);

	image->read_only = true;
	image->can_discard = false;
	file_freeze(&raw->file);
}

static int raw_grow(struct block_image *image, uint64_t size, struct error *err)
{
	struct raw *raw = container_of(image, struct raw, image);
	int r = file_measure(&raw->file, "the disk", err);

	if (!r && raw->file.size < size)
		r = error_set(err, ENOSPC, "the disk's file has not become so large");
	if (!r && raw->file.align > 1 && size % raw->file.align)
		r = error_set(err, EINVAL, "not a multiple of %u bytes", raw->file.align);
	if (!r)
		image->size = size;
	return r;
}

static int raw_thaw(struct block_image *image, int fd, const char *name, struct error *err)
{
	struct raw *raw = container_of(image, struct raw, image);
	int r = file_thaw(&raw->file, fd, name, err);

	if (!r) {
		image->read_only = false;
		image->can_discard = true;
	}
	return r;
}

static void raw_close(struct block_image *image)
{
	struct raw *raw = container_of(image, struct raw, image);

	file_close(&raw->file);
	free(raw);
}

static int check_size(const struct raw *raw, const char *path, struct error *err)
{
	const unsigned unit = raw->file.align > BLOCK_SECTOR ? raw->file.align : BLOCK_SECTOR;

	if (!raw->file.size)
		return error_set(err, EINVAL, "%s: empty, not a disk image", path);
	if (raw->file.size % BLOCK_SECTOR)
		return error_set(err, EINVAL,
			"%s: its size, %llu bytes, is not a multiple of %u: not a raw disk image",
			path, (unsigned long long)raw->file.size, BLOCK_SECTOR);
	if (raw->file.size % unit)
		return error_set(err, ENOTSUP,
			"%s: its size is not a multiple of %u, which cache=none needs on its disk",
			path, unit);
	return 0;
}

static int raw_open(const struct disk_spec *spec, unsigned n, struct block_image **image,
	struct error *err)
{
	const struct disk_file *file = &spec->file[n];
	bool read_only = block_file_read_only(spec, n);
	struct raw *raw = calloc(1, sizeof *raw);
	int r = 0;

	if (!raw || n + 1 < spec->files) {
		block_files_close(spec, n);
		free(raw);
		return !raw ? error_nomem(err)
			    : error_set(err, EINVAL, "%s: a raw image has no other below it",
				      file->name);
	}
	r = file_open(&raw->file, spec, n, err);
	if (r) {
		free(raw);
		return r;
	}
	r = check_size(raw, file->name, err);
	if (r) {
		raw_close(&raw->image);
		return r;
	}
	raw->cache = spec->cache;
	raw->image = (struct block_image){.driver = &raw_driver,
		.size = raw->file.size,
		.read_only = read_only,
		.can_discard = !read_only};
	*image = &raw->image;
	return 0;
}

const struct block_driver raw_driver = {
	.format = DISK_RAW,
	.open = raw_open,
	.perform = raw_perform,
	.read_now = raw_read_now,
	.close = raw_close,
	.file = raw_file,
	.find_zero = raw_find_zero,
	.freeze = raw_freeze,
	.thaw = raw_thaw,
	.grow = raw_grow,
};
