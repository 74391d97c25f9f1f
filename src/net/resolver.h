/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this host's name servers (resolv.conf(5)) are of use to a network in user mode, which has IPv4 only. */
#ifndef DACH_NET_RESOLVER_H
#define DACH_NET_RESOLVER_H

#include <stdbool.h>

/* There are name servers, and each has an IPv6 address. text: resolv.conf. */
bool resolver_ipv6_only(const char *text);
/* The same of this host's own file; false too where it cannot be read. */
bool resolver_host_ipv6_only(void);

#endif
