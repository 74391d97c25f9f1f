/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that loses what was not flushed: the calls of the C library that write to a file, put in front of
 * those (ld --wrap). At a write that was agreed on, the file becomes what was stable, with some of the later
 * writes or parts of them, and the process ends.
 */
#include "lossy_disk.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512u

ssize_t __real_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int count, off_t offset);
int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int count, off_t offset);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fdatasync(int fd);

struct change {
	off_t offset;
	size_t size;
	uint8_t *bytes; /* NULL: zeroes */
};

static struct {
	pthread_mutex_t lock;
	dev_t dev;
	ino_t inode;
	int stable; /* the file as it is after a crash that loses everything; -1: nothing is lost */
	unsigned left; /* writes until the crash */
	unsigned random;
	struct change *change;
	size_t count, room;
	char file[4096], copy[4096];
} lossy = {.lock = PTHREAD_MUTEX_INITIALIZER, .stable = -1};

static bool is_ours(int fd)
{
	struct stat st;

	return lossy.stable >= 0 && !fstat(fd, &st) && st.st_dev == lossy.dev &&
		st.st_ino == lossy.inode;
}

static void apply(const struct change *change, size_t from, size_t size)
{
	static const uint8_t zeroes[SECTOR];

	for (size_t done = 0; done < size; done += SECTOR) {
		size_t part = size - done < SECTOR ? size - done : SECTOR;

		if (__real_pwrite64(lossy.stable,
			    change->bytes ? change->bytes + from + done : zeroes, part,
			    change->offset + (off_t)(from + done)) != (ssize_t)part)
			abort();
	}
}

/* Some of the writes, in their order; of some only some sectors. */
static void crash(void)
{
	unsigned kind = (unsigned)rand_r(&lossy.random) % 4;

	for (size_t i = 0; i < lossy.count; i++) {
		const struct change *change = &lossy.change[i];

		if (kind == 0 || (kind == 1 && rand_r(&lossy.random) % 2))
			continue;
		if (kind == 2) {
			apply(change, 0, change->size);
			continue;
		}
		for (size_t at = 0; at < change->size; at += SECTOR)
			if (rand_r(&lossy.random) % 2)
				apply(change, at,
					change->size - at < SECTOR ? change->size - at : SECTOR);
	}
	if (rename(lossy.copy, lossy.file))
		abort();
	_exit(LOSSY_CRASHED);
}

static void note(off_t offset, size_t size, const struct iovec *iov, int count)
{
	struct change *change;

	if (lossy.count == lossy.room) {
		lossy.room = lossy.room ? 2 * lossy.room : 256;
		lossy.change = realloc(lossy.change, lossy.room * sizeof *lossy.change);
		if (!lossy.change)
			abort();
	}
	change = &lossy.change[lossy.count++];
	*change = (struct change){.offset = offset, .size = size};
	if (iov) {
		size_t at = 0;

		change->bytes = malloc(size + 1);
		for (int i = 0; i < count && change->bytes; i++) {
			memcpy(change->bytes + at, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
	}
	if (!--lossy.left)
		crash();
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int count, off_t offset)
{
	size_t size = 0;
	ssize_t n;

	if (!is_ours(fd))
		return __real_pwritev64(fd, iov, count, offset);
	for (int i = 0; i < count; i++)
		size += iov[i].iov_len;
	pthread_mutex_lock(&lossy.lock);
	note(offset, size, iov, count);
	n = __real_pwritev64(fd, iov, count, offset);
	pthread_mutex_unlock(&lossy.lock);
	return n;
}

ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size};

	return is_ours(fd) ? __wrap_pwritev64(fd, &iov, 1, offset)
			   : __real_pwrite64(fd, bytes, size, offset);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	int r;

	if (!is_ours(fd))
		return __real_fallocate64(fd, mode, offset, length);
	pthread_mutex_lock(&lossy.lock);
	note(offset, (size_t)length, NULL, 0);
	r = __real_fallocate64(fd, mode, offset, length);
	pthread_mutex_unlock(&lossy.lock);
	return r;
}

int __wrap_fdatasync(int fd)
{
	size_t count;

	if (!is_ours(fd))
		return 0; /* no test of this program needs more */
	pthread_mutex_lock(&lossy.lock);
	count = lossy.count;
	for (size_t i = 0; i < count; i++) {
		apply(&lossy.change[i], 0, lossy.change[i].size);
		free(lossy.change[i].bytes);
	}
	lossy.count = 0;
	pthread_mutex_unlock(&lossy.lock);
	return 0;
}

void lossy_begin(const char *file, unsigned writes, unsigned seed)
{
	static char block[1 << 16];
	struct stat st;
	off_t at = 0;
	ssize_t n;
	int fd = open(file, O_RDONLY | O_CLOEXEC), copy;

	snprintf(lossy.file, sizeof lossy.file, "%s", file);
	snprintf(lossy.copy, sizeof lossy.copy, "%s.stable", file);
	copy = open(lossy.copy, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || copy < 0 || fstat(fd, &st))
		abort();
	while ((n = pread(fd, block, sizeof block, at)) > 0) {
		if (__real_pwrite64(copy, block, (size_t)n, at) != n)
			abort();
		at += n;
	}
	close(fd);
	lossy.dev = st.st_dev;
	lossy.inode = st.st_ino;
	lossy.left = writes;
	lossy.random = seed;
	lossy.stable = copy;
}
