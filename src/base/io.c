/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_ROOM (64u << 10)

/* After a call that failed: 0 to try again, or its negative errno. */
static int try_again(int fd, short events)
{
	struct pollfd wait = {fd, events, 0};

	if (errno == EINTR)
		return 0;
	if (errno != EAGAIN)
		return -errno;
	poll(&wait, 1, -1);
	return 0;
}

ssize_t io_read_all(int fd, void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)to + done, size - done);
		int r = n < 0 ? try_again(fd, POLLIN) : 0;

		if (r)
			return r;
		if (!n)
			break;
		done += n > 0 ? n : 0;
	}
	return done;
}

ssize_t io_pread_all(int fd, void *to, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(fd, (char *)to + done, size - done, offset + done);
		int r = n < 0 ? try_again(fd, POLLIN) : 0;

		if (r)
			return r;
		if (!n)
			break;
		done += n > 0 ? n : 0;
	}
	return done;
}

int io_write_all(int fd, const void *from, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, (const char *)from + done, size - done);
		int r = n < 0 ? try_again(fd, POLLOUT) : n ? 0 : -EIO;

		if (r)
			return r;
		done += n > 0 ? n : 0;
	}
	return 0;
}

int io_pwrite_all(int fd, const void *from, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const char *)from + done, size - done, offset + done);
		int r = n < 0 ? try_again(fd, POLLOUT) : n ? 0 : -EIO;

		if (r)
			return r;
		done += n > 0 ? n : 0;
	}
	return 0;
}

/* Room for twice as much, and the zero. */
static int grow(char **text, size_t *room, size_t max)
{
	size_t more = *room ? *room * 2 : FIRST_ROOM;
	char *bigger;

	if (more > max)
		more = max + 1; /* one byte more shows that the file is too long */
	bigger = realloc(*text, more + 1);
	if (!bigger)
		return -ENOMEM;
	*text = bigger;
	*room = more;
	return 0;
}

void io_hold_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0)
			open("/", O_RDONLY | O_DIRECTORY);
}

int io_read_file(int fd, size_t max, char **text, size_t *size)
{
	size_t room = 0, done = 0;
	int r = 0;

	*text = NULL;
	*size = 0;
	while (!r && done == room) {
		ssize_t n = 0;

		r = done > max ? -EFBIG : grow(text, &room, max);
		if (!r)
			n = io_read_all(fd, *text + done, room - done);
		if (n < 0)
			r = n;
		else
			done += n;
	}
	if (r) {
		free(*text);
		*text = NULL;
		return r;
	}
	(*text)[done] = 0;
	*size = done;
	return 0;
}
