/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "daemon/container.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/launch.h"
#include "daemon/links_internal.h"
#include "daemon/network.h"
#include "daemon/script.h"
#include "links/filter.h"
#include "links/nat.h"
#include "links/route.h"
#include "links/tap.h"
#include "links/tables.h"
#include "links/veth.h"

#define BRIDGE_DEFAULT "xenbr0" /* xl's */

static bool owner_may(const struct guest *guest, const char *bridge)
{
	struct caller owner;
	bool may;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	may = caller_may_use_bridge(&owner, bridge);
	caller_free(&owner);
	return may;
}

static bool in_user_mode(const struct guest *guest, const struct domain_vif *vif)
{
	return !guest->daemon->root || vif->forwards || vif->allows ||
		(vif->mode && !strcmp(vif->mode, "user"));
}

bool links_has(const struct guest *guest, unsigned i)
{
	const struct domain_vif *vif = &guest->config.vif[i];

	return links_bridge(guest, i) ||
		(!in_user_mode(guest, vif) && script_kind(vif) == SCRIPT_ROUTE);
}

const char *links_bridge(const struct guest *guest, unsigned i)
{
	const struct domain_vif *vif = &guest->config.vif[i];
	const enum script_kind kind = script_kind(vif);
	struct link link;

	if (in_user_mode(guest, vif) || kind == SCRIPT_ROUTE)
		return NULL;
	if (vif->bridge) {
		const struct network *network = network_find(guest->daemon, vif->bridge);

		return network ? network_bridge(network) : vif->bridge;
	}
	if (vif->mode || kind != SCRIPT_BRIDGE)
		return BRIDGE_DEFAULT;
	if (link_find(BRIDGE_DEFAULT, &link, NULL) || strcmp(link.kind, "bridge"))
		return NULL;
	/* Who has not asked for it is not refused it either. */
	return owner_may(guest, BRIDGE_DEFAULT) ? BRIDGE_DEFAULT : NULL;
}

void links_name(const struct guest *guest, unsigned i, char name[NET_LINK_TEXT + 1])
{
	const char *given = guest->config.vif[i].vifname;

	if (given)
		snprintf(name, NET_LINK_TEXT + 1, "%s", given);
	else
		snprintf(name, NET_LINK_TEXT + 1, "vif%u.%u", guest->domid,
			domain_vif_devid(&guest->config, i));
}

void links_peer(const struct guest *guest, unsigned i, char name[NET_LINK_TEXT + 1])
{
	snprintf(name, NET_LINK_TEXT + 1, "ct%u.%u", guest->domid,
		domain_vif_devid(&guest->config, i));
}

/*
 * What is known to be others': addresses of the bridge itself, if the kernel has it (index), and of guests that run
 * on the one of that name; NULL: it is on none.
 */
static int add_others(const struct guest *guest, const char *bridge, int index,
	struct filtered_link *entry, struct error *err)
{
	char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1];
	int count = index ? link_addresses(index, address, err) : 0, r = count < 0 ? count : 0;

	for (int i = 0; !r && i < count; i++)
		r = filtered_add(entry->other, &entry->others, address[i], err);
	for (const struct guest *at = guest->daemon->guests; at && bridge && !r; at = at->next)
		for (unsigned i = 0; i < at->config.vifs && at != guest && at->domid; i++) {
			const char *on = links_bridge(at, i);

			/* As many as there is room for. */
			if (on && !strcmp(on, bridge))
				filtered_add_addresses(at->config.vif[i].ip, entry->other,
					&entry->others, NULL);
		}
	return r;
}

/* The MAC is no other running guest's on that bridge, and no other interface's of this one. */
static int check_mac(const struct guest *guest, unsigned vif, const char *bridge, struct error *err)
{
	const char *mac = guest->config.vif[vif].mac;

	for (const struct guest *at = guest->daemon->guests; at; at = at->next)
		for (unsigned i = 0; i < at->config.vifs; i++) {
			const char *on;

			if (strcmp(at->config.vif[i].mac, mac) ||
				(at == guest ? i >= vif : !at->domid))
				continue;
			on = links_bridge(at, i);
			if (on && !strcmp(on, bridge))
				return error_set(err, EBUSY,
					"vifs[%u]: the MAC address %s is that of the guest '" GUEST_LABEL
					"' on the same bridge",
					vif, mac, at->config.name);
		}
	return 0;
}

