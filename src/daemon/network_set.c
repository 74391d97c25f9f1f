/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/network_set.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/folder.h"
#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/links.h"
#include "links/bridge.h"
#include "links/dns.h"
#include "links/named.h"
#include "links/nat.h"
#include "links/tables.h"

#define MARK "dach network"
/* A name that dnsmasq takes: what else a guest's name may have becomes '-'. */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
#define HOST_NAME_MAX_BYTES 63

/* dnsmasq is not root for long: what it reads again has to be in its reach, whatever our umask. */
static int make_public(const char *path, struct error *err)
{
	int r = folder_make(path, 0755, err);

	return r || !chmod(path, 0755) ? r : error_set(err, errno, "%s: %s", path, strerror(errno));
}

static int folder_of(const struct network *network, char path[PATH_MAX], bool make,
	struct error *err)
{
	const char *run = network->daemon->run;
	int r = 0;

	if (snprintf(path, PATH_MAX, "%s/networks", run) >= PATH_MAX - 32)
		return error_set(err, ENAMETOOLONG, "%s: path too long", run);
	if (make)
		r = make_public(run, err);
	if (!r && make)
		r = make_public(path, err);
	strcat(path, "/");
	strcat(path, network->config.name);
	return r || !make ? r : make_public(path, err);
}

/* "10.5.0.0/24" of "10.5.0.1/24". */
static const char *whole(const char *text, char to[NET_ADDRESS_TEXT + 8])
{
	struct network_subnet subnet;
	char address[NET_ADDRESS_TEXT + 1];

	if (!text || network_subnet_parse(text, &subnet))
		return NULL;
	network_subnet_text(&subnet, false, address);
	snprintf(to, NET_ADDRESS_TEXT + 8, "%s/%u", address, subnet.bits);
	return to;
}

static int add_address(const struct link *bridge, const char *text, struct error *err)
{
	struct network_subnet subnet;
	char address[NET_ADDRESS_TEXT + 1];

	if (!text || network_subnet_parse(text, &subnet))
		return 0;
	network_subnet_text(&subnet, true, address);
	return link_add_address(bridge, address, subnet.bits, err);
}

/* Names of its guests */

static void host_name(const char *guest, char to[HOST_NAME_MAX_BYTES + 1])
{
	const size_t label = strcspn(guest, ".");

	snprintf(to, HOST_NAME_MAX_BYTES + 1, "%.*s", (int)(label < 63 ? label : 63), guest);
	for (char *c = to; *c; c++)
		if (!strchr(NAME_CHARACTERS, *c))
			*c = '-';
	if (*to == '-' || !*to)
		snprintf(to, HOST_NAME_MAX_BYTES + 1, "guest");
}

static const struct guest *guest_of_mac(const struct network *network, const char *mac)
{
	for (const struct guest *at = network->daemon->guests; at; at = at->next)
		for (unsigned i = 0; i < at->config.vifs; i++)
			if (!strcmp(at->config.vif[i].mac, mac) && at->config.vif[i].bridge &&
				!strcmp(at->config.vif[i].bridge, network->config.name))
				return at;
	return NULL;
}

/* Those of guests that are no more are free again. */
static void drop_leases(struct network *network)
{
	const char *mac;
	void *next;
	json_t *value;

	json_object_foreach_safe(network->leases, next, mac, value)
	{
		if (!guest_of_mac(network, mac))
			json_object_del(network->leases, mac);
	}
}

bool network_address6(const struct network *network, const char *mac,
	char text[NET_ADDRESS_TEXT + 1])
{
	struct network_subnet subnet;
	struct net_spec spec = {.kind = NET_TAP};
	uint8_t bytes[NET_MAC_LEN];

	snprintf(spec.mac, sizeof spec.mac, "%s", mac);
	if (!network->config.subnet6 || network_subnet_parse(network->config.subnet6, &subnet) ||
		!net_spec_mac(&spec, bytes))
		return false;
	network_subnet_of_mac(&subnet, bytes, text);
	return true;
}

struct host_text {
	char name[HOST_NAME_MAX_BYTES + 1], address6[NET_ADDRESS_TEXT + 1];
};

/* The first guest of a name has it. */
static unsigned list_hosts(const struct network *network, struct dns_host *host,
	struct host_text *text)
{
	const char *mac;
	json_t *value;
	unsigned count = 0;

