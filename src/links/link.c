/* SPDX-License-Identifier: Apache-2.0 */
#include "links/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "links/netlink.h"

/* Larger than MNL_SOCKET_BUFFER_SIZE may be: a dump's datagrams are up to 32 KiB. */
#define ANSWER_SIZE 32768

int netlink_ask(struct nlmsghdr *request, mnl_cb_t cb, void *ctx)
{
	static unsigned sequence;
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char *answer = malloc(ANSWER_SIZE);
	int r = -errno;

	if (socket && answer && !mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID)) {
		const unsigned port = mnl_socket_get_portid(socket);

		request->nlmsg_seq = ++sequence;
		r = mnl_socket_sendto(socket, request, request->nlmsg_len) < 0 ? -errno : 1;
		while (r > 0) {
			const ssize_t n = mnl_socket_recvfrom(socket, answer, ANSWER_SIZE);

			r = n < 0 ? -1 : mnl_cb_run(answer, n, request->nlmsg_seq, port, cb, ctx);
			if (r < 0)
				r = errno ? -errno : -EIO;
		}
	} else if (socket) {
		r = answer ? -errno : -ENOMEM;
	}
	free(answer);
	if (socket)
		mnl_socket_close(socket);
	return r;
}

struct nlmsghdr *netlink_request_link(char *buf, uint16_t type, uint16_t flags, const char *name)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info;

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	info = mnl_nlmsg_put_extra_header(request, sizeof *info);
	info->ifi_family = AF_UNSPEC;
	if (name)
		mnl_attr_put_strz(request, IFLA_IFNAME, name);
	return request;
}

/* Looking */

struct looking {
	int (*each)(void *ctx, const struct link *link);
	void *ctx;
	int r;
};

static void read_bridge(const struct nlattr *data, struct link *link)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, data)
	{
		if (mnl_attr_get_type(attr) == IFLA_BR_VLAN_FILTERING)
			link->vlans = mnl_attr_get_u8(attr);
		if (mnl_attr_get_type(attr) == IFLA_BR_VLAN_DEFAULT_PVID)
			link->pvid = mnl_attr_get_u16(attr);
	}
}

/* The kind comes before what is the kind's own. */
static void read_kind(const struct nlattr *info, struct link *link)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			snprintf(link->kind, sizeof link->kind, "%s", mnl_attr_get_str(attr));
		if (mnl_attr_get_type(attr) == IFLA_INFO_DATA && !strcmp(link->kind, "bridge"))
			read_bridge(attr, link);
	}
}

/* Attributes of netlink are aligned to four bytes. */
static void read_counters(const struct nlattr *attr, struct link *link)
{
	struct rtnl_link_stats64 counters = {0};
	size_t size = mnl_attr_get_payload_len(attr);

	memcpy(&counters, mnl_attr_get_payload(attr),
		size < sizeof counters ? size : sizeof counters);
	link->rx_bytes = counters.rx_bytes;
	link->rx_packets = counters.rx_packets;
	link->tx_bytes = counters.tx_bytes;
	link->tx_packets = counters.tx_packets;
}

static int read_link(const struct nlmsghdr *message, void *ctx)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct link link = {.index = info->ifi_index, .up = info->ifi_flags & IFF_UP};
	struct looking *looking = ctx;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, sizeof *info)
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			snprintf(link.name, sizeof link.name, "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_IFALIAS:
			snprintf(link.mark, sizeof link.mark, "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_MTU:
			link.mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_MASTER:
			link.master = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(attr) == LINK_MAC_LEN)
				memcpy(link.mac, mnl_attr_get_payload(attr), LINK_MAC_LEN);
			break;
		case IFLA_STATS64:
			read_counters(attr, &link);
			break;
		case IFLA_LINKINFO:
			read_kind(attr, &link);
			break;
		}
	}
	if (!looking->r)
		looking->r = looking->each(looking->ctx, &link);
	return MNL_CB_OK;
}