/* What only a manager may, and others by the policy. */
static int check_owner(const struct guest *guest, unsigned vif, const char *bridge,
	struct error *err)
{
	const struct domain_vif *config = &guest->config.vif[vif];
	struct caller owner;
	int r = 0;

	const char *managers = config->vifname ? "vifname"
		: config->vlan                 ? "vlan"
		: config->filter == CHOICE_NO  ? "filter=off"
		: script_kind(config) == SCRIPT_ROUTE || script_kind(config) == SCRIPT_OWN
		? "script"
		: NULL;

	caller_of_user(&guest->daemon->policy, guest->owner, &owner);
	if (bridge && !caller_may_use_bridge(&owner, config->bridge ? config->bridge : bridge))
		r = error_set(err, EACCES,
			"vifs[%u]: the host's policy gives you no bridge '%s' (mode=user needs none)",
			vif, bridge);
	else if (!owner.manager && managers)
		r = error_set(err, EACCES, "vifs[%u]: %s is only for who manages this host", vif,
			managers);
	caller_free(&owner);
	return r;
}

static int write_link(const struct guest *guest, const struct filtered_link *entry,
	struct error *err)
{
	int fd, r = launch_open_file(guest, LINKS_FILE, O_WRONLY | O_CREAT | O_APPEND, &fd, err);

	if (r)
		return r;
	if (dprintf(fd, "%s %s", entry->tap, entry->mac) < 0)
		r = -errno;
	for (unsigned i = 0; !r && i < entry->addresses; i++)
		r = dprintf(fd, " %s", entry->address[i]) < 0 ? -errno : 0;
	for (unsigned i = 0; !r && i < entry->others; i++)
		r = dprintf(fd, " -%s", entry->other[i]) < 0 ? -errno : 0;
	if (!r)
		r = dprintf(fd, "\n") < 0 ? -errno : 0;
	close(fd);
	return r ? error_set(err, -r, "%s: %s", guest->daemon->run, strerror(-r)) : 0;
}

/* There before the pair is, so that the next daemon finds it; what filters it has a line of its own. */
static int write_pair(const struct guest *guest, const char *name, struct error *err)
{
	struct link other;
	int fd, r;

	/* What is noted is removed with the guest: a link that is there already is not the guest's. */
	r = link_find(name, &other, NULL);
	if (r != -ENODEV)
		return r ? error_set(err, -r, "%s: %s", name, strerror(-r))
			 : error_set(err, EEXIST, "%s: this host has a link of that name already",
				   name);
	r = launch_open_file(guest, LINKS_FILE, O_WRONLY | O_CREAT | O_APPEND, &fd, err);
	if (r)
		return r;
	r = dprintf(fd, "%c%s\n", LINKS_PAIR, name) < 0 ? -errno : 0;
	close(fd);
	return r ? error_set(err, -r, "%s: %s", guest->daemon->run, strerror(-r)) : 0;
}

/* NULL: it is on none that the daemon keeps. */
static struct network *network_of(const struct guest *guest, unsigned vif)
{
	const char *name = guest->config.vif[vif].bridge;

	return name ? network_find(guest->daemon, name) : NULL;
}

/* On a network that the daemon keeps, the address that it gives. */
static int lease(const struct guest *guest, unsigned vif, struct filtered_link *entry,
	struct error *err)
{
	struct network *network = network_of(guest, vif);
	char address[NET_ADDRESS_TEXT + 1];
	int r;

	if (!network)
		return 0;
	r = network_lease(network, guest, vif, address, err);
	return r || !*address ? r : filtered_add(entry->address, &entry->addresses, address, err);
}

static int plan_port(const struct guest *guest, unsigned vif, const struct link *bridge,
	struct tap_port *port, struct error *err)
{
	const struct domain_vif *config = &guest->config.vif[vif];
	const struct network *network = network_of(guest, vif);

	*port = (struct tap_port){.mtu = config->mtu,
		.isolated = config->isolated || (network && network->config.isolated),
		.vlan = config->vlan ? config->vlan
			: network    ? network->config.vlan
				     : 0};
	if (!port->vlan || bridge->vlans)
		return 0;
	return error_set(err, EOPNOTSUPP,
		"the bridge '%s' does not keep VLANs apart (ip link set %s type bridge vlan_filtering 1)",
		bridge->name, bridge->name);
}

