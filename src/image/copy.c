/* SPDX-License-Identifier: Apache-2.0 */
/* Raw and qcow2, by our own block layer. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/block.h"
#include "block/create.h"
#include "image/convert.h"

#define CHUNK (2u << 20)
#define ZERO_UNIT (64u << 10) /* what is all zero is not written */

struct copy_wait {
	struct block_request request;
	sem_t done;
	int result;
};

static void finished(struct block_request *request, int result)
{
	struct copy_wait *wait = (struct copy_wait *)request;

	wait->result = result;
	sem_post(&wait->done);
}

static int transfer(struct block_device *block, enum block_op op, uint64_t offset, void *bytes,
	size_t len)
{
	struct iovec iov = {bytes, len};
	struct copy_wait wait = {.request = {.op = op,
					 .offset = offset,
					 .length = len,
					 .iov = &iov,
					 .iov_count = 1,
					 .done = finished}};

	sem_init(&wait.done, 0, 0);
	block_submit(block, &wait.request);
	while (sem_wait(&wait.done))
		;
	sem_destroy(&wait.done);
	return wait.result;
}

static bool is_zero(const char *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static int write_chunk(struct block_device *to, uint64_t offset, char *bytes, size_t len)
{
	int r = 0;

	for (size_t at = 0, n; !r && at < len; at += n) {
		n = len - at < ZERO_UNIT ? len - at : ZERO_UNIT;
		if (!is_zero(bytes + at, n))
			r = transfer(to, BLOCK_WRITE, offset + at, bytes + at, n);
	}
	return r;
}

static int copy(struct block_device *from, struct block_device *to,
	const struct convert_watch *watch, struct error *err)
{
	const uint64_t size = block_size(from);
	char *bytes = aligned_alloc(4096, CHUNK);
	unsigned told = 0;
	int r = bytes ? 0 : error_nomem(err);

	for (uint64_t at = 0; !r && at < size; at += CHUNK) {
		size_t len = size - at < CHUNK ? size - at : CHUNK;
		unsigned now = (unsigned)((at + len) * 1000 / size);

		r = transfer(from, BLOCK_READ, at, bytes, len);
		if (r) {
			error_set(err, -r, "%s: reading failed: %s", block_name(from),
				strerror(-r));
			break;
		}
		r = write_chunk(to, at, bytes, len);
		if (r)
			error_set(err, -r, "%s: writing failed: %s", block_name(to), strerror(-r));
		if (!r && watch && now != told && !watch->progress(watch->ctx, now))
			r = error_set(err, EINTR, "interrupted");
		told = now;
	}
	if (!r) {
		r = transfer(to, BLOCK_FLUSH, 0, NULL, 0);
		if (r)
			error_set(err, -r, "%s: writing failed: %s", block_name(to), strerror(-r));
	}
	free(bytes);
	return r;
}

/* An empty disk of that size in a new file. */
static int make(const char *path, enum disk_format format, uint64_t size, struct error *err)
{
	const struct qcow2_make like = {.size = size};
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), r = 0;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (format == DISK_QCOW2)
		r = qcow2_create(fd, path, &like, err);
	else if (ftruncate(fd, (off_t)size))
		r = error_set(err, errno, "%s: %s", path, strerror(errno));
	close(fd);
	if (r)
		unlink(path);
	return r;
}

int convert_own(const struct disk_spec *from, const char *path, enum disk_format format,
	const struct convert_watch *watch, struct error *err)
{
	struct block_device *source, *target = NULL;
	struct disk_spec spec;
	int r = block_open(from, &source, err);

	if (r)
		return r;
	r = make(path, format, block_size(source), err);
	if (r) {
		block_close(source);
		return r;
	}
	r = disk_spec_of_file(path, false, &spec, err);
	if (!r) {
		spec.file[0].format = format;
		r = block_open(&spec, &target, err);
		disk_spec_free(&spec);
	}
	if (!r)
		r = copy(source, target, watch, err);
	block_close(target);
	block_close(source);
	if (r)
		unlink(path);
	return r;
}