	json_object_foreach(network->leases, mac, value)
	{
		const struct guest *guest = guest_of_mac(network, mac);
		struct host_text *t = &text[count];

		if (!guest)
			continue;
		host_name(guest->config.name, t->name);
		for (unsigned i = 0; i < count; i++)
			if (!strcmp(text[i].name, t->name))
				snprintf(t->name, sizeof t->name, "dach-%.2s%.2s%.2s%.2s%.2s%.2s",
					mac, mac + 3, mac + 6, mac + 9, mac + 12, mac + 15);
		host[count] = (struct dns_host){.mac = mac,
			.name = t->name,
			.address = *json_string_value(value) ? json_string_value(value) : NULL,
			.address6 =
				network_address6(network, mac, t->address6) ? t->address6 : NULL};
		count++;
	}
	return count;
}

static int serve_names(struct network *network, struct error *err)
{
	const size_t most = json_object_size(network->leases) + 1;
	struct dns_host *host = calloc(most, sizeof *host);
	struct host_text *text = calloc(most, sizeof *text);
	const struct network_config *config = &network->config;
	char path[PATH_MAX], own[NET_ADDRESS_TEXT + 8], own6[NET_ADDRESS_TEXT + 8];
	struct dns dns = {.folder = path,
		.bridge = config->name,
		.domain = config->domain ? config->domain : config->name,
		.network = whole(config->subnet, own),
		.network6 = whole(config->subnet6, own6),
		.no_router = config->mode == NETWORK_ISOLATED,
		.allow = config->allow,
		.allows = config->allows,
		.host = host};
	int r = host && text ? folder_of(network, path, true, err) : error_nomem(err);

	own[strcspn(own, "/")] = 0;
	own6[strcspn(own6, "/")] = 0;
	if (!r) {
		dns.hosts = list_hosts(network, host, text);
		r = dns_serve(&dns, err);
	}
	free(host);
	free(text);
	return r;
}

/* Up and down */

struct nat_text {
	char own[NET_ADDRESS_TEXT + 8], own6[NET_ADDRESS_TEXT + 8];
};

static struct nat nat_of(const struct network *network, struct nat_text *text)
{
	return (struct nat){.bridge = network->config.name,
		.subnet = whole(network->config.subnet, text->own),
		.subnet6 = whole(network->config.subnet6, text->own6),
		.allow = network->config.allow,
		.allows = network->config.allows,
		.apart = network->config.isolated,
		.isolated = network->config.mode == NETWORK_ISOLATED,
		.masquerade = network->config.mode == NETWORK_NAT};
}

static int load_rules(struct network *network, bool keep, struct error *err)
{
	struct nat_text text;
	struct nat nat = nat_of(network, &text);
	int r;

	nat.keep = keep;
	r = nat_load(&nat, 1, err);
	network->loaded = !r;
	return r;
}

/* For dnsmasq, too, which is not to answer with what it has put in before. */
static void forget_names(const struct network *network, unsigned first, unsigned turns)
{
	char path[PATH_MAX];
	int r = 0;

	if (!named_any(network->config.allow, network->config.allows))
		return;
	for (unsigned i = 0; i < turns && !r; i++)
		r = named_forget(network->config.name, first + i);
	if (!r && !folder_of(network, path, false, NULL))
		dns_forget(path);
}

int network_load_rules(struct network *network, bool keep, struct error *err)
{
	int r = load_rules(network, keep, err);

	if (!r)
		r = serve_names(network, err);
	/* The dnsmasq of before went on until now, and knew the names of before. */
	if (!r && !keep)
		forget_names(network, 0, 2);
	return r;
}

void network_forget_names(struct daemon *daemon, unsigned turn)
{
	for (const struct network *at = daemon->networks; at; at = at->next)
		if (at->active)
			forget_names(at, turn, 1);
}

/* What is to be loaded of all networks, at once. */
struct network_mending {
	struct nat *nat;
	struct network **network; /* of each */
};

static int load_some(void *ctx, unsigned first, unsigned count, struct error *err)
{
	const struct network_mending *mending = ctx;

	return nat_load(mending->nat + first, count, err);
}

/* Of a slow nft the whole daemon's log tells once. */
static void told(void *ctx, unsigned i, int r, const char *text)
{
	const struct network_mending *mending = ctx;
	struct network *network = mending->network[i];

	network->loaded = !r;
	if (!r)
		forget_names(network, 0, 0); /* they may have been flushed */
	if (r && r != -ETIMEDOUT)
		log_add(&network->daemon->log, "network %s: its rules cannot be loaded: %s",
			network->config.name, text);
}