/* Ways onto the host: a bridge, routes, or what a script makes of it. */

/* The note of it is there first: its offline is for whoever finds that. */
static int join_by_script(const struct guest *guest, unsigned vif,
	const struct filtered_link *entry, struct net_spec *spec, struct error *err)
{
	struct link link;
	int fd, r = launch_open_file(guest, LINKS_FILE, O_WRONLY | O_CREAT | O_APPEND, &fd, err);

	if (r)
		return r;
	r = script_join(guest, vif, entry->tap, entry->mac, fd, err);
	close(fd);
	/* What it has made of the link counts. */
	if (!r && !link_find(entry->tap, &link, NULL))
		spec->mtu = link.mtu;
	return r;
}

static int join_by_routes(const struct guest *guest, unsigned vif,
	const struct filtered_link *entry, struct error *err)
{
	const struct domain_vif *config = &guest->config.vif[vif];
	const struct route_port port = {config->gatewaydev, config->mtu, entry->address,
		entry->addresses};
	bool ipv6 = false;
	int r;

	for (unsigned i = 0; i < port.addresses; i++)
		ipv6 |= strchr(port.address[i], ':') != NULL;
	r = port.addresses
		? nat_forward(ipv6, err)
		: error_set(err, EINVAL, "vif-route: ip= has to say what is routed to the guest");
	return r ? r : route_join(entry->tap, &port, err);
}

/* The link itself, down. */
static int make_link(const struct guest *guest, unsigned vif, const struct filtered_link *entry,
	struct net_spec *spec, struct error *err)
{
	char peer[NET_LINK_TEXT + 1];
	uint8_t mac[NET_MAC_LEN];

	if (!guest_is_container(guest))
		return tap_make(entry->tap, NULL, &spec->fd, err);
	links_peer(guest, vif, peer);
	if (!net_spec_mac(spec, mac))
		return error_set(err, EINVAL, "%s: no MAC address", entry->tap);
	return veth_make(entry->tap, peer, mac, spec->mtu, err);
}

/* Of IPv6, what is known of its addresses: where it comes from another host, its network is to hear of them. */
static int announce(const struct guest *guest, unsigned vif, const struct filtered_link *entry,
	struct net_spec *spec, struct error *err)
{
	const struct network *network = network_of(guest, vif);
	char own[NET_ADDRESS_TEXT + 1];
	bool whole = true;

	spec->announced = calloc(entry->addresses + 1, sizeof *spec->announced);
	if (!spec->announced)
		return error_nomem(err);
	for (unsigned i = 0; i < entry->addresses; i++)
		if (strchr(entry->address[i], ':'))
			whole &= (spec->announced[spec->announceds++] =
						 strdup(entry->address[i])) != NULL;
	if (network && network_address6(network, entry->mac, own))
		whole &= (spec->announced[spec->announceds++] = strdup(own)) != NULL;
	return whole ? 0 : error_nomem(err);
}

/* One of those that are opened together. */
struct opened_link {
	struct filtered_link entry;
	struct link bridge;
	struct tap_port port;
	bool has, filtered;
};

static int make(const struct guest *guest, unsigned vif, struct opened_link *at,
	struct net_spec *spec, struct error *err)
{
	const struct domain_vif *config = &guest->config.vif[vif];
	const enum script_kind kind = script_kind(config);
	struct filtered_link *entry = &at->entry;
	int r = kind == SCRIPT_BRIDGE || kind == SCRIPT_NAT
		? plan_port(guest, vif, &at->bridge, &at->port, err)
		: 0;

	if (!r)
		r = lease(guest, vif, entry, err);
	if (!r && guest_is_container(guest))
		r = write_pair(guest, entry->tap, err);
	if (!r)
		r = make_link(guest, vif, entry, spec, err);
	if (!r)
		r = filtered_add_addresses(config->ip, entry->address, &entry->addresses, err);
	if (!r && guest->arriving)
		r = announce(guest, vif, entry, spec, err);
	at->filtered = config->filter != CHOICE_NO;
	if (!r && at->filtered)
		r = add_others(guest, links_bridge(guest, vif), at->bridge.index, entry, err);
	return !r && at->filtered ? write_link(guest, entry, err) : r;
}

