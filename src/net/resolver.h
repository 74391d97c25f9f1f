/* SPDX-License-Identifier: Apache-2.0 */
/* What a network in user mode has to know of this host: its name servers (resolv.conf(5)), whether it has IPv6. */
#ifndef DACH_NET_RESOLVER_H
#define DACH_NET_RESOLVER_H

#include <stdbool.h>

/* There are name servers, and each has an IPv6 address. text: resolv.conf. */
bool resolver_ipv6_only(const char *text);
/* The same of this host's own file; false too where it cannot be read. */
bool resolver_host_ipv6_only(void);
/* An interface has an IPv6 address that leads further than this host or a link. */
bool resolver_host_has_ipv6(void);

#endif
