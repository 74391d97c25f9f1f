/* SPDX-License-Identifier: Apache-2.0 */
/* What a network in user mode has to know of this host: its name servers (resolv.conf(5)), whether it has IPv6. */
#ifndef DACH_NET_RESOLVER_H
#define DACH_NET_RESOLVER_H

#include <stdbool.h>
#include <sys/socket.h>

/* There are name servers, and each has an IPv6 address. text: resolv.conf. */
bool resolver_ipv6_only(const char *text);
/* The same of this host's own file; false too where it cannot be read. */
bool resolver_host_ipv6_only(void);
/* The n-th name server in it, with the port: its address's length; 0: it has no more. Those on a link alone are left out. */
socklen_t resolver_server(const char *text, unsigned n, struct sockaddr_storage *to);
socklen_t resolver_host_server(unsigned n, struct sockaddr_storage *to);
/* An interface has an IPv6 address that leads further than this host or a link. */
bool resolver_host_has_ipv6(void);

#endif
