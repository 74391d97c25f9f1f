/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/loop.h"
#include "nbd/wire.h"

#define MS 1000000ull

/* Until there is something to read, or the deadline. */
static bool wait_readable(const struct nbd_client *client)
{
	struct pollfd wait = {client->fd, POLLIN, 0};

	while (client->deadline) {
		const uint64_t now = clock_now();
		int r;

		if (now >= client->deadline)
			return false;
		r = poll(&wait, 1, (int)((client->deadline - now) / MS) + 1);
		if (r > 0)
			return true;
		if (r < 0 && errno != EINTR)
			return false;
	}
	return true;
}

bool wire_read(struct nbd_client *client, void *to, size_t size)
{
	uint8_t *at = to;

	while (size) {
		ssize_t n = wait_readable(client) ? read(client->fd, at, size) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

bool wire_skip(struct nbd_client *client, uint64_t size)
{
	while (size) {
		const size_t part = size < NBD_PIECE ? size : NBD_PIECE;

		if (!wire_read(client, client->piece, part))
			return false;
		size -= part;
	}
	return true;
}

bool wire_write(struct nbd_client *client, const void *head, size_t head_size, const void *data,
	size_t size)
{
	struct iovec iov[] = {{(void *)(uintptr_t)head, head_size},
		{(void *)(uintptr_t)data, size}};

	while (iov[0].iov_len || iov[1].iov_len) {
		struct iovec *from = iov[0].iov_len ? iov : iov + 1;
		ssize_t n = writev(client->fd, from, iov[0].iov_len ? 2 : 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		for (; n; from++) {
			size_t part = (size_t)n < from->iov_len ? (size_t)n : from->iov_len;

			from->iov_base = (char *)from->iov_base + part;
			from->iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return true;
}

void nbd_serve(int fd, const struct nbd_source *source, unsigned handshake_ms)
{
	struct nbd_client client = {.fd = fd,
		.source = source,
		.deadline = clock_now() + handshake_ms * MS,
		.piece = malloc(NBD_PIECE)};

	if (client.piece && nbd_handshake(&client)) {
		client.deadline = 0;
		nbd_transmit(&client);
	}
	free(client.piece);
}