int link_each(int (*each)(void *ctx, const struct link *link), void *ctx, struct error *err)
{
	struct looking looking = {each, ctx, 0};
	char buf[NETLINK_REQUEST_SIZE];
	int r = netlink_ask(netlink_request_link(buf, RTM_GETLINK, NLM_F_DUMP, NULL), read_link,
		&looking);

	return r ? error_set(err, -r, "this host's links: %s", strerror(-r)) : looking.r;
}

static int keep(void *ctx, const struct link *link)
{
	*(struct link *)ctx = *link;
	return 0;
}

int link_find(const char *name, struct link *link, struct error *err)
{
	struct looking looking = {keep, link, 0};
	char buf[NETLINK_REQUEST_SIZE];
	int r = netlink_ask(netlink_request_link(buf, RTM_GETLINK, NLM_F_ACK, name), read_link,
		&looking);

	return r ? error_set(err, -r, "%s: %s", name, strerror(-r)) : 0;
}

struct listing {
	char *text;
	size_t size, len;
};

static int list_bridge(void *ctx, const struct link *link)
{
	struct listing *list = ctx;
	int n;

	if (strcmp(link->kind, "bridge") || list->len >= list->size)
		return 0;
	n = snprintf(list->text + list->len, list->size - list->len, "%s%s", list->len ? ", " : "",
		link->name);
	if (n > 0 && list->len + n < list->size)
		list->len += n;
	else
		list->text[list->len] = 0;
	return 0;
}

void link_bridges(char *text, size_t size)
{
	struct listing list = {text, size, 0};

	*text = 0;
	link_each(list_bridge, &list, NULL);
}

int link_find_bridge(const char *where, const char *name, struct link *link, struct error *err)
{
	char others[200];
	struct error why = {""};
	int r = link_find(name, link, &why);

	if (r && r != -ENODEV)
		return error_set(err, -r, "%sbridge %s", where, why.text);
	if (!r && !strcmp(link->kind, "bridge"))
		return 0;
	link_bridges(others, sizeof others);
	return error_set(err, r ? ENOENT : EINVAL, "%sthis host has %s '%s'%s%s%s", where,
		r ? "no bridge" : "a link, but no bridge", name,
		*others ? "; it has " : "; it has no other", others,
		*others ? "" : " either: ip link add NAME type bridge makes one");
}

/* Addresses */

struct addresses {
	int index;
	char (*address)[NET_ADDRESS_TEXT + 1];
	int count;
};

static int read_address(const struct nlmsghdr *message, void *ctx)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	const size_t len = info->ifa_family == AF_INET ? 4 : 16;
	const void *found = NULL;
	struct addresses *all = ctx;
	const struct nlattr *attr;

	if ((int)info->ifa_index != all->index || all->count == LINK_ADDRESSES_MAX ||
		(info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, message, sizeof *info)
	{
		const unsigned type = mnl_attr_get_type(attr);

		/* LOCAL is ours where ADDRESS is the peer's. */
		if (mnl_attr_get_payload_len(attr) == len &&
			(type == IFA_LOCAL || (type == IFA_ADDRESS && !found)))
			found = mnl_attr_get_payload(attr);
	}
	if (found &&
		inet_ntop(info->ifa_family, found, all->address[all->count], NET_ADDRESS_TEXT + 1))
		all->count++;
	return MNL_CB_OK;
}

int link_addresses(int index, char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1],
	struct error *err)
{
	struct addresses all = {index, address, 0};
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *info;
	int r;

	request->nlmsg_type = RTM_GETADDR;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	info = mnl_nlmsg_put_extra_header(request, sizeof *info);
	info->ifa_family = AF_UNSPEC;
	r = netlink_ask(request, read_address, &all);
	return r ? error_set(err, -r, "this host's addresses: %s", strerror(-r)) : all.count;
}

