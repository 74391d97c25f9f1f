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
#include "daemon/network.h"
#include "daemon/script.h"
#include "links/filter.h"
#include "links/nat.h"
#include "links/route.h"
#include "links/tap.h"
#include "links/tables.h"
#include "links/veth.h"

#define FILE_NAME "links"
#define FILE_MAX (LIMIT_NETWORKS * ((LIMIT_ADDRESSES + LINK_ADDRESSES_MAX + 2) * 64u + 16384))
#define BRIDGE_DEFAULT "xenbr0" /* xl's */
#define BLANKS " \t"

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
	return !guest->daemon->root || vif->forwards || (vif->mode && !strcmp(vif->mode, "user"));
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

/* What is in the file for each: tap, MAC, then addresses, the card's own as they are, others' behind '-'. */
struct filtered_link {
	char tap[NET_LINK_TEXT + 1];
	char mac[NET_MAC_TEXT + 1];
	char *address[LIMIT_ADDRESSES], *other[LIMIT_ADDRESSES];
	unsigned addresses, others;
};

static int load(const struct filtered_link *entry, struct error *err)
{
	struct net_spec spec = {.kind = NET_TAP};
	uint8_t mac[NET_MAC_LEN];
	const struct filter filter = {entry->tap, mac, entry->address, entry->addresses,
		entry->other, entry->others};

	memcpy(spec.mac, entry->mac, sizeof spec.mac);
	if (!net_spec_mac(&spec, mac))
		return error_set(err, EINVAL, "%s: no MAC address", entry->tap);
	return filter_load(&filter, err);
}

static void free_link(struct filtered_link *entry)
{
	for (unsigned i = 0; i < entry->addresses; i++)
		free(entry->address[i]);
	for (unsigned i = 0; i < entry->others; i++)
		free(entry->other[i]);
}

static int add(char **list, unsigned *count, const char *text, struct error *err)
{
	if (*count == LIMIT_ADDRESSES)
		return error_set(err, EINVAL, "more than %u addresses", LIMIT_ADDRESSES);
	list[*count] = strdup(text);
	if (!list[*count])
		return error_nomem(err);
	(*count)++;
	return 0;
}

/* The words of ip=: addresses, blanks between them. */
static int add_addresses(const char *text, char **list, unsigned *count, struct error *err)
{
	char *copy = strdup(text ? text : ""), *save = NULL;
	int r = copy ? 0 : error_nomem(err);

	for (char *word = r ? NULL : strtok_r(copy, BLANKS, &save); word && !r;
		word = strtok_r(NULL, BLANKS, &save)) {
		char address[NET_ADDRESS_TEXT + 1];
		bool ipv6;

		r = net_read_address(word, address, &ipv6)
			? error_set(err, EINVAL, "ip: '%.100s' is not an address", word)
			: add(list, count, address, err);
	}
	free(copy);
	return r;
}

/* What is known to be others': the bridge's own addresses, and those of guests that run on it. */
static int add_others(const struct guest *guest, const struct link *bridge,
	struct filtered_link *entry, struct error *err)
{
	char address[LINK_ADDRESSES_MAX][NET_ADDRESS_TEXT + 1];
	int count = link_addresses(bridge->index, address, err), r = count < 0 ? count : 0;