int network_mend(struct daemon *daemon, const char *list)
{
	unsigned count = 0, room = 0;
	struct nat_text *text;
	struct network_mending mending;
	int r;

	for (const struct network *at = daemon->networks; at; at = at->next)
		room++;
	text = calloc(room + 1, sizeof *text);
	mending.nat = calloc(room + 1, sizeof *mending.nat);
	mending.network = calloc(room + 1, sizeof *mending.network);
	for (struct network *at = daemon->networks; at; at = at->next) {
		at->loaded = false;
		if (text && mending.nat && mending.network && at->active &&
			at->config.mode != NETWORK_BRIDGE && network_is_there(at) &&
			!(list && tables_has(list, "inet", at->config.name))) {
			mending.nat[count] = nat_of(at, &text[count]);
			mending.nat[count].keep = true;
			mending.network[count++] = at;
		}
	}
	r = tables_load_many(count, load_some, told, &mending);
	free(text);
	free(mending.nat);
	free(mending.network);
	return r ? r : (int)count;
}

int network_set_up(struct network *network, bool loaded, struct error *err)
{
	const struct network_config *config = &network->config;
	const bool was = network_is_there(network);
	struct link bridge;
	int r;

	if (config->mode == NETWORK_BRIDGE)
		return link_find_bridge("", config->bridge, &bridge, err);
	r = bridge_make(config->name, MARK, config->mtu, &bridge, err);
	if (r)
		return r; /* it may be somebody else's */
	/* The rules first: nothing passes without them. */
	if (!loaded)
		r = load_rules(network, was, err);
	if (!r)
		r = add_address(&bridge, config->subnet, err);
	if (!r)
		r = add_address(&bridge, config->subnet6, err);
	if (!r && config->mode != NETWORK_ISOLATED)
		r = nat_forward(config->subnet6, err);
	if (!r)
		r = serve_names(network, err);
	if (r && !was)
		network_take_down(network);
	return r;
}

void network_take_down(struct network *network)
{
	struct daemon *daemon = network->daemon;
	struct error err = {""};
	char path[PATH_MAX];

	if (network->config.mode == NETWORK_BRIDGE)
		return;
	if (!folder_of(network, path, false, NULL))
		dns_end(path);
	/* The rules last. */
	if (bridge_remove(network->config.name, MARK, &err) ||
		nat_remove(network->config.name, &err))
		log_add(&daemon->log, "network %s: %s", network->config.name, err.text);
}

bool network_is_there(const struct network *network)
{
	struct link link;

	return !link_find(network_bridge(network), &link, NULL) &&
		(network->config.mode == NETWORK_BRIDGE || !strcmp(link.mark, MARK));
}

const struct guest *network_user(const struct network *network)
{
	for (const struct guest *at = network->daemon->guests; at; at = at->next)
		for (unsigned i = 0; i < at->config.vifs && at->domid; i++) {
			const char *bridge = links_bridge(at, i);

			if (bridge && !strcmp(bridge, network_bridge(network)))
				return at;
		}
	return NULL;
}

/* Addresses */

static bool is_taken(const struct network *network, const char *mac, const char *address)
{
	const char *other;
	json_t *value;

	json_object_foreach(network->leases, other, value)
	{
		if (strcmp(other, mac) && !strcmp(json_string_value(value), address))
			return true;
	}
	return false;
}

static int first_free(const struct network *network, const struct network_subnet *subnet,
	const char *mac, char address[NET_ADDRESS_TEXT + 1], struct error *err)
{
	char own[NET_ADDRESS_TEXT + 1];

	network_subnet_text(subnet, true, own);
	for (uint32_t n = 1; network_subnet_nth(subnet, n, address); n++)
		if (strcmp(address, own) && !is_taken(network, mac, address))
			return 0;
	return error_set(err, EADDRNOTAVAIL, "the network '%s' has no address left",
		network->config.name);
}

/* The one of ip= that is of this network. */
static bool named_address(const struct domain_vif *vif, const struct network_subnet *subnet,
	char address[NET_ADDRESS_TEXT + 1])
{
	char *copy = strdup(vif->ip ? vif->ip : ""), *save = NULL;
	bool found = false, ipv6;

	for (char *word = copy ? strtok_r(copy, " \t", &save) : NULL; word && !found;
		word = strtok_r(NULL, " \t", &save))
		found = !net_read_address(word, address, &ipv6) &&
			network_subnet_number(subnet, address);
	free(copy);
	return found;
}

