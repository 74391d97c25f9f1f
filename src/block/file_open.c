/* SPDX-License-Identifier: Apache-2.0 */
/* How a file that holds an image is opened, looked at and locked. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "block/driver.h"
#include "block/file.h"
#include "block/remote.h"

#define ALIGN_MAX 4096u

static int open_name(const char *path, bool read_only, int *fd, struct error *err)
{
	/* O_NONBLOCK: a FIFO must not hold us here. It means nothing to files and disks. */
	int flags = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	if (disk_is_remote(path))
		return error_set(err, ENOTSUP,
			"%s: on an NBD server, where only guests' disks may be (nbdcopy makes a file of it)",
			path);
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

int block_files_open(struct disk_spec *spec, struct error *err)
{
	int r = 0;

	for (unsigned n = 0; !r && n < spec->files; n++)
		if (spec->file[n].fd < 0)
			r = open_name(spec->file[n].name, block_file_read_only(spec, n),
				&spec->file[n].fd, err);
	return r;
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

int file_measure(struct file *file, const char *path, struct error *err)
{
	struct stat st;

	if (file->remote)
		return 0;
	if (fstat(file->fd, &st))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return error_set(err, EISDIR, "%s: a directory, not a disk image", path);
	file->device = S_ISBLK(st.st_mode);
	if (S_ISREG(st.st_mode))
		file->size = (uint64_t)st.st_size;
	else if (!file->device)
		return error_set(err, EINVAL, "%s: neither a file nor a block device", path);
	else if (ioctl(file->fd, BLKGETSIZE64, &file->size))
		return error_set(err, errno, "%s: cannot tell its size: %s", path, strerror(errno));
	return 0;
}

/*
 * QEMU's scheme, so that its programs and ours see each other: a byte from 100 on is locked by who does a
 * thing to the file, one from 200 on by who lets nobody else do it; all are locked shared, and each looks
 * for what the others have locked. (block/file-posix.c there; qemu-img's -U disregards it.)
 */
enum { DO_READ = 0, DO_WRITE = 1, DO_RESIZE = 3 };
#define LOCK_DOES 100
#define LOCK_DENIES 200

static bool lock_byte(int fd, int byte)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return !fcntl(fd, F_OFD_SETLK, &lock) || (errno != EAGAIN && errno != EACCES);
}

static bool byte_is_free(int fd, int byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	/* A file system without locks: the user's care has to do. */
	return fcntl(fd, F_OFD_GETLK, &lock) || lock.l_type == F_UNLCK;
}

static int lock_file(const struct file *file, const char *path, struct error *err)
{
	static const int reader[] = {DO_READ}, writer[] = {DO_READ, DO_WRITE, DO_RESIZE};
	static const int denied[] = {DO_WRITE, DO_RESIZE};
	const int *does = file->read_only ? reader : writer;
	const int count = file->read_only ? 1 : 3;
	bool good = true;

	for (int i = 0; i < count; i++)
		good &= lock_byte(file->fd, LOCK_DOES + does[i]);
	for (int i = 0; i < 2; i++)
		good &= lock_byte(file->fd, LOCK_DENIES + denied[i]);
	for (int i = 0; i < count; i++)
		good &= byte_is_free(file->fd, LOCK_DENIES + does[i]);
	for (int i = 0; i < 2; i++)
		good &= byte_is_free(file->fd, LOCK_DOES + denied[i]);
	return good ? 0 : error_set(err, EBUSY, "%s: in use by another guest or program", path);
}

void file_unlock(const struct file *file)
{
	struct flock lock = {.l_type = F_UNLCK,
		.l_whence = SEEK_SET,
		.l_start = LOCK_DOES,
		.l_len = 2 * (LOCK_DENIES - LOCK_DOES)};

	fcntl(file->fd, F_OFD_SETLK, &lock);
}

int file_lock(const struct file *file, const char *path, struct error *err)
{
	int r = lock_file(file, path, err);

	if (r)
		file_unlock(file);
	return r;
}