	for (int i = 0; !r && i < count; i++)
		r = add(entry->other, &entry->others, address[i], err);
	for (const struct guest *at = guest->daemon->guests; at && !r; at = at->next)
		for (unsigned i = 0; i < at->config.vifs && at != guest && at->domid; i++) {
			const char *on = links_bridge(at, i);

			/* As many as there is room for. */
			if (on && !strcmp(on, bridge->name))
				add_addresses(at->config.vif[i].ip, entry->other, &entry->others,
					NULL);
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
	int fd, r = launch_open_file(guest, FILE_NAME, O_WRONLY | O_CREAT | O_APPEND, &fd, err);

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

/*
 * A pair of links does not go by itself while, or when, it is no container's: so this note of it is there before it is. What
 * filters it has a line of its own.
 */
#define PAIR '#'

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
	r = launch_open_file(guest, FILE_NAME, O_WRONLY | O_CREAT | O_APPEND, &fd, err);
	if (r)
		return r;
	r = dprintf(fd, "%c%s\n", PAIR, name) < 0 ? -errno : 0;
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
	return r || !*address ? r : add(entry->address, &entry->addresses, address, err);
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
	int fd, r = launch_open_file(guest, FILE_NAME, O_WRONLY | O_CREAT | O_APPEND, &fd, err);

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

static int make(const struct guest *guest, unsigned vif, const struct link *bridge,
	struct filtered_link *entry, struct net_spec *spec, struct error *err)
{
	const struct domain_vif *config = &guest->config.vif[vif];
	const enum script_kind kind = script_kind(config);
	struct tap_port port;
	int r = kind == SCRIPT_BRIDGE || kind == SCRIPT_NAT
		? plan_port(guest, vif, bridge, &port, err)
		: 0;

	if (!r)
		r = lease(guest, vif, entry, err);
	if (!r && guest_is_container(guest))
		r = write_pair(guest, entry->tap, err);
	if (!r)
		r = make_link(guest, vif, entry, spec, err);
	if (!r)
		r = add_addresses(config->ip, entry->address, &entry->addresses, err);
	if (!r && config->filter != CHOICE_NO) {
		r = add_others(guest, bridge, entry, err);
		if (!r)
			r = write_link(guest, entry, err);
		if (!r)
			r = load(entry, err);
	}
	if (r)
		return r;
	if (kind == SCRIPT_OWN)
		return join_by_script(guest, vif, entry, spec, err);
	return kind == SCRIPT_ROUTE ? join_by_routes(guest, vif, entry, err)
				    : tap_join(entry->tap, bridge, &port, err);
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

int links_open(const struct guest *guest, unsigned vif, struct net_spec *spec, struct error *err)
{
	const enum script_kind kind = script_kind(&guest->config.vif[vif]);
	const char *name = links_bridge(guest, vif);
	struct filtered_link entry = {.addresses = 0};
	struct link bridge = {.index = 0};
	struct error why = {""};
	char where[32];
	int r = check_owner(guest, vif, name, err);

	if (r)
		return r;
	snprintf(where, sizeof where, "vifs[%u]: ", vif);
	links_name(guest, vif, entry.tap);
	snprintf(entry.mac, sizeof entry.mac, "%s", spec->mac);
	r = check_network(guest, vif, err);
	if (!r && kind == SCRIPT_OWN)
		link_find(name, &bridge, NULL); /* it may be no bridge of the kernel's */
	else if (!r && name)
		r = link_find_bridge(where, name, &bridge, err);
	if (!r && guest->config.vif[vif].vifname)
		r = net_check_link(where, guest->config.vif[vif].vifname, err);
	if (!r && name)
		r = check_mac(guest, vif, name, err);
	if (r)
		return r;
	/* One that is only kept, and not started, has no life that a link could be of. */
	if (!guest->domid)
		return 0;
	spec->kind = NET_TAP;
	spec->mtu = guest->config.vif[vif].mtu ? guest->config.vif[vif].mtu : bridge.mtu;
	r = make(guest, vif, &bridge, &entry, spec, &why);
	free_link(&entry);
	return r ? error_set(err, -r, "%s%s", where, why.text) : 0;
}

/* Its file's lines; free() afterwards, NULL: there is none. */
static char *read_links(const struct guest *guest)
{
	char *text = NULL;
	size_t size;
	int fd;

	if (launch_open_file(guest, FILE_NAME, O_RDONLY, &fd, NULL))
		return NULL;
	if (io_read_file(fd, FILE_MAX, &text, &size))
		text = NULL;
	close(fd);
	return text;
}

struct each {
	const struct guest *guest;
	const char *list; /* the tables that there are; NULL: not asked */
	unsigned count;   /* that were loaded */
};

static void each_line(struct each *each, void (*act)(struct each *each, char *line))
{
	char *text = read_links(each->guest), *rest = text, *line;

	while (text && (line = strsep(&rest, "\n")))
		if (*line)
			act(each, line);
	free(text);
}

/* While the link is there, if it still is. */
static void run_offline(struct each *each, char *line)
{
	struct error err = {""};

	if (*line == SCRIPT_NOTE && script_leave(line, &err))
		guest_log(each->guest, "the script of its link has failed", err.text);
}

static void remove_line(struct each *each, char *line)
{
	struct link link;
	struct error err = {""};

	if (*line == SCRIPT_NOTE)
		return;
	line[strcspn(line, " ")] = 0;
	if (*line == PAIR) {
		if (!net_check_link("", line + 1, NULL) && veth_remove(line + 1, &err))
			guest_log(each->guest, "its link stays", err.text);
		return;
	}
	/* Where there is such a link again, it is another's, and so is its filter. */
	if (!net_check_link("", line, NULL) && link_find(line, &link, NULL) == -ENODEV &&
		filter_remove(line, &err))
		guest_log(each->guest, "what filtered its link stays", err.text);
}

void links_remove(const struct guest *guest)
{
	each_line(&(struct each){guest, NULL, 0}, run_offline);
	each_line(&(struct each){guest, NULL, 0}, remove_line);
	launch_remove_file(guest, FILE_NAME);
}

void links_drop(const struct guest *guest, const char *name)
{
	char *text = read_links(guest), *rest = text, *line;
	const size_t len = strlen(name);
	struct error err = {""};
	int fd = -1, r = text ? launch_open_file(guest, FILE_NAME, O_WRONLY, &fd, &err) : 0;

	while (!r && text && (line = strsep(&rest, "\n"))) {
		const size_t size = strlen(line);

		const bool script = *line == SCRIPT_NOTE;

		if (strncmp(line + script, name, len) || line[len + script] != ' ')
			continue;
		(script ? run_offline : remove_line)(&(struct each){guest, NULL, 0}, line);
		/* Lines of nothing in its place: the others are there at any moment. */
		memset(line, '\n', size);
		r = io_pwrite_all(fd, line, size, line - text);
		if (r)
			error_set(&err, -r, "%s", strerror(-r));
	}
	if (r)
		guest_log(guest, "what it has of links cannot be noted", err.text);
	if (fd >= 0)
		close(fd);
	free(text);
}

static void restore_line(struct each *each, char *line)
{
	struct filtered_link entry = {.addresses = 0};
	struct error err = {""};
	struct link link;
	char *save = NULL, *word = strtok_r(line, " ", &save);

	if (*line == PAIR || *line == SCRIPT_NOTE)
		return;
	snprintf(entry.tap, sizeof entry.tap, "%s", word ? word : "");
	word = strtok_r(NULL, " ", &save);
	snprintf(entry.mac, sizeof entry.mac, "%s", word ? word : "");
	while ((word = strtok_r(NULL, " ", &save)))
		add_addresses(word + (*word == '-'), *word == '-' ? entry.other : entry.address,
			*word == '-' ? &entry.others : &entry.addresses, NULL);
	if (!net_check_link("", entry.tap, NULL) && !link_find(entry.tap, &link, NULL) &&
		!(each->list && tables_has(each->list, "netdev", entry.tap))) {
		if (load(&entry, &err))
			guest_log(each->guest, "nothing filters its link", err.text);
		each->count++;
	}
	free_link(&entry);
}

unsigned links_mend(const struct guest *guest, const char *list)
{
	struct each each = {guest, list, 0};

	each_line(&each, restore_line);
	return each.count;
}

void links_sweep(struct daemon *daemon)
{
	struct error err = {""};

	if (daemon->root && filter_sweep(&err))
		log_add(&daemon->log, "links that are gone may still be filtered: %s", err.text);
}
