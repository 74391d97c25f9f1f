/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/nvram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define SIZE_MAX_BYTES (1u << 20)

static int failed(struct error *err, int r, const char *path)
{
	return error_set(err, -r, "%s: %s", path, strerror(-r));
}

static int read_template(const char *path, char **bytes, size_t *size, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;

	*bytes = NULL;
	if (fd < 0)
		return failed(err, -errno, path);
	r = io_read_file(fd, SIZE_MAX_BYTES, bytes, size);
	close(fd);
	return r ? failed(err, r, path) : 0;
}

static int take(int fd, const char *path, const char *bytes, size_t size, struct error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat st;
	int r = 0;

	if (fcntl(fd, F_OFD_SETLK, &lock) && (errno == EAGAIN || errno == EACCES))
		return error_set(err, EBUSY, "%s: in use by another guest", path);
	if (fstat(fd, &st))
		return failed(err, -errno, path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "%s: not a file", path);
	if (st.st_size) {
		if ((size_t)st.st_size == size)
			return 0;
		return error_set(err, EINVAL,
			"%s: has %lld bytes and not %zu: the variables of another firmware; remove it to start anew",
			path, (long long)st.st_size, size);
	}
	r = io_pwrite_all(fd, bytes, size, 0);
	if (!r && fsync(fd))
		r = -errno;
	if (!r)
		return 0;
	failed(err, r, path);
	/* What is empty is made next time. */
	return ftruncate(fd, 0) ? -errno : r;
}

int nvram_open(const char *path, const char *template, int *fd, struct error *err)
{
	const char *name = path ? path : "the firmware's variables";
	char *bytes;
	size_t size;
	int r = read_template(template, &bytes, &size, err);

	*fd = -1;
	if (r)
		return r;
	*fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
		   : memfd_create("nvram", MFD_CLOEXEC);
	r = *fd < 0 ? failed(err, -errno, name) : take(*fd, name, bytes, size, err);
	if (r && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	free(bytes);
	return r;
}
