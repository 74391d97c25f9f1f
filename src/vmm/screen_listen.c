/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/screen_listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/local_socket.h"

#define UNIX "unix:"

bool screen_is_unix(const char *where)
{
	return !strncmp(where, UNIX, strlen(UNIX));
}

/* -1: none is said. Puts a zero behind the address. False: it is no number. */
static bool split(char *text, char **address, int *display)
{
	char *colon = strrchr(text, ':'), *end;
	unsigned long number;

	*address = text;
	*display = -1;
	if (*text == '[') {
		char *close = strchr(text, ']');

		if (!close || (close[1] && close[1] != ':'))
			return false;
		*address = text + 1;
		*close = 0;
		colon = close[1] ? close + 1 : NULL;
	} else if (colon && strchr(text, ':') != colon) {
		return true; /* an IPv6 address by itself */
	}
	if (!colon)
		return true;
	*colon = 0;
	number = strtoul(colon + 1, &end, 10);
	*display = number < SCREEN_DISPLAYS ? (int)number : -1;
	return *display >= 0 && colon[1] >= '0' && colon[1] <= '9' && !*end;
}

static int listen_at(const struct addrinfo *info, unsigned display)
{
	const int on = 1;
	int fd, r;

	if (info->ai_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)info->ai_addr)->sin6_port =
			htons(SCREEN_PORT + display);
	else
		((struct sockaddr_in *)(void *)info->ai_addr)->sin_port =
			htons(SCREEN_PORT + display);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (!bind(fd, info->ai_addr, info->ai_addrlen) && !listen(fd, 8))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static int listen_tcp(const char *where, char *said, size_t size, struct error *err)
{
	const struct addrinfo wanted = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM};
	struct addrinfo *info;
	char text[128], *address;
	int display, fd = -EADDRINUSE;
	unsigned at;

	if (snprintf(text, sizeof text, "%s", where) >= (int)sizeof text ||
		!split(text, &address, &display) ||
		getaddrinfo(*address ? address : "127.0.0.1", "5900", &wanted, &info))
		return error_set(err, EINVAL,
			"%s: not ADDRESS:DISPLAY (127.0.0.1:1), ADDRESS or unix:PATH", where);
	for (at = display < 0 ? 0 : display; at < SCREEN_DISPLAYS && fd == -EADDRINUSE; at++) {
		fd = listen_at(info, at);
		if (display >= 0)
			break;
	}
	at -= display < 0 ? 1 : 0;
	snprintf(said, size, info->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
		*address ? address : "127.0.0.1", at);
	freeaddrinfo(info);
	return fd >= 0 ? fd
		       : error_set(err, -fd, "VNC on %s (port %u): %s", where, SCREEN_PORT + at,
				 strerror(-fd));
}

int screen_listen(const char *where, char *said, size_t size, struct error *err)
{
	if (!screen_is_unix(where))
		return listen_tcp(where, said, size, err);
	snprintf(said, size, "%s", where);
	/* Its user's alone: no password is asked for. */
	return local_socket_listen(where + strlen(UNIX), 8, err);
}
