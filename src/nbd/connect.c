/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nbd/address.h"

/* Seconds: a host that has gone is not heard of for so long; and what is sent is not taken. */
#define QUIET_SECONDS 10
#define PROBES 3
#define STUCK_SECONDS 60

static void watch_peer(int fd)
{
	const int on = 1, idle = QUIET_SECONDS, probes = PROBES, unheard_ms = 30000;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
}

/* 0 or a negative errno. */
static int wait_connected(int fd, unsigned timeout_ms)
{
	struct pollfd wait = {fd, POLLOUT, 0};
	socklen_t size = sizeof(int);
	int code = 0, r;

	do {
		r = poll(&wait, 1, (int)timeout_ms);
	} while (r < 0 && errno == EINTR);
	if (!r)
		return -ETIMEDOUT;
	return r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) ? -errno : -code;
}

static int try_one(int family, const struct sockaddr *to, socklen_t size, unsigned timeout_ms,
	int *out)
{
	const struct timeval stuck = {.tv_sec = STUCK_SECONDS};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, to, size))
		r = errno == EINPROGRESS ? wait_connected(fd, timeout_ms) : -errno;
	if (!r && fcntl(fd, F_SETFL, 0))
		r = -errno;
	if (r) {
		close(fd);
		return r;
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &stuck, sizeof stuck);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &stuck, sizeof stuck);
	if (family != AF_UNIX)
		watch_peer(fd);
	*out = fd;
	return 0;
}

static int connect_local(const struct nbd_address *address, unsigned timeout_ms, int *fd,
	struct error *err)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int r;

	memcpy(to.sun_path, address->socket, sizeof to.sun_path);
	r = try_one(AF_UNIX, (struct sockaddr *)&to, sizeof to, timeout_ms, fd);
	return r ? error_set(err, -r, "the NBD server at %s cannot be reached: %s", address->socket,
			   strerror(-r))
		 : 0;
}

int nbd_connect(const struct nbd_address *address, unsigned timeout_ms, int *fd, struct error *err)
{
	const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int r;

	if (!address->host[0])
		return connect_local(address, timeout_ms, fd, err);
	r = getaddrinfo(address->host, address->port, &wanted, &found);
	if (r)
		return error_set(err, EHOSTUNREACH, "the NBD server %s: %s", address->host,
			gai_strerror(r));
	r = -EHOSTUNREACH;
	for (const struct addrinfo *one = found; one && r; one = one->ai_next)
		r = try_one(one->ai_family, one->ai_addr, one->ai_addrlen, timeout_ms, fd);
	freeaddrinfo(found);
	return r ? error_set(err, -r, "the NBD server %s, port %s, cannot be reached: %s",
			   address->host, address->port, strerror(-r))
		 : 0;
}
