/* SPDX-License-Identifier: Apache-2.0 */
/* An NBD client that says anything: it gets no byte that is not the source's, and the server ends. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd/nbd.h"
#include "nbd/server.h"
#include "nbd/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE (64u << 10)

static int source_read(void *ctx, uint64_t offset, uint64_t length, void *to)
{
	if (!length || offset % NBD_SECTOR || length % NBD_SECTOR || offset > SIZE ||
		length > SIZE - offset || length > NBD_PIECE)
		abort();
	memset(to, 0x5a, length);
	return offset >= SIZE / 2 && offset < SIZE / 2 + 4096 ? -5 : 0;
}

static int find_zero(void *ctx, uint64_t offset, uint64_t *length, bool *zero)
{
	if (!*length || offset % NBD_SECTOR || *length % NBD_SECTOR || offset > SIZE ||
		*length > SIZE - offset)
		abort();
	*zero = offset / 4096 % 3 == 0;
	if (*length > 4096 - offset % 4096)
		*length = 4096 - offset % 4096;
	return 0;
}

static bool changed(void *ctx, uint64_t offset, uint64_t *length)
{
	if (!*length || offset > SIZE || *length > SIZE - offset)
		abort();
	if (*length > 4096 - offset % 4096)
		*length = 4096 - offset % 4096;
	return offset / 4096 % 5 == 0;
}

static void *drain(void *ctx)
{
	char bytes[65536];

	while (read(*(int *)ctx, bytes, sizeof bytes) > 0) {
	}
	return NULL;
}

struct sending {
	int fd;
	const uint8_t *data;
	size_t size;
	bool begun; /* a handshake of ours comes first */
};

static void send_all(int fd, const void *data, size_t size)
{
	if (send(fd, data, size, MSG_NOSIGNAL) < 0)
		return;
}

static void *say(void *ctx)
{
	const struct sending *sending = ctx;
	static const char contexts[] =
		"\0\0\0\0\0\0\0\2\0\0\0\017base:allocation\0\0\0\027qemu:dirty-bitmap:since";
	uint8_t hello[4 + 16 + 16 + sizeof contexts + 16 + 6],
		*to = put32(hello, NBD_FIXED_NEWSTYLE | NBD_NO_ZEROES);

	if (sending->begun) {
		to = put32(put32(put64(to, NBD_OPTION_MAGIC), NBD_OPT_STRUCTURED_REPLY), 0);
		to = put32(put32(put64(to, NBD_OPTION_MAGIC), NBD_OPT_SET_META_CONTEXT),
			sizeof contexts - 1);
		memcpy(to, contexts, sizeof contexts - 1);
		to += sizeof contexts - 1;
		to = put32(put32(put64(to, NBD_OPTION_MAGIC), NBD_OPT_GO), 6);
		to = put16(put32(to, 0), 0);
		send_all(sending->fd, hello, (size_t)(to - hello));
	}
	send_all(sending->fd, sending->data, sending->size);
	shutdown(sending->fd, SHUT_WR);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct nbd_source source = {.name = "disk",
		.bitmap = "since",
		.changed = changed,
		.size = SIZE,
		.read = source_read,
		.find_zero = find_zero};
	struct sending sending;
	pthread_t reader, writer;
	int fd[2];

	if (!size)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		abort();
	sending = (struct sending){fd[1], data + 1, size - 1, data[0] & 1};
	if (pthread_create(&reader, NULL, drain, &fd[1]) ||
		pthread_create(&writer, NULL, say, &sending))
		abort();
	nbd_serve(fd[0], &source, 10000);
	shutdown(fd[0], SHUT_RDWR);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	close(fd[0]);
	close(fd[1]);
	return 0;
}
