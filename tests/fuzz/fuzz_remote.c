/* SPDX-License-Identifier: Apache-2.0 */
/* An NBD server that says anything to a guest's disk: no byte comes where none was asked for, and requests end. */
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/remote.h"
#include "nbd/address.h"
#include "nbd/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PART 4096u
#define SIZE_MAX_INPUT 32768u

static void send_all(int fd, const void *data, size_t size)
{
	if (size && send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
		abort(); /* a socket has room for an input, and for all that is asked */
}

/* All that the server will ever say; first a handshake of ours, if begun. */
static void say(int fd, bool begun, const uint8_t *data, size_t size)
{
	uint8_t hello[18 + 20 + 12 + 20], *to = hello;

	if (begun) {
		to = put16(put64(put64(to, NBD_MAGIC), NBD_OPTION_MAGIC), 3);
		to = put32(put32(put32(put64(to, NBD_REPLY_MAGIC), NBD_OPT_GO), NBD_REP_INFO), 12);
		to = put16(put64(put16(to, NBD_INFO_EXPORT), 16 * PART),
			NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES);
		to = put32(put32(put32(put64(to, NBD_REPLY_MAGIC), NBD_OPT_GO), NBD_REP_ACK), 0);
	}
	send_all(fd, hello, (size_t)(to - hello));
	send_all(fd, data, size);
	shutdown(fd, SHUT_WR);
}

/* The answer to the first question, before it is asked: a connection. There is nobody for the next. */
static void answer_once(int connector, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} file = {.header = {.cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS,
			  .cmsg_len = CMSG_LEN(sizeof(int))}};
	char asked = 1;
	struct iovec iov = {&asked, 1};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &file,
		.msg_controllen = sizeof file};

	memcpy(CMSG_DATA(&file.header), &fd, sizeof fd);
	if (sendmsg(connector, &message, MSG_NOSIGNAL) != 1)
		abort();
	close(fd);
	shutdown(connector, SHUT_WR);
}

struct asking {
	struct remote *remote;
	unsigned first;
};

/* A disk's thread: reads whose buffers have neighbours, and the other requests. */
static void *ask(void *ctx)
{
	const struct asking *asking = ctx;
	uint8_t bytes[3 * PART];

	for (unsigned i = 0; i < 6; i++) {
		struct iovec iov[] = {{bytes + PART, 512}, {bytes + PART + 512, PART - 512}};
		const uint64_t offset = (asking->first + i) % 16 * PART;
		int r = 0;

		memset(bytes, 0xee, sizeof bytes);
		if (i % 3 == 0)
			r = remote_transfer(asking->remote, false, iov, 2, offset, PART);
		else if (i % 3 == 1)
			r = remote_transfer(asking->remote, true, iov, 2, offset, PART);
		else
			r = remote_flush(asking->remote) ||
				remote_write_zeroes(asking->remote, offset, PART, false);
		for (unsigned k = 0; k < PART; k++)
			if (bytes[k] != 0xee || bytes[2 * PART + k] != 0xee)
				abort();
		if (r)
			break;
	}
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct asking asking[2];
	struct remote *remote;
	pthread_t thread;
	uint64_t bytes;
	int connector[2], fd[2];

	if (!size || size > SIZE_MAX_INPUT)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, connector) ||
		socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
		abort();
	say(fd[1], data[0] & 1, data + 1, size - 1);
	answer_once(connector[1], fd[0]);
	if (!remote_open(connector[0], "nbd://host/", false, false, &remote, &bytes, NULL)) {
		if (!bytes || bytes % 512)
			abort();
		asking[0] = (struct asking){remote, 0};
		asking[1] = (struct asking){remote, 8};
		if (pthread_create(&thread, NULL, ask, &asking[1]))
			abort();
		ask(&asking[0]);
		pthread_join(thread, NULL);
		remote_close(remote);
	}
	close(fd[1]);
	close(connector[0]);
	close(connector[1]);
	return 0;
}
