/* SPDX-License-Identifier: Apache-2.0 */
#include "links/bridge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "links/netlink.h"

static int make(const char *name, unsigned mtu)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request =
		netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, name);
	struct nlattr *info;

	if (mtu)
		mnl_attr_put_u32(request, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(request, info);
	return netlink_ask(request, NULL, NULL);
}

/* A mark cannot be given while it is made. */
static int set_mark(const char *name, const char *mark)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK, name);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(request);

	info->ifi_flags = info->ifi_change = IFF_UP;
	mnl_attr_put_strz(request, IFLA_IFALIAS, mark);
	return netlink_ask(request, NULL, NULL);
}

static int delete (const char *name)
{
	char buf[NETLINK_REQUEST_SIZE];

	return netlink_ask(netlink_request_link(buf, RTM_DELLINK, NLM_F_ACK, name), NULL, NULL);
}

int bridge_make(const char *name, const char *mark, unsigned mtu, struct link *bridge,
	struct error *err)
{
	struct error why = {""};
	int r = link_find(name, bridge, &why);

	if (!r && !strcmp(bridge->mark, mark) && !strcmp(bridge->kind, "bridge"))
		return 0;
	if (!r)
		return error_set(err, EEXIST,
			"%s: this host has a link of that name already, which is not this network's",
			name);
	if (r != -ENODEV)
		return error_set(err, -r, "%s", why.text);
	r = make(name, mtu);
	if (r)
		return error_set(err, -r, "%s: the bridge cannot be made: %s%s", name, strerror(-r),
			r == -EPERM ? "; that is for who may change this host's network (root)"
				    : "");
	r = set_mark(name, mark);
	if (!r)
		r = link_find(name, bridge, NULL);
	if (r)
		delete (name);
	return r ? error_set(err, -r, "%s: the bridge cannot be made: %s", name, strerror(-r)) : 0;
}

int bridge_remove(const char *name, const char *mark, struct error *err)
{
	struct link link;
	int r = link_find(name, &link, NULL);

	if (r == -ENODEV || (!r && strcmp(link.mark, mark)))
		return 0;
	if (!r)
		r = delete (name);
	return r ? error_set(err, -r, "%s: the bridge stays: %s", name, strerror(-r)) : 0;
}

int bridge_add_address(const struct link *bridge, const char *address, unsigned bits,
	struct error *err)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	const bool ipv6 = strchr(address, ':') != NULL;
	struct ifaddrmsg *info;
	uint8_t bytes[16];
	int r;

	inet_pton(ipv6 ? AF_INET6 : AF_INET, address, bytes);
	request->nlmsg_type = RTM_NEWADDR;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	info = mnl_nlmsg_put_extra_header(request, sizeof *info);
	info->ifa_family = ipv6 ? AF_INET6 : AF_INET;
	info->ifa_prefixlen = (uint8_t)bits;
	/* Nobody else can have it yet: no time is lost by asking. */
	info->ifa_flags = ipv6 ? IFA_F_NODAD : 0;
	info->ifa_index = (unsigned)bridge->index;
	mnl_attr_put(request, IFA_LOCAL, ipv6 ? 16 : 4, bytes);
	mnl_attr_put(request, IFA_ADDRESS, ipv6 ? 16 : 4, bytes);
	r = netlink_ask(request, NULL, NULL);
	return r && r != -EEXIST
		? error_set(err, -r, "%s: address %s: %s", bridge->name, address, strerror(-r))
		: 0;
}

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
