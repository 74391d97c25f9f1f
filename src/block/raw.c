/* SPDX-License-Identifier: Apache-2.0 */
/* Raw images: a regular file or a block device, byte for byte the guest's disk. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/driver.h"

#define ZERO_CHUNK (64u << 10)

struct raw {
	struct block_image image;
	int fd;
	bool no_read_now; /* the file system does not know RWF_NOWAIT; any thread, only ever set */
};

/* Steps over the first done bytes. */
static void iov_advance(struct iovec **iov, unsigned *count, size_t done)
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

static int raw_transfer(struct raw *raw, struct block_request *request)
{
	bool write = request->op == BLOCK_WRITE;
	struct iovec *iov = request->iov;
	unsigned count = request->iov_count;
	off_t offset = request->offset;
	uint64_t left = request->length;

	while (left) {
		int batch = count < IOV_MAX ? count : IOV_MAX;
		ssize_t n = write ? pwritev(raw->fd, iov, batch, offset)
				  : preadv(raw->fd, iov, batch, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) /* somebody has cut the file off under us */
			return -EIO;
		offset += n;
		left -= n;
		iov_advance(&iov, &count, n);
	}
	return 0;
}

static int raw_read_now(struct block_image *image, const struct block_request *request)
{
	struct raw *raw = (struct raw *)image;
	ssize_t n;

	if (__atomic_load_n(&raw->no_read_now, __ATOMIC_RELAXED) || request->iov_count > IOV_MAX)
		return -EAGAIN;
	n = preadv2(raw->fd, request->iov, request->iov_count, request->offset, RWF_NOWAIT);
	if (n == (ssize_t)request->length)
		return 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		__atomic_store_n(&raw->no_read_now, true, __ATOMIC_RELAXED);
	/* A part, or an error: the worker does all of it again and sees for itself. */
	return -EAGAIN;
}

static int raw_fallocate(struct raw *raw, int mode, const struct block_request *request)
{
	int r;

	do {
		r = fallocate(raw->fd, mode, request->offset, request->length);
	} while (r && errno == EINTR);
	return r ? -errno : 0;
}

/* Not every file system can do every mode. */
static bool unsupported(int r)
{
	return r == -EOPNOTSUPP || r == -ENOSYS || r == -ENOTTY || r == -EINVAL;
}

static int raw_discard(struct raw *raw, const struct block_request *request)
{
	int r;

	if (!request->length)
		return 0;
	r = raw_fallocate(raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request);
	return unsupported(r) ? 0 : r;
}

static int raw_write_zeroes(struct raw *raw, const struct block_request *request)
{
	uint64_t offset = request->offset, end = offset + request->length;
	int r = -EOPNOTSUPP;
	char *zeroes;

	if (!request->length)
		return 0;
	if (request->unmap)
		r = raw_fallocate(raw, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request);
	if (unsupported(r))
		r = raw_fallocate(raw, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, request);
	if (!unsupported(r))
		return r;
	zeroes = calloc(1, ZERO_CHUNK);
	if (!zeroes)
		return -ENOMEM;
	for (r = 0; offset < end && !r;) {
		size_t chunk = end - offset < ZERO_CHUNK ? end - offset : ZERO_CHUNK;
		ssize_t n = pwrite(raw->fd, zeroes, chunk, offset);

		if (n > 0)
			offset += n;
		else if (n == 0)
			r = -EIO;
		else if (errno != EINTR)
			r = -errno;
	}
	free(zeroes);
	return r;
}

static int raw_perform(struct block_image *image, struct block_request *request)
{
	struct raw *raw = (struct raw *)image;

	switch (request->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return raw_transfer(raw, request);
	case BLOCK_FLUSH:
		if (image->read_only)
			return 0;
		return fdatasync(raw->fd) ? -errno : 0;
	case BLOCK_DISCARD:
		return raw_discard(raw, request);
	case BLOCK_WRITE_ZEROES:
		return raw_write_zeroes(raw, request);
	}
	return -EINVAL;
}

static void raw_close(struct block_image *image)
{
	struct raw *raw = (struct raw *)image;

	if (raw->fd >= 0) {
		if (!image->read_only)
			fdatasync(raw->fd);
		close(raw->fd);
	}
	free(raw);
}