void file_freeze(struct file *file)
{
	static const int given_up[] = {DO_WRITE, DO_RESIZE};

	file->read_only = true;
	for (int i = 0; i < 2; i++) {
		struct flock lock = {.l_type = F_UNLCK,
			.l_whence = SEEK_SET,
			.l_start = LOCK_DOES + given_up[i],
			.l_len = 1};

		fcntl(file->fd, F_OFD_SETLK, &lock);
	}
}

static bool same_file(int fd, int other)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstat(other, &b) &&
		(S_ISBLK(a.st_mode) ? S_ISBLK(b.st_mode) && a.st_rdev == b.st_rdev
				    : a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

bool file_is(const struct file *file, int fd)
{
	return same_file(file->fd, fd);
}

int file_thaw(struct file *file, int fd, const char *name, struct error *err)
{
	int flags, r = check_fd(fd, name, false, err);

	if (!r && !same_file(fd, file->fd))
		r = error_set(err, EINVAL, "%s: is not what the disk stands on", name);
	flags = fcntl(fd, F_GETFL);
	if (!r && file->align > 1 && fcntl(fd, F_SETFL, flags | O_DIRECT))
		r = error_set(err, errno, "%s: %s", name, strerror(errno));
	if (r) {
		close(fd);
		return r;
	}
	/* Its locks are the open file's, and would be in our own way. */
	close(file->fd);
	file->fd = fd;
	file->read_only = false;
	r = lock_file(file, name, err);
	if (r) {
		file_freeze(file);
		lock_file(file, name, NULL);
	}
	return r;
}

/* Its size, and who makes connections for it; nothing of the host's page cache lies before it. */
static int open_remote(struct file *file, const struct disk_spec *spec, const char *name,
	struct error *err)
{
	file->device = true;
	file->no_read_now = true;
	return remote_open(file->fd, name, file->read_only, spec->cache == DISK_WRITETHROUGH,
		&file->remote, &file->size, err);
}

/* In blocks of this size the file can be read past the page cache. */
static int probe_align(int fd, unsigned align)
{
	char *block = aligned_alloc(ALIGN_MAX, ALIGN_MAX);
	ssize_t n = block ? io_pread_all(fd, block, align, 0) : -ENOMEM;

	free(block);
	return n < 0 ? (int)n : 0;
}

/*
 * Without the page cache. The open file has the flag from then on, also for another process that has it from
 * us; whoever reads from it in other pieces has done so before.
 */
static int pass_cache(struct file *file, const char *path, struct error *err)
{
	int flags = fcntl(file->fd, F_GETFL), r;

	if (flags < 0 || fcntl(file->fd, F_SETFL, flags | O_DIRECT))
		return error_set(err, ENOTSUP,
			"%s: its file system cannot pass by the page cache (cache=none): %s", path,
			strerror(errno));
	file->no_read_now = true;
	for (file->align = BLOCK_SECTOR; file->align <= ALIGN_MAX; file->align *= 2) {
		r = probe_align(file->fd, file->align);
		if (r != -EINVAL)
			return r ? error_set(err, -r, "%s: cannot be read: %s", path, strerror(-r))
				 : 0;
	}
	return error_set(err, ENOTSUP,
		"%s: its disk has larger sectors than %u bytes, which cache=none cannot do", path,
		ALIGN_MAX);
}

int file_open(struct file *file, const struct disk_spec *spec, unsigned n, struct error *err)
{
	const struct disk_file *from = &spec->file[n];
	bool read_only = block_file_read_only(spec, n);
	int r;

	*file = (struct file){.fd = from->fd, .read_only = read_only, .align = 1};
	pthread_rwlock_init(&file->edges, NULL);
	r = file->fd < 0 ? open_name(from->name, read_only, &file->fd, err)
			 : check_fd(file->fd, from->name, read_only, err);
	if (!r && remote_is_socket(file->fd))
		r = open_remote(file, spec, from->name, err);
	if (!r)
		r = file_measure(file, from->name, err);
	if (!r && !spec->unlocked && !file->remote)
		r = lock_file(file, from->name, err);
	if (!r && !file->remote && spec->cache == DISK_DIRECT)
		r = pass_cache(file, from->name, err);
	if (r)
		file_close(file);
	return r;
}

void file_close(struct file *file)
{
	remote_close(file->remote);
	file->remote = NULL;
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
	pthread_rwlock_destroy(&file->edges);
}
