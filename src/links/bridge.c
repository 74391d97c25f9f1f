/* SPDX-License-Identifier: Apache-2.0 */
#include "links/bridge.h"

#include <errno.h>
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
