/* SPDX-License-Identifier: Apache-2.0 */
/* A control socket for a monitor that a test starts. cmocka.h is included before. */
#ifndef DACH_TESTS_SOCKET_RIG_H
#define DACH_TESTS_SOCKET_RIG_H

#include <sys/socket.h>
#include <sys/un.h>

/* A listening socket without a name in the file system, and what is connected to it. */
static inline int make_socket(int *connected)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	socklen_t len = sizeof at;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* No more than the family: the kernel finds a name. */
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at.sun_family), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(connect(*connected, (struct sockaddr *)&at, len), 0);
	return fd;
}

#endif
