/* SPDX-License-Identifier: Apache-2.0 */
#include "base/local_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A connection to a file that is no socket is refused as one to a socket without a listener is. */
static void remove_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd;

	if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
		errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

int local_socket_listen(const char *path, int backlog, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r = 0;
	mode_t mask;

	if (!*path || strlen(path) >= sizeof address.sun_path)
		return error_set(err, EINVAL,
			"unix:%.120s: a socket's path has 1 to %zu characters", path,
			sizeof address.sun_path - 1);
	memcpy(address.sun_path, path, strlen(path));
	remove_stale(&address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mask = umask(0177);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ||
		listen(fd, backlog) < 0)
		r = errno;
	umask(mask);
	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_set(err, r, "unix:%s: %s", path, strerror(r));
}
