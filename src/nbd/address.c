/* SPDX-License-Identifier: Apache-2.0 */
#include "nbd/address.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char tcp[] = "nbd://", local[] = "nbd+unix://", tls[] = "nbds";

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static int bad(const char *text, const char *what, struct error *err)
{
	return error_set(err, EINVAL,
		"%s: %s (nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH)", text, what);
}

static int digit(char c)
{
	return isdigit((unsigned char)c)     ? c - '0'
		: isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					     : -1;
}

/* Text in which a byte may be written as % and two digits. False: it is no such text, or has no room. */
static bool decode(const char *from, size_t size, char *to, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++, n++) {
		char c = from[i];

		if (c == '%') {
			if (size - i < 3 || digit(from[i + 1]) < 0 || digit(from[i + 2]) < 0)
				return false;
			c = (char)(digit(from[i + 1]) << 4 | digit(from[i + 2]));
			i += 2;
		}
		if (!c || n + 1 >= room)
			return false;
		to[n] = c;
	}
	to[n] = 0;
	return true;
}

static bool take_port(const char *from, size_t size, struct nbd_address *address)
{
	char *end;
	long port;

	if (!size)
		return true;
	if (size >= sizeof address->port || !isdigit((unsigned char)*from))
		return false;
	memcpy(address->port, from, size);
	address->port[size] = 0;
	port = strtol(address->port, &end, 10);
	return !*end && port > 0 && port < 65536;
}

/* HOST, HOST:PORT, or an IPv6 address in brackets. */
static bool take_host(const char *from, size_t size, struct nbd_address *address)
{
	const char *end = from + size, *colon, *host = from;

	if (size && *from == '[') {
		colon = memchr(from, ']', size);
		if (!colon)
			return false;
		host++;
		size = (size_t)(colon - host);
		colon++;
	} else {
		colon = memchr(from, ':', size);
		colon = colon ? colon : end;
		size = (size_t)(colon - host);
	}
	if (!size || memchr(host, '@', size) || (colon < end && *colon != ':'))
		return false;
	return decode(host, size, address->host, sizeof address->host) &&
		take_port(colon + 1, colon < end ? (size_t)(end - colon - 1) : 0, address);
}

int nbd_address_parse(const char *text, struct nbd_address *address, struct error *err)
{
	const char *at = strstr(text, "://"), *path, *query;

	memset(address, 0, sizeof *address);
	strcpy(address->port, NBD_PORT);
	if (begins(text, tls))
		return error_set(err, ENOTSUP, "%s: TLS to an NBD server is not there", text);
	if (!at || (!begins(text, tcp) && !begins(text, local)))
		return bad(text, "is no address of an NBD server", err);
	at += 3;
	path = at + strcspn(at, "/?");
	query = path + strcspn(path, "?");
	if (*path == '/' &&
		!decode(path + 1, (size_t)(query - path - 1), address->export,
			sizeof address->export))
		return bad(text, "not the name of an export", err);
	if (begins(text, tcp)) {
		if (*query)
			return bad(text, "over TCP nothing follows the export's name", err);
		return take_host(at, (size_t)(path - at), address) ? 0
								   : bad(text, "not a host", err);
	}
	if (path != at || !begins(query, "?socket=") || strchr(query, '&') ||
		!decode(query + 8, strlen(query + 8), address->socket, sizeof address->socket) ||
		address->socket[0] != '/')
		return bad(text, "needs the path of a socket", err);
	return 0;
}
