/* SPDX-License-Identifier: Apache-2.0 */
#include "links/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "links/netlink.h"
#include "links/tap.h"

struct route_looking {
	int (*each)(void *ctx, const struct host_route *route);
	void *ctx;
	int r;
};

static int read_route(const struct nlmsghdr *message, void *ctx)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(message);
	struct host_route route = {.ipv6 = info->rtm_family == AF_INET6,
		.advertised = info->rtm_protocol == RTPROT_RA,
		.bits = info->rtm_dst_len};
	struct route_looking *looking = ctx;
	const struct nlattr *attr;

	if (info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, message, sizeof *info)
	{
		const size_t len = mnl_attr_get_payload_len(attr);

		if (mnl_attr_get_type(attr) == RTA_DST && len <= sizeof route.address)
			memcpy(route.address, mnl_attr_get_payload(attr), len);
		if (mnl_attr_get_type(attr) == RTA_OIF)
			route.link = (int)mnl_attr_get_u32(attr);
	}
	if (!looking->r)
		looking->r = looking->each(looking->ctx, &route);
	return MNL_CB_OK;
}

int route_each(int (*each)(void *ctx, const struct host_route *route), void *ctx, struct error *err)
{
	struct route_looking looking = {each, ctx, 0};
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	struct rtmsg *info;
	int r;

	request->nlmsg_type = RTM_GETROUTE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	info = mnl_nlmsg_put_extra_header(request, sizeof *info);
	info->rtm_family = AF_UNSPEC;
	r = netlink_ask(request, read_route, &looking);
	return r ? error_set(err, -r, "this host's routes: %s", strerror(-r)) : looking.r;
}

/* The host's own end */

static int keep_default(void *ctx, const struct host_route *route)
{
	int *link = ctx;

	if (!route->ipv6 && !route->bits && !*link)
		*link = route->link;
	return 0;
}

/* Its address of IPv4; "" where it has none, or where no link is named and the host has no way out. */
static int gateway_address(const char *name, char to[NET_ADDRESS_TEXT + 1], struct error *err)
{
	char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1];
	struct link link;
	int index = 0, count, r;

	*to = 0;
	r = name ? link_find(name, &link, err) : route_each(keep_default, &index, err);
	if (r)
		return r;
	if (name)
		index = link.index;
	count = index ? link_addresses(index, address, err) : 0;
	for (int i = count; i-- > 0;)
		if (!strchr(address[i], ':'))
			memcpy(to, address[i], NET_ADDRESS_TEXT + 1);
	return count < 0 ? count : 0;
}

static int answer_for_others(const char *name)
{
	char path[80];
	int fd, r;

	snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/proxy_arp", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	r = fd < 0 || write(fd, "1", 1) != 1 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

static int add_route(const struct link *link, const char *address)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	const bool ipv6 = strchr(address, ':') != NULL;
	uint8_t bytes[16];
	struct rtmsg *info;

	if (inet_pton(ipv6 ? AF_INET6 : AF_INET, address, bytes) != 1)
		return -EINVAL;
	request->nlmsg_type = RTM_NEWROUTE;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	info = mnl_nlmsg_put_extra_header(request, sizeof *info);
	info->rtm_family = ipv6 ? AF_INET6 : AF_INET;
	info->rtm_dst_len = ipv6 ? 128 : 32;
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = RTPROT_STATIC;
	info->rtm_scope = ipv6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	info->rtm_type = RTN_UNICAST;
	mnl_attr_put(request, RTA_DST, ipv6 ? 16 : 4, bytes);
	mnl_attr_put_u32(request, RTA_OIF, (uint32_t)link->index);
	return netlink_ask(request, NULL, NULL);
}

int route_join(const char *name, const struct route_port *port, struct error *err)
{
	const struct link_change change = {.mac = tap_mac, .mtu = port->mtu, .up = true};
	char own[NET_ADDRESS_TEXT + 1];
	struct link link;
	int r = gateway_address(port->gateway, own, err);

	if (!r)
		r = link_change(name, &change, err);
	if (!r)
		r = link_find(name, &link, err);
	if (!r && *own)
		r = link_add_address(&link, own, 32, err);
	if (r)
		return r;
	r = answer_for_others(name);
	if (r)
		return error_set(err, -r, "%s: proxy_arp: %s", name, strerror(-r));
	for (unsigned i = 0; !r && i < port->addresses; i++) {
		r = add_route(&link, port->address[i]);
		if (r)
			error_set(err, -r,
				r == -EEXIST ? "%s: this host has a route to %s already"
					     : "%s: no route to %s: %s",
				name, port->address[i], strerror(-r));
	}
	return r;
}
