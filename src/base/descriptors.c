/* SPDX-License-Identifier: Apache-2.0 */
#include "base/descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
};

int descriptors_send(int socket, const int *fd, unsigned count)
{
	union control control = {{0}};
	struct iovec data = {"", 1};
	struct msghdr msg = {.msg_iov = &data, .msg_iovlen = 1};

	if (count > DESCRIPTORS_MAX)
		return -EINVAL;
	if (count) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fd, count * sizeof(int));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -errno;
}

int descriptors_receive(int socket, int *fd, unsigned room)
{
	union control control = {{0}};
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr msg = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		/* Not CMSG_SPACE(): its padding would take one more. */
		.msg_controllen =
			CMSG_LEN((room < DESCRIPTORS_MAX ? room : DESCRIPTORS_MAX) * sizeof(int))};
	const ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *head = n == 1 ? CMSG_FIRSTHDR(&msg) : NULL;
	unsigned count;

	if (n < 0)
		return -errno;
	if (!head)
		return n == 1 ? 0 : -EPROTO;
	if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fd, CMSG_DATA(head), count * sizeof(int));
	return (int)count;
}
