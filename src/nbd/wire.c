/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd/wire.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/loop.h"

#define MS 1000000ull

/* Until there is something to read, or the deadline. */
static bool wait_readable(const struct nbd_wire *wire)
{
	struct pollfd wait = {wire->fd, POLLIN, 0};

	while (wire->deadline) {
		const uint64_t now = clock_now();
		int r;

		if (now >= wire->deadline)
			return false;
		r = poll(&wait, 1, (int)((wire->deadline - now) / MS) + 1);
		if (r > 0)
			return true;
		if (r < 0 && errno != EINTR)
			return false;
	}
	return true;
}

static void step(struct iovec **iov, unsigned *count, size_t done)
{
	while (*count && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		++*iov;
		--*count;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

static bool move_all(const struct nbd_wire *wire, bool write, struct iovec *iov, unsigned count)
{
	step(&iov, &count, 0);
	while (count) {
		const int batch = count < IOV_MAX ? (int)count : IOV_MAX;
		ssize_t n = 0;

		if (write)
			n = writev(wire->fd, iov, batch);
		else if (wait_readable(wire))
			n = count == 1 ? read(wire->fd, iov->iov_base, iov->iov_len)
				       : readv(wire->fd, iov, batch);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		step(&iov, &count, (size_t)n);
	}
	return true;
}

bool wire_read_vector(const struct nbd_wire *wire, struct iovec *iov, unsigned count)
{
	return move_all(wire, false, iov, count);
}

bool wire_write_vector(const struct nbd_wire *wire, struct iovec *iov, unsigned count)
{
	return move_all(wire, true, iov, count);
}

bool wire_read(const struct nbd_wire *wire, void *to, size_t size)
{
	struct iovec iov = {to, size};

	return move_all(wire, false, &iov, 1);
}

bool wire_write(const struct nbd_wire *wire, const void *head, size_t head_size, const void *data,
	size_t size)
{
	struct iovec iov[] = {{(void *)(uintptr_t)head, head_size},
		{(void *)(uintptr_t)data, size}};

	return move_all(wire, true, iov, 2);
}