static int raw_examine(struct raw *raw, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(raw->fd, &st))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return error_set(err, EISDIR, "%s: a directory, not a disk image", path);
	if (S_ISREG(st.st_mode))
		raw->image.size = st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return error_set(err, EINVAL, "%s: neither a file nor a block device", path);
	else if (ioctl(raw->fd, BLKGETSIZE64, &raw->image.size))
		return error_set(err, errno, "%s: cannot tell its size: %s", path, strerror(errno));
	if (raw->image.size == 0)
		return error_set(err, EINVAL, "%s: empty, not a disk image", path);
	if (raw->image.size % BLOCK_SECTOR)
		return error_set(err, EINVAL,
			"%s: its size, %llu bytes, is not a multiple of %u: not a raw disk image",
			path, (unsigned long long)raw->image.size, BLOCK_SECTOR);
	return 0;
}

static int raw_lock(struct raw *raw, const char *path, struct error *err)
{
	struct flock lock = {
		.l_type = raw->image.read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (!fcntl(raw->fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, EBUSY, "%s: in use by another guest or program", path);
	return 0; /* a file system without locks: the user's care has to do */
}

static struct raw *raw_make(int fd, bool read_only)
{
	struct raw *raw = calloc(1, sizeof(*raw));

	if (!raw)
		return NULL;
	raw->image.driver = &raw_driver;
	raw->image.read_only = read_only;
	raw->image.can_discard = !read_only;
	raw->fd = fd;
	return raw;
}

/* The file is open, or r says why not. */
static int raw_begin(struct raw *raw, int r, const char *name, struct block_image **image,
	struct error *err)
{
	if (!r)
		r = raw_examine(raw, name, err);
	if (!r)
		r = raw_lock(raw, name, err);
	if (r) {
		raw->image.read_only = true; /* nothing to make stable */
		raw_close(&raw->image);
		return r;
	}
	*image = &raw->image;
	return 0;
}

static int open_fd(int fd, const char *name, bool read_only, struct block_image **image,
	struct error *err)
{
	struct raw *raw = raw_make(fd, read_only);
	int flags = fcntl(fd, F_GETFL), r = 0;

	if (!raw) {
		close(fd);
		return error_set(err, ENOMEM, "out of memory");
	}
	if (flags < 0)
		r = error_set(err, errno, "%s: descriptor %d: %s", name, fd, strerror(errno));
	else if ((flags & O_ACCMODE) == O_WRONLY || (!read_only && (flags & O_ACCMODE) != O_RDWR))
		r = error_set(err, EACCES, "%s: not open for %s", name,
			read_only ? "reading" : "reading and writing");
	return raw_begin(raw, r, name, image, err);
}

static int open_name(const char *path, bool read_only, struct block_image **image,
	struct error *err)
{
	/* O_NONBLOCK: a FIFO must not hold us here. It means nothing to files and disks. */
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, r = 0;
	struct raw *raw = raw_make(-1, read_only);

	if (!raw)
		return error_set(err, ENOMEM, "out of memory");
	raw->fd = open(path, flags);
	if (raw->fd < 0 && errno == EISDIR)
		r = error_set(err, EISDIR, "%s: a directory, not a disk image", path);
	else if (raw->fd < 0 && !read_only && (errno == EACCES || errno == EPERM || errno == EROFS))
		r = error_set(err, errno,
			"%s: cannot be opened for writing: %s (%s,ro opens it read-only)", path,
			strerror(errno), path);
	else if (raw->fd < 0)
		r = error_set(err, errno, "%s: cannot be opened: %s", path, strerror(errno));
	return raw_begin(raw, r, path, image, err);
}

static int raw_open(const struct disk_file *file, bool read_only, struct block_image **image,
	struct error *err)
{
	return file->fd < 0 ? open_name(file->name, read_only, image, err)
			    : open_fd(file->fd, file->name, read_only, image, err);
}

const struct block_driver raw_driver = {
	.open = raw_open,
	.perform = raw_perform,
	.read_now = raw_read_now,
	.close = raw_close,
};
