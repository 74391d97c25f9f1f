/* SPDX-License-Identifier: Apache-2.0 */
#include "block/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/device.h"
#include "block/file.h"
#include "block/reader.h"
#include "block/remote.h"
#include "protocol/limits.h"

/* What is opened when the disk is taken: the files are its own, and so are their names. */
struct block_later {
	struct disk_spec spec;
	struct disk_file file[LIMIT_CHAIN];
};

struct handover {
	struct block_device *block;
	struct error *err;
};

static int on_its_thread(struct block_device *block, int (*run)(void *ctx), struct error *err)
{
	struct handover handover = {block, err};

	return block_call(block, run, &handover);
}

int handover_open(struct block_device *block, const struct disk_spec *spec, struct error *err)
{
	struct block_later *later = calloc(1, sizeof *later);
	int fd[LIMIT_CHAIN];
	bool named = true;

	if (!later) {
		block_files_close(spec, 0);
		return error_nomem(err);
	}
	later->spec = *spec;
	later->spec.file = later->file;
	/* It will have the locks. */
	later->spec.unlocked = true;
	for (unsigned i = 0; i < spec->files; i++) {
		later->file[i] = spec->file[i];
		later->file[i].name = strdup(spec->file[i].name);
		named = named && later->file[i].name;
		fd[i] = spec->file[i].fd;
	}
	block->later = later;
	if (!named)
		return error_nomem(err);
	return block_reader_open(spec, fd, &block->image, err);
}

void handover_close(struct block_device *block)
{
	if (!block->later)
		return;
	block_files_close(&block->later->spec, 0);
	for (unsigned i = 0; i < LIMIT_CHAIN; i++)
		free(block->later->file[i].name);
	free(block->later);
	block->later = NULL;
}

static void unlock_chain(struct block_image *image)
{
	for (; image; image = image->driver->base ? image->driver->base(image) : NULL)
		file_unlock(image->driver->file(image));
}

static int lock_chain(struct block_device *block, struct error *err)
{
	struct block_image *image = block->image;
	int r = 0;

	for (; image && !r; image = image->driver->base ? image->driver->base(image) : NULL)
		r = file_lock(image->driver->file(image), block_name(block), err);
	if (r)
		unlock_chain(block->image);
	return r;
}

static int give(void *ctx)
{
	const struct handover *handover = ctx;
	struct block_device *block = handover->block;
	struct block_request request = {.op = BLOCK_FLUSH, .internal = true};
	int r = 0;

	if (block->copy)
		return error_set(handover->err, EBUSY, "%s: is being copied", block_name(block));
	if (!block->image->read_only)
		r = block->image->driver->perform(block->image, &request);
	if (r)
		return error_set(handover->err, -r, "%s: cannot be made stable: %s",
			block_name(block), strerror(-r));
	block->given = true;
	unlock_chain(block->image);
	return 0;
}

int block_give(struct block_device *block, struct error *err)
{
	return on_its_thread(block, give, err);
}

static int give_back(void *ctx)
{
	const struct handover *handover = ctx;
	int r = lock_chain(handover->block, handover->err);

	if (!r)
		handover->block->given = false;
	return r;
}

int block_give_back(struct block_device *block, struct error *err)
{
	return block->given ? on_its_thread(block, give_back, err) : 0;
}

static int lock(void *ctx)
{
	const struct handover *handover = ctx;
	struct block_later *later = handover->block->later;
	unsigned n = 0;
	int r = 0;

	for (; n < later->spec.files && !r; n++) {
		const struct file file = {.fd = later->file[n].fd,
			.read_only = block_file_read_only(&later->spec, n)};

		r = file_lock(&file, later->file[n].name, handover->err);
	}
	while (r && --n > 0)
		file_unlock(&(struct file){.fd = later->file[n - 1].fd});
	return r;
}

int block_lock(struct block_device *block, struct error *err)
{
	return block->later ? on_its_thread(block, lock, err) : 0;
}

/* What was read of its files while another host wrote to them may be old by now: it is read anew. */
static int forget(const struct block_later *later, struct error *err)
{
	int r = 0;

	for (unsigned n = 0; n < later->spec.files && !r; n++)
		if (!remote_is_socket(later->file[n].fd))
			r = posix_fadvise(later->file[n].fd, 0, 0, POSIX_FADV_DONTNEED);
	return r
		? error_set(err, r, "%s: cannot be read anew: %s", later->file[0].name, strerror(r))
		: 0;
}

static int take(void *ctx)
{
	const struct handover *handover = ctx;
	struct block_device *block = handover->block;
	struct block_image *image;
	struct disk_spec spec = block->later->spec;
	int r = forget(block->later, handover->err);

	if (r)
		return r;
	r = block_image_open(&spec, 0, &image, handover->err);
	/* They are the image's, or closed. */
	block->later->spec.files = 0;
	if (r)
		return r;
	if (image->size != block->size) {
		image->driver->close(image);
		return error_set(handover->err, EINVAL, "%s: has another size than it had",
			block_name(block));
	}
	block->image->driver->close(block->image);
	block->image = image;
	return image->driver->load_dirty ? image->driver->load_dirty(image, &block->dirty) : 0;
}

int block_take(struct block_device *block, struct error *err)
{
	int r;

	if (!block->later)
		return 0;
	r = on_its_thread(block, take, err);
	if (!r)
		handover_close(block);
	return r;
}