int link_add_address(const struct link *link, const char *address, unsigned bits, struct error *err)
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
	info->ifa_index = (unsigned)link->index;
	mnl_attr_put(request, IFA_LOCAL, ipv6 ? 16 : 4, bytes);
	mnl_attr_put(request, IFA_ADDRESS, ipv6 ? 16 : 4, bytes);
	r = netlink_ask(request, NULL, NULL);
	return r && r != -EEXIST
		? error_set(err, -r, "%s: address %s: %s", link->name, address, strerror(-r))
		: 0;
}

/* Changing */

static void put_no_address(struct nlmsghdr *request)
{
	struct nlattr *families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
	struct nlattr *ipv6 = mnl_attr_nest_start(request, AF_INET6);

	mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(request, ipv6);
	mnl_attr_nest_end(request, families);
}

static int apply(const char *name, const struct link_change *change)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK, name);

	if (change->mac)
		mnl_attr_put(request, IFLA_ADDRESS, LINK_MAC_LEN, change->mac);
	if (change->mtu)
		mnl_attr_put_u32(request, IFLA_MTU, change->mtu);
	if (change->master)
		mnl_attr_put_u32(request, IFLA_MASTER, (uint32_t)change->master);
	return netlink_ask(request, NULL, NULL);
}

static int bring_up(const char *name)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK, name);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(request);

	info->ifi_flags = info->ifi_change = IFF_UP;
	return netlink_ask(request, NULL, NULL);
}

/* A port's own settings are another request, once it is one. */
static int isolate(const char *name)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK, name);
	struct nlattr *info = mnl_attr_nest_start(request, IFLA_LINKINFO), *data;

	mnl_attr_put_strz(request, IFLA_INFO_SLAVE_KIND, "bridge");
	data = mnl_attr_nest_start(request, IFLA_INFO_SLAVE_DATA);
	mnl_attr_put_u8(request, IFLA_BRPORT_ISOLATED, 1);
	mnl_attr_nest_end(request, data);
	mnl_attr_nest_end(request, info);
	return netlink_ask(request, NULL, NULL);
}

/* A port is in a VLAN, or not any more (RTM_DELLINK). */
static int ask_vlan(const struct link *port, uint16_t type, unsigned vlan, uint16_t flags)
{
	const struct bridge_vlan_info info = {.flags = flags, .vid = (uint16_t)vlan};
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = netlink_request_link(buf, type, NLM_F_ACK, NULL);
	struct ifinfomsg *head = mnl_nlmsg_get_payload(request);
	struct nlattr *family;

	head->ifi_family = AF_BRIDGE;
	head->ifi_index = port->index;
	family = mnl_attr_nest_start(request, IFLA_AF_SPEC);
	mnl_attr_put(request, IFLA_BRIDGE_VLAN_INFO, sizeof info, &info);
	mnl_attr_nest_end(request, family);
	return netlink_ask(request, NULL, NULL);
}

static int enter_vlan(const char *name, const struct link_change *change)
{
	struct link port;
	int r = link_find(name, &port, NULL);

	if (!r)
		r = ask_vlan(&port, RTM_SETLINK, change->vlan,
			BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
	if (!r && change->pvid && change->pvid != change->vlan)
		r = ask_vlan(&port, RTM_DELLINK, change->pvid, 0);
	return r;
}

/* A kernel without IPv6 knows no such setting, and gives the link no address either. */
static int stop_addresses(const char *name)
{
	char buf[NETLINK_REQUEST_SIZE];
	struct nlmsghdr *request = netlink_request_link(buf, RTM_NEWLINK, NLM_F_ACK, name);
	int r;

	put_no_address(request);
	r = netlink_ask(request, NULL, NULL);
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
}

int link_change(const char *name, const struct link_change *change, struct error *err)
{
	int r = change->no_address ? stop_addresses(name) : 0;

	if (!r)
		r = apply(name, change);
	if (!r && change->isolated)
		r = isolate(name);
	if (!r && change->vlan)
		r = enter_vlan(name, change);
	/* Last: nothing passes before all of that is so. */
	if (!r && change->up)
		r = bring_up(name);
	return r ? error_set(err, -r, "%s: cannot be set up: %s", name, strerror(-r)) : 0;
}
