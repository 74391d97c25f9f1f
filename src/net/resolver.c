/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolver.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"

#define FILE_NAME "/etc/resolv.conf"
#define FILE_MAX (64u << 10)
#define KEY "nameserver"
#define PORT 53

/* The line's name server; *len is 0 if it names none. */
static const char *server(const char *line, size_t *len)
{
	const char *at = line + sizeof KEY - 1;

	*len = 0;
	if (strncmp(line, KEY, sizeof KEY - 1) != 0 || !isblank((unsigned char)*at))
		return at;
	at += strspn(at, " \t");
	*len = strcspn(at, " \t\r\n#;");
	return at;
}

bool resolver_ipv6_only(const char *text)
{
	bool any = false;

	while (text && *text) {
		char address[INET_ADDRSTRLEN];
		struct in_addr ip;
		size_t len;
		const char *at = server(text, &len);

		if (len && len < sizeof address) {
			memcpy(address, at, len);
			address[len] = 0;
			if (inet_pton(AF_INET, address, &ip) == 1)
				return false;
		}
		any |= len && memchr(at, ':', len);
		text = strchr(text, '\n');
		text += text ? 1 : 0;
	}
	return any;
}

static socklen_t socket_address(const char *text, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof *to);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(PORT);
		return sizeof *v4;
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(PORT);
		return sizeof *v6;
	}
	return 0;
}

socklen_t resolver_server(const char *text, unsigned n, struct sockaddr_storage *to)
{
	while (text && *text) {
		char address[INET6_ADDRSTRLEN];
		size_t len;
		const char *at = server(text, &len);

		if (len && len < sizeof address) {
			socklen_t size;

			memcpy(address, at, len);
			address[len] = 0;
			size = socket_address(address, to);
			if (size && !n--)
				return size;
		}
		text = strchr(text, '\n');
		text += text ? 1 : 0;
	}
	return 0;
}

/* This host's file; free() afterwards, NULL: it cannot be read. */
static char *read_host(void)
{
	int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = NULL;
	size_t size;

	if (fd < 0)
		return NULL;
	if (io_read_file(fd, FILE_MAX, &text, &size))
		text = NULL;
	close(fd);
	return text;
}

socklen_t resolver_host_server(unsigned n, struct sockaddr_storage *to)
{
	char *text = read_host();
	const socklen_t len = resolver_server(text, n, to);

	free(text);
	return len;
}

bool resolver_host_ipv6_only(void)
{
	char *text = read_host();
	const bool only = resolver_ipv6_only(text);

	free(text);
	return only;
}

bool resolver_host_has_ipv6(void)
{
	struct ifaddrs *all, *at;
	bool has = false;

	if (getifaddrs(&all))
		return false;
	for (at = all; at && !has; at = at->ifa_next) {
		const struct sockaddr_in6 *addr = (const struct sockaddr_in6 *)at->ifa_addr;

		has = addr && addr->sin6_family == AF_INET6 &&
			!IN6_IS_ADDR_LOOPBACK(&addr->sin6_addr) &&
			!IN6_IS_ADDR_LINKLOCAL(&addr->sin6_addr);
	}
	freeifaddrs(all);
	return has;
}
