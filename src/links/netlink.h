/* SPDX-License-Identifier: Apache-2.0 */
/* Asking rtnetlink(7). Private to links/. */
#ifndef DACH_LINKS_NETLINK_H
#define DACH_LINKS_NETLINK_H

#include <libmnl/libmnl.h>

#define NETLINK_REQUEST_SIZE 1024

/* A request that was put together; each message of the answer goes to cb (NULL: there are none). A negative errno. */
int netlink_ask(struct nlmsghdr *request, mnl_cb_t cb, void *ctx);
/* The head of a request about links; name NULL: about all, or one that has none yet. */
struct nlmsghdr *netlink_request_link(char *buf, uint16_t type, uint16_t flags, const char *name);

#endif