static int join(const struct guest *guest, unsigned vif, struct opened_link *at,
	struct net_spec *spec, struct error *err)
{
	switch (script_kind(&guest->config.vif[vif])) {
	case SCRIPT_OWN:
		return join_by_script(guest, vif, &at->entry, spec, err);
	case SCRIPT_ROUTE:
		return join_by_routes(guest, vif, &at->entry, err);
	default:
		return tap_join(at->entry.tap, &at->bridge, &at->port, err);
	}
}

/* Its bridge may not be there, for a reason that says more than that. */
static int check_network(const struct guest *guest, unsigned vif, struct error *err)
{
	const struct network *network = network_of(guest, vif);

	if (script_kind(&guest->config.vif[vif]) == SCRIPT_NAT &&
		(!network || network->config.mode != NETWORK_NAT))
		return error_set(err, EINVAL,
			"vifs[%u]: vif-nat is a network here: 'dach network create NAME' makes one, and "
			"bridge=NAME puts the guest on it",
			vif);
	if (network && !network->active)
		return error_set(err, EBUSY,
			"vifs[%u]: the network '%s' is off: dach network start %s", vif,
			network->config.name, network->config.name);
	return 0;
}

/* All of one but what filters it, and what it is to be joined to. */
static int open_one(const struct guest *guest, unsigned vif, struct opened_link *at,
	struct net_spec *spec, struct error *err)
{
	const enum script_kind kind = script_kind(&guest->config.vif[vif]);
	const char *name = links_bridge(guest, vif);
	struct error why = {""};
	char where[32];
	int r = check_owner(guest, vif, name, err);

	if (r)
		return r;
	snprintf(where, sizeof where, "vifs[%u]: ", vif);
	links_name(guest, vif, at->entry.tap);
	snprintf(at->entry.mac, sizeof at->entry.mac, "%s", spec->mac);
	r = check_network(guest, vif, err);
	if (!r && kind == SCRIPT_OWN)
		link_find(name, &at->bridge, NULL); /* it may be no bridge of the kernel's */
	else if (!r && name)
		r = link_find_bridge(where, name, &at->bridge, err);
	if (!r && guest->config.vif[vif].vifname)
		r = net_check_link(where, guest->config.vif[vif].vifname, err);
	if (!r && name)
		r = check_mac(guest, vif, name, err);
	/* One that is only kept, and not started, has no life that a link could be of. */
	if (r || !guest->domid)
		return r;
	at->has = true;
	spec->kind = NET_TAP;
	spec->mtu = guest->config.vif[vif].mtu ? guest->config.vif[vif].mtu : at->bridge.mtu;
	r = make(guest, vif, at, spec, &why);
	return r ? error_set(err, -r, "%s%s", where, why.text) : 0;
}

static int join_all(const struct guest *guest, unsigned first, unsigned count,
	struct opened_link *opening, struct net_spec *spec, struct error *err)
{
	const struct filtered_link *filtered[LIMIT_NETWORKS] = {NULL};
	struct error why = {""};
	unsigned filters = 0, named = 0, i;
	int r;

	for (i = 0; i < count; i++) {
		if (!opening[i].has || !opening[i].filtered)
			continue;
		if (!filters)
			named = i; /* the sentence has its link */
		filtered[filters++] = &opening[i].entry;
	}
	r = filtered_load(filtered, filters, &why);
	if (r)
		return error_set(err, -r, "vifs[%u]: %s", first + named, why.text);
	for (i = 0; !r && i < count; i++) {
		if (opening[i].has)
			r = join(guest, first + i, &opening[i], &spec[i], &why);
		if (r)
			error_set(err, -r, "vifs[%u]: %s", first + i, why.text);
	}
	return r;
}

int links_open(const struct guest *guest, unsigned first, unsigned count, struct net_spec *spec,
	struct error *err)
{
	struct opened_link *opening = calloc(count ? count : 1, sizeof *opening);
	int r = opening ? 0 : error_nomem(err);

	for (unsigned i = 0; !r && i < count; i++)
		if (links_has(guest, first + i))
			r = open_one(guest, first + i, &opening[i], &spec[i], err);
	if (!r)
		r = join_all(guest, first, count, opening, spec, err);
	for (unsigned i = 0; opening && i < count; i++)
		filtered_free(&opening[i].entry);
	free(opening);
	return r;
}
