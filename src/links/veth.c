/* SPDX-License-Identifier: Apache-2.0 */
#include "links/veth.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>

#include "links/netlink.h"

int veth_make(const char *name, const char *peer, const uint8_t mac[LINK_MAC_LEN], unsigned mtu,
	struct error *err)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request =
		netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, name);
	struct nlattr *info, *data, *other;
	int r;

	mnl_attr_put_u32(request, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(request, IFLA_LINKINFO);
	mnl_attr_put_strz(request, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(request, IFLA_INFO_DATA);
	other = mnl_attr_nest_start(request, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(request, IFLA_IFNAME, peer);
	mnl_attr_put(request, IFLA_ADDRESS, LINK_MAC_LEN, mac);
	mnl_attr_put_u32(request, IFLA_MTU, mtu);
	mnl_attr_nest_end(request, other);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	r = netlink_ask(request, NULL, NULL);
	if (r == -EEXIST)
		return error_set(err, EEXIST,
			"%s: this host has a link of that name, or %s, already", name, peer);
	return r ? error_set(err, -r, "%s: no pair of links can be made: %s", name, strerror(-r))
		 : 0;
}

int veth_remove(const char *name, struct error *err)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct link link;
	int r = link_find(name, &link, NULL);

	if (r == -ENODEV || (!r && strcmp(link.kind, "veth")))
		return 0;
	if (!r)
		r = netlink_ask(netlink_request_link(buf, RTM_DELLINK, NLM_F_ACK, name), NULL,
			NULL);
	return r && r != -ENODEV ? error_set(err, -r, "%s: the link stays: %s", name, strerror(-r))
				 : 0;
}
