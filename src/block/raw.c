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

#include "base/container.h"
#include "base/io.h"
#include "block/driver.h"

#define ZERO_CHUNK (64u << 10)
#define BOUNCE_CHUNK (256u << 10)
#define DIRECT_ALIGN \
	BLOCK_SECTOR /* of addresses, offsets and lengths, where the page cache is passed by */

struct raw {
	struct block_image image;
	int fd;
	enum disk_cache cache;
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

/* As the buffers lie. */
static int transfer_vector(struct raw *raw, struct block_request *request)
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
		iov_advance(iov, count, part);
	}
}

/* Through memory that is aligned as the disk wants it. */
static int transfer_bounced(struct raw *raw, struct block_request *request)
{
	bool write = request->op == BLOCK_WRITE;
	size_t room = request->length < BOUNCE_CHUNK ? request->length : BOUNCE_CHUNK;
	char *memory = aligned_alloc(DIRECT_ALIGN, room);
	struct iovec *iov = request->iov;
	unsigned count = request->iov_count;
	int r = memory ? 0 : -ENOMEM;

	for (uint64_t done = 0; !r && done < request->length;) {
		size_t part = request->length - done < room ? request->length - done : room;
		ssize_t n;

		if (write) {
			copy_vector(&iov, &count, memory, part, true);
			r = io_pwrite_all(raw->fd, memory, part, request->offset + done);
		} else {
			n = io_pread_all(raw->fd, memory, part, request->offset + done);
			r = n < 0 ? n : (size_t)n < part ? -EIO : 0;
			if (!r)
				copy_vector(&iov, &count, memory, part, false);
		}
		done += part;
	}
	free(memory);
	return r;
}

static bool vector_aligned(const struct block_request *request)
{
	for (unsigned i = 0; i < request->iov_count; i++)
		if ((uintptr_t)request->iov[i].iov_base % DIRECT_ALIGN ||
			request->iov[i].iov_len % DIRECT_ALIGN)
			return false;
	return true;
}

static int raw_transfer(struct raw *raw, struct block_request *request)
{
	if (raw->cache == DISK_DIRECT && !vector_aligned(request))
		return transfer_bounced(raw, request);
	return transfer_vector(raw, request);
}

static int raw_read_now(struct block_image *image, const struct block_request *request)
{
	struct raw *raw = container_of(image, struct raw, image);
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
	zeroes = aligned_alloc(DIRECT_ALIGN, ZERO_CHUNK);
	if (!zeroes)
		return -ENOMEM;
	memset(zeroes, 0, ZERO_CHUNK);
	for (r = 0; offset < end && !r; offset += ZERO_CHUNK)
		r = io_pwrite_all(raw->fd, zeroes,
			end - offset < ZERO_CHUNK ? end - offset : ZERO_CHUNK, offset);
	free(zeroes);
	return r;
}

static int raw_flush(struct raw *raw)
{
	if (raw->image.read_only)
		return 0;
	return fdatasync(raw->fd) ? -errno : 0;
}

/* What has been written is stable at once, if that is wanted. */
static int raw_written(struct raw *raw, int r)
{
	return !r && raw->cache == DISK_WRITETHROUGH ? raw_flush(raw) : r;
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
		return raw_flush(raw);
	case BLOCK_DISCARD:
		return raw_discard(raw, request);
	case BLOCK_WRITE_ZEROES:
		return raw_written(raw, raw_write_zeroes(raw, request));
	}
	return -EINVAL;
}

static void raw_close(struct block_image *image)
{
	struct raw *raw = container_of(image, struct raw, image);

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

/*
 * Without the page cache, if the file can be read so in sectors. The open file has the flag from then on,
 * also for another process that has it from us; whoever reads from it in other pieces has done so before.
 */
static int raw_pass_cache(struct raw *raw, const char *path, struct error *err)
{
	int flags = fcntl(raw->fd, F_GETFL), r = 0;
	char *sector;
	ssize_t n;

	if (flags < 0 || fcntl(raw->fd, F_SETFL, flags | O_DIRECT))
		return error_set(err, ENOTSUP,
			"%s: its file system cannot pass by the page cache (cache=none): %s", path,
			strerror(errno));
	sector = aligned_alloc(DIRECT_ALIGN, BLOCK_SECTOR);
	if (!sector)
		return error_nomem(err);
	n = io_pread_all(raw->fd, sector, BLOCK_SECTOR, 0);
	free(sector);
	if (n == -EINVAL)
		r = error_set(err, ENOTSUP,
			"%s: its disk has larger sectors than %u bytes, which cache=none cannot do",
			path, BLOCK_SECTOR);
	else if (n < 0)
		r = error_set(err, -n, "%s: cannot be read: %s", path, strerror(-n));
	raw->no_read_now = true;
	return r;
}

static int open_name(const char *path, bool read_only, int *fd, struct error *err)
{
	/* O_NONBLOCK: a FIFO must not hold us here. It means nothing to files and disks. */
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	*fd = open(path, flags);
	if (*fd >= 0)
		return 0;
	if (errno == EISDIR)
		return error_set(err, EISDIR, "%s: a directory, not a disk image", path);
	if (!read_only && (errno == EACCES || errno == EPERM || errno == EROFS))
		return error_set(err, errno,
			"%s: cannot be opened for writing: %s (%s,ro opens it read-only)", path,
			strerror(errno), path);
	return error_set(err, errno, "%s: cannot be opened: %s", path, strerror(errno));
}

static int check_fd(int fd, const char *name, bool read_only, struct error *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return error_set(err, errno, "%s: descriptor %d: %s", name, fd, strerror(errno));
	if ((flags & O_ACCMODE) == O_WRONLY || (!read_only && (flags & O_ACCMODE) != O_RDWR))
		return error_set(err, EACCES, "%s: not open for %s", name,
			read_only ? "reading" : "reading and writing");
	return 0;
}

static int raw_open(const struct disk_spec *spec, unsigned n, struct block_image **image,
	struct error *err)
{
	const struct disk_file *file = &spec->file[n];
	bool read_only = block_file_read_only(spec, n);
	struct raw *raw = calloc(1, sizeof *raw);
	int r = 0;

	if (!raw) {
		block_files_close(spec, n);
		return error_nomem(err);
	}
	*raw = (struct raw){
		.image = {.driver = &raw_driver, .read_only = read_only, .can_discard = !read_only},
		.fd = file->fd,
		.cache = spec->cache,
	};
	block_files_close(spec, n + 1);
	if (n + 1 < spec->files)
		r = error_set(err, EINVAL, "%s: a raw image has no other below it", file->name);
	if (!r)
		r = file->fd < 0 ? open_name(file->name, read_only, &raw->fd, err)
				 : check_fd(file->fd, file->name, read_only, err);
	if (!r)
		r = raw_examine(raw, file->name, err);
	if (!r)
		r = raw_lock(raw, file->name, err);
	if (!r && raw->cache == DISK_DIRECT)
		r = raw_pass_cache(raw, file->name, err);
	if (r) {
		raw->image.read_only = true; /* nothing to make stable */
		raw_close(&raw->image);
		return r;
	}
	*image = &raw->image;
	return 0;
}

const struct block_driver raw_driver = {
	.open = raw_open,
	.perform = raw_perform,
	.read_now = raw_read_now,
	.close = raw_close,
};
