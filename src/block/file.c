/* SPDX-License-Identifier: Apache-2.0 */
#include "block/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "block/remote.h"

#define ZERO_CHUNK (64u << 10)
#define BOUNCE_CHUNK (256u << 10)

void file_iov_advance(struct iovec **iov, unsigned *count, size_t done)
{
	while (*count && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/* It is at least so long now. */
static void grown(struct file *file, uint64_t end)
{
	uint64_t size = file_size(file);

	while (end > size &&
		!__atomic_compare_exchange_n(&file->size, &size, end, false, __ATOMIC_RELAXED,
			__ATOMIC_RELAXED))
		continue;
}

/* As the buffers lie. */
static int transfer_vector(struct file *file, bool write, struct iovec *iov, unsigned count,
	uint64_t offset, uint64_t length)
{
	uint64_t left = length;

	while (left) {
		int batch = count < IOV_MAX ? count : IOV_MAX;
		ssize_t n = write ? pwritev(file->fd, iov, batch, (off_t)offset)
				  : preadv(file->fd, iov, batch, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 && (write || !file->grows))
			return -EIO; /* somebody has cut the file off under us */
		if (n == 0)
			break;
		offset += (uint64_t)n;
		left -= (uint64_t)n;
		file_iov_advance(&iov, &count, (size_t)n);
	}
	if (write)
		grown(file, offset);
	for (unsigned i = 0; left && i < count; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	return 0;
}

/* Between size bytes at memory and the first of the buffers, which it steps over. */
static void copy_vector(struct iovec **iov, unsigned *count, char *memory, size_t size, bool out)
{
	while (size) {
		size_t part = (*iov)->iov_len < size ? (*iov)->iov_len : size;

		if (out)
			memcpy(memory, (*iov)->iov_base, part);
		else
			memcpy((*iov)->iov_base, memory, part);
		memory += part;
		size -= part;
		file_iov_advance(iov, count, part);
	}
}

/* Whole blocks. What the file has not reads as zeroes; how much it had is told. */
static int read_blocks(struct file *file, char *memory, size_t size, uint64_t offset, size_t *had)
{
	ssize_t n = io_pread_all(file->fd, memory, size, offset);

	if (n < 0)
		return (int)n;
	*had = (size_t)n;
	memset(memory + n, 0, size - (size_t)n);
	return 0;
}

/* Through memory that is aligned as the disk wants it; part bytes from offset on, of a window of whole blocks. */
static int bounce(struct file *file, bool write, char *memory, struct iovec **iov, unsigned *count,
	uint64_t offset, size_t part)
{
	const uint64_t mask = file->align - 1, from = offset & ~mask;
	const size_t size = (size_t)(((offset + part + mask) & ~mask) - from);
	const size_t skip = (size_t)(offset - from);
	size_t had = 0;
	int r;

	if (!write) {
		r = read_blocks(file, memory, size, from, &had);
		if (!r && had < skip + part && !file->grows)
			r = -EIO;
		if (!r)
			copy_vector(iov, count, memory + skip, part, false);
		return r;
	}
	/* What stands beside it in the first and the last block stays. */
	r = skip ? read_blocks(file, memory, file->align, from, &had) : 0;
	if (!r && skip + part < size && (!skip || size > file->align))
		r = read_blocks(file, memory + size - file->align, file->align,
			from + size - file->align, &had);
	if (r)
		return r;
	copy_vector(iov, count, memory + skip, part, true);
	r = io_pwrite_all(file->fd, memory, size, from);
	if (!r)
		grown(file, from + size);
	return r;
}

static int transfer_bounced(struct file *file, bool write, struct iovec *iov, unsigned count,
	uint64_t offset, uint64_t length)
{
	const size_t room = (length < BOUNCE_CHUNK ? length : BOUNCE_CHUNK);
	const size_t size = (room + 2 * file->align) / file->align * file->align;
	char *memory = aligned_alloc(file->align, size);
	int r = memory ? 0 : -ENOMEM;

	while (!r && length) {
		size_t part = length < room ? length : room;

		r = bounce(file, write, memory, &iov, &count, offset, part);
		offset += part;
		length -= part;
	}
	free(memory);
	return r;
}

static bool range_aligned(const struct file *file, uint64_t offset, uint64_t length)
{
	return !((offset | length) & (file->align - 1));
}

static bool vector_aligned(const struct file *file, const struct iovec *iov, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & (file->align - 1))
			return false;
	return true;
}

int file_transfer(struct file *file, bool write, struct iovec *iov, unsigned count, uint64_t offset,
	uint64_t length)
{
	bool whole = range_aligned(file, offset, length);
	int r;

	if (file->remote)
		return remote_transfer(file->remote, write, iov, count, offset, length);
	if (file->align == 1)
		return transfer_vector(file, write, iov, count, offset, length);
	if (write && whole)
		pthread_rwlock_rdlock(&file->edges);
	else if (write)
		pthread_rwlock_wrlock(&file->edges);
	if (whole && vector_aligned(file, iov, count))
		r = transfer_vector(file, write, iov, count, offset, length);
	else
		r = transfer_bounced(file, write, iov, count, offset, length);
	if (write)
		pthread_rwlock_unlock(&file->edges);
	return r;
}

int file_read(struct file *file, void *to, size_t size, uint64_t offset)
{
	struct iovec iov = {to, size};

	return file_transfer(file, false, &iov, 1, offset, size);
}

int file_write(struct file *file, const void *from, size_t size, uint64_t offset)
{
	struct iovec iov = {(void *)(uintptr_t)from, size};

	return file_transfer(file, true, &iov, 1, offset, size);
}

int file_read_now(struct file *file, const struct iovec *iov, unsigned count, uint64_t offset,
	uint64_t length)
{
	ssize_t n;

	if (__atomic_load_n(&file->no_read_now, __ATOMIC_RELAXED) || count > IOV_MAX)
		return -EAGAIN;
	n = preadv2(file->fd, iov, (int)count, (off_t)offset, RWF_NOWAIT);
	if (n == (ssize_t)length)
		return 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		__atomic_store_n(&file->no_read_now, true, __ATOMIC_RELAXED);
	/* A part, or an error: the worker does all of it again and sees for itself. */
	return -EAGAIN;
}

void file_find_hole(const struct file *file, uint64_t offset, uint64_t *length, bool *hole)
{
	off_t at = file->device ? (off_t)offset : lseek(file->fd, (off_t)offset, SEEK_DATA);

	/* No data from there on. */
	if (at < 0 && errno == ENXIO && offset < file_size(file))
		at = (off_t)(offset + *length);
	*hole = at > 0 && (uint64_t)at > offset;
	if (!*hole && !file->device)
		at = lseek(file->fd, (off_t)offset, SEEK_HOLE);
	if (at > 0 && (uint64_t)at > offset && (uint64_t)at - offset < *length)
		*length = (uint64_t)at - offset;
}

int file_flush(struct file *file)
{
	if (file->read_only)
		return 0;
	if (file->remote)
		return remote_flush(file->remote);
	if (!fdatasync(file->fd))
		return 0;
	__atomic_store_n(&file->lost, true, __ATOMIC_RELAXED);
	return -errno;
}

int file_flush_result(struct file *file, const struct block_request *request, int r)
{
	const bool lost = request->internal
		? __atomic_load_n(&file->lost, __ATOMIC_RELAXED)
		: __atomic_exchange_n(&file->lost, false, __ATOMIC_RELAXED);

	return !r && lost ? -EIO : r;
}

static int change_space(struct file *file, int mode, uint64_t offset, uint64_t length)
{
	int r;

	do {
		r = fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
	} while (r && errno == EINTR);
	return r ? -errno : 0;
}

/* Not every file system can do every mode. */
static bool unsupported(int r)
{
	return r == -EOPNOTSUPP || r == -ENOSYS || r == -ENOTTY || r == -EINVAL;
}

int file_discard(struct file *file, uint64_t offset, uint64_t length)
{
	int r = 0;

	if (file->remote)
		return remote_discard(file->remote, offset, length);
	if (length)
		r = change_space(file, FALLOC_FL_PUNCH_HOLE, offset, length);
	return unsupported(r) ? 0 : r;
}

int file_write_zeroes(struct file *file, uint64_t offset, uint64_t length, bool unmap)
{
	uint64_t end = offset + length;
	int r = -EOPNOTSUPP;
	char *zeroes;

	if (!length)
		return 0;
	if (file->remote)
		r = remote_write_zeroes(file->remote, offset, length, unmap);
	else if (unmap)
		r = change_space(file, FALLOC_FL_PUNCH_HOLE, offset, length);
	if (unsupported(r) && !file->remote)
		r = change_space(file, FALLOC_FL_ZERO_RANGE, offset, length);
	if (!unsupported(r))
		return r;
	zeroes = aligned_alloc(file->align > 64 ? file->align : 64, ZERO_CHUNK);
	if (!zeroes)
		return -ENOMEM;
	memset(zeroes, 0, ZERO_CHUNK);
	for (r = 0; offset < end && !r; offset += ZERO_CHUNK)
		r = file_write(file, zeroes, end - offset < ZERO_CHUNK ? end - offset : ZERO_CHUNK,
			offset);
	free(zeroes);
	return r;
}