static int choose(struct network *network, const struct domain_vif *vif,
	const struct network_subnet *subnet, char address[NET_ADDRESS_TEXT + 1], struct error *err)
{
	const char *had = json_string_value(json_object_get(network->leases, vif->mac));
	char own[NET_ADDRESS_TEXT + 1];

	network_subnet_text(subnet, true, own);
	if (named_address(vif, subnet, address)) {
		if (!strcmp(address, own) || is_taken(network, vif->mac, address))
			return error_set(err, EADDRINUSE,
				"the address %s of the network '%s' is %s", address,
				network->config.name,
				strcmp(address, own) ? "another guest's" : "this host's");
		return 0;
	}
	if (had && network_subnet_number(subnet, had) && !is_taken(network, vif->mac, had)) {
		snprintf(address, NET_ADDRESS_TEXT + 1, "%s", had);
		return 0;
	}
	return first_free(network, subnet, vif->mac, address, err);
}

int network_lease(struct network *network, const struct guest *guest, unsigned i,
	char address[NET_ADDRESS_TEXT + 1], struct error *err)
{
	const struct domain_vif *vif = &guest->config.vif[i];
	struct network_subnet subnet;
	const char *had;
	int r = 0;

	*address = 0;
	if (network->config.mode == NETWORK_BRIDGE)
		return 0;
	drop_leases(network);
	had = json_string_value(json_object_get(network->leases, vif->mac));
	if (network->config.subnet && !network_subnet_parse(network->config.subnet, &subnet))
		r = choose(network, vif, &subnet, address, err);
	if (!r && (!had || strcmp(had, address))) {
		if (json_object_set_new(network->leases, vif->mac, json_string(address)))
			r = error_nomem(err);
		else
			r = network_save(network, err);
	}
	return r ? r : serve_names(network, err);
}

bool network_leased(const struct network *network, const char *mac, const char **address,
	struct network_subnet *subnet)
{
	*address = json_string_value(json_object_get(network->leases, mac));
	return *address && **address && network->config.subnet &&
		!network_subnet_parse(network->config.subnet, subnet);
}

/* Telling */

static json_t *describe_leases(const struct network *network)
{
	json_t *list = json_array(), *value;
	const char *mac;

	json_object_foreach(network->leases, mac, value)
	{
		const struct guest *guest = guest_of_mac(network, mac);
		char address6[NET_ADDRESS_TEXT + 1];

		if (guest)
			json_array_append_new(list,
				json_pack("{s:s, s:s, s:s?, s:s?}", "mac", mac, "guest",
					guest->config.name, "address",
					*json_string_value(value) ? json_string_value(value) : NULL,
					"address6",
					network_address6(network, mac, address6) ? address6
										 : NULL));
	}
	return list;
}

static json_t *describe_warnings(const struct network *network, bool whole)
{
	json_t *list = json_array();
	char text[512], path[PATH_MAX], chain[200];

	if (!network->active)
		return list;
	if (!network_is_there(network)) {
		snprintf(text, sizeof text,
			"its bridge %s is gone; dach network start %s mends that",
			network_bridge(network), network->config.name);
		json_array_append_new(list, json_string(text));
	}
	if (network->config.mode == NETWORK_BRIDGE)
		return list;
	if (!folder_of(network, path, false, NULL) && !dns_runs(path)) {
		snprintf(text, sizeof text,
			"its dnsmasq has ended: no guest gets an address; dach network start %s mends that",
			network->config.name);
		json_array_append_new(list, json_string(text));
	}
	if (network->config.mode == NETWORK_ISOLATED || !whole)
		return list;
	nat_obstacle(network->config.name, chain, sizeof chain);
	if (*chain) {
		snprintf(text, sizeof text,
			"%s drops what this host passes on, this network's packets too, and no other table can "
			"overrule it: accept there what comes from and goes to %s",
			chain, network->config.name);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

json_t *network_describe(const struct network *network, bool whole)
{
	return json_pack("{s:o, s:b, s:s, s:o, s:o}", "config",
		fields_write(network_config_fields, &network->config), "active", network->active,
		"link", network_bridge(network), "leases", describe_leases(network), "warnings",
		describe_warnings(network, whole));
}
