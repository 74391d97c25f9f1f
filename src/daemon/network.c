/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/network_set.h"
#include "links/route.h"
#include "links/link.h"

/* Where a network is put that names no subnet: 192.168.N.0/24. */
#define CHOICE_FIRST 150
#define CHOICE_LAST 249

const char *network_bridge(const struct network *network)
{
	return network->config.bridge ? network->config.bridge : network->config.name;
}

struct network *network_find(struct daemon *daemon, const char *name)
{
	struct network *at = daemon->networks;

	while (at && strcmp(at->config.name, name))
		at = at->next;
	return at;
}

static void network_free(struct network *network)
{
	struct network **at = &network->daemon->networks;

	while (*at && *at != network)
		at = &(*at)->next;
	if (*at)
		*at = network->next;
	network_config_free(&network->config);
	json_decref(network->leases);
	free(network);
}

void network_free_all(struct daemon *daemon)
{
	while (daemon->networks)
		network_free(daemon->networks);
}

/* By name. */
static void network_add(struct network *network)
{
	struct network **at = &network->daemon->networks;

	while (*at && strcmp((*at)->config.name, network->config.name) < 0)
		at = &(*at)->next;
	network->next = *at;
	*at = network;
}

static struct network *network_new(struct daemon *daemon, struct network_config *config)
{
	struct network *network = calloc(1, sizeof *network);

	if (network)
		network->leases = json_object();
	if (!network || !network->leases) {
		free(network);
		return NULL;
	}
	network->daemon = daemon;
	network->config = *config;
	memset(config, 0, sizeof *config);
	return network;
}

/* The store */

int network_save(const struct network *network, struct error *err)
{
	json_t *json = json_pack("{s:o, s:b, s:O}", "config",
		fields_write(network_config_fields, &network->config), "active", network->active,
		"leases", network->leases);
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int r = text ? store_save_network(network->daemon->store, network->config.name, text, err)
		     : error_nomem(err);

	free(text);
	json_decref(json);
	return r;
}

int network_load(struct daemon *daemon, const char *text, struct error *err)
{
	json_t *json = json_loads(text, 0, NULL), *leases;
	struct network_config config;
	struct network *network;
	int r = json ? network_config_from_json(json_object_get(json, "config"), &config, err)
		     : error_set(err, EUCLEAN, "not JSON");

	if (!r) {
		network = network_new(daemon, &config);
		if (!network) {
			network_config_free(&config);
			r = error_nomem(err);
		}
	}
	if (!r) {
		network->active = json_is_true(json_object_get(json, "active"));
		leases = json_object_get(json, "leases");
		if (json_is_object(leases))
			json_object_update(network->leases, leases);
		network_add(network);
	}
	json_decref(json);
	return r;
}

/* Subnets that are free */

struct overlap {
	const struct network_subnet *wanted;
	struct network_subnet found;
	int own; /* the link that may have it; 0: none */
};

static int overlaps(void *ctx, const struct host_route *route)
{
	struct overlap *overlap = ctx;
	struct network_subnet there = {.ipv6 = route->ipv6, .bits = route->bits};

	memcpy(there.address, route->address, sizeof there.address);
	if (!route->bits || (overlap->own && route->link == overlap->own) ||
		!network_subnets_overlap(overlap->wanted, &there))
		return 0;
	overlap->found = there;
	return 1;
}

/* own: the network that it is for, which may have it itself; NULL: a new one. */
static int check_free(const struct daemon *daemon, const struct network *own, const char *key,
	const char *text, struct error *err)
{
	struct network_subnet subnet, other;
	struct overlap overlap = {.wanted = &subnet};
	struct link bridge;
	char found[NET_ADDRESS_TEXT + 1];
	int r;

	if (!text)
		return 0;
	network_subnet_parse(text, &subnet);
	for (const struct network *at = daemon->networks; at; at = at->next) {
		const char *theirs = subnet.ipv6 ? at->config.subnet6 : at->config.subnet;

		if (at != own && theirs && !network_subnet_parse(theirs, &other) &&
			network_subnets_overlap(&subnet, &other))
			return error_set(err, EEXIST,
				"%s: %s overlaps %s, which is the network '%s'", key, text, theirs,
				at->config.name);
	}
	if (own && network_is_there(own) && !link_find(network_bridge(own), &bridge, NULL))
		overlap.own = bridge.index;
	r = route_each(overlaps, &overlap, err);
	if (r <= 0)
		return r;
	network_subnet_text(&overlap.found, true, found);
	return error_set(err, EEXIST, "%s: %s overlaps %s/%u, to which this host has a route", key,
		text, found, overlap.found.bits);
}

static int choose_subnet(const struct daemon *daemon, char **subnet, struct error *err)
{
	for (unsigned n = CHOICE_FIRST; n <= CHOICE_LAST; n++) {
		char text[32];

		snprintf(text, sizeof text, "192.168.%u.1/24", n);
		if (check_free(daemon, NULL, "", text, NULL))
			continue;
		*subnet = strdup(text);
		return *subnet ? 0 : error_nomem(err);
	}
	return error_set(err, ENOSPC,
		"subnet: name one; 192.168.%u.0/24 to 192.168.%u.0/24 are taken", CHOICE_FIRST,
		CHOICE_LAST);
}

static int settle_subnets(const struct daemon *daemon, const struct network *own,
	struct network_config *config, struct error *err)
{
	int r;

	if (config->mode != NETWORK_BRIDGE && !config->subnet && !config->subnet6)
		r = choose_subnet(daemon, &config->subnet, err);
	else
		r = check_free(daemon, own, "subnet", config->subnet, err);
	return r ? r : check_free(daemon, own, "subnet6", config->subnet6, err);
}

int network_create(struct daemon *daemon, struct network_config *config, struct network **out,
	struct error *err)
{
	struct network *network;
	int r;

	if (network_find(daemon, config->name))
		return error_set(err, EEXIST, "there is a network with the name '%s' already",
			config->name);
	r = settle_subnets(daemon, NULL, config, err);
	if (r)
		return r;
	network = network_new(daemon, config);
	if (!network)
		return error_nomem(err);
	network_add(network);
	r = network_save(network, err);
	if (r) {
		network_free(network);
		return r;
	}
	*out = network;
	return 0;
}

/* Up and down */

static int start(struct network *network, bool loaded, struct error *err)
{
	const bool was = network->active;
	int r = network_set_up(network, loaded, err);

	if (r)
		return r;
	network->active = true;
	r = network_save(network, err);
	if (r) {
		network->active = was;
		if (!was)
			network_take_down(network);
	}
	return r;
}

int network_start(struct network *network, struct error *err)
{
	return start(network, false, err);
}

static int check_unused(const struct network *network, struct error *err)
{
	const struct guest *guest = network_user(network);

	if (!guest)
		return 0;
	return error_set(err, EBUSY, "the guest '" GUEST_LABEL "' is on the network '%s'",
		guest->config.name, network->config.name);
}

int network_stop(struct network *network, struct error *err)
{
	const bool was = network->active;
	int r = check_unused(network, err);

	if (r)
		return r;
	network->active = false;
	r = network_save(network, err);
	if (r) {
		network->active = was;
		return r;
	}
	network_take_down(network);
	return 0;
}

/* Changing */

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* What a guest that is on it would miss. */
static bool is_rebuilt(const struct network_config *a, const struct network_config *b)
{
	return a->mode != b->mode || a->mtu != b->mtu || a->vlan != b->vlan ||
		a->isolated != b->isolated || !same(a->bridge, b->bridge) ||
		!same(a->subnet, b->subnet) || !same(a->subnet6, b->subnet6) ||
		!same(a->domain, b->domain);
}

static bool same_allowed(const struct network_config *a, const struct network_config *b)
{
	bool all = a->allows == b->allows;

	for (unsigned i = 0; all && i < a->allows; i++)
		all = same(a->allow[i], b->allow[i]);
	return all;
}

/* On the host, of one that is active. On failure it is as it was. */
static int rebuild(struct network *network, struct network_config *config, bool whole,
	struct error *err)
{
	const struct network_config was = network->config;
	struct error again = {""};
	int r;

	if (whole && network->active)
		network_take_down(network);
	network->config = *config;
	if (!network->active)
		return 0;
	r = whole ? network_set_up(network, false, err)
		: config->mode == NETWORK_BRIDGE
		? 0
		: network_load_rules(network, same_allowed(&was, config), err);
	if (!r)
		return 0;
	network->config = was;
	if (whole                                    ? network_set_up(network, false, &again)
			: was.mode == NETWORK_BRIDGE ? 0
						     : network_load_rules(network, false, &again))
		log_add(&network->daemon->log, "network %s: cannot be put together again: %s",
			was.name, again.text);
	return r;
}

int network_edit(struct network *network, struct network_config *config, struct error *err)
{
	struct network_config was = network->config;
	const bool whole = is_rebuilt(&was, config);
	struct error ignored = {""};
	int r = 0;

	if (whole)
		r = check_unused(network, err);
	if (!r && whole)
		r = settle_subnets(network->daemon, network, config, err);
	if (!r)
		r = rebuild(network, config, whole, err);
	if (r)
		return r;
	r = network_save(network, err);
	if (r) {
		rebuild(network, &was, whole, &ignored);
		network->config = was;
		return r;
	}
	network_config_free(&was);
	memset(config, 0, sizeof *config);
	return 0;
}

int network_delete(struct network *network, struct error *err)
{
	int r = check_unused(network, err);

	/* In this order: of one that was forgotten first nobody would take away what is left. */
	if (!r)
		network_take_down(network);
	if (!r)
		r = store_save_network(network->daemon->store, network->config.name, NULL, err);
	if (!r)
		network_free(network);
	return r;
}

int network_restore(struct daemon *daemon, bool boot)
{
	int r;

	for (struct network *at = daemon->networks; at && boot; at = at->next)
		at->active = at->config.autostart;
	/* All at once, in place of what a daemon before may have loaded. */
	r = network_mend(daemon, NULL);
	for (struct network *at = daemon->networks; at && r != -ETIMEDOUT; at = at->next) {
		struct error err = {""};

		r = at->active ? start(at, at->loaded, &err) : 0;
		if (r)
			log_add(&daemon->log, "network %s: cannot be started: %s", at->config.name,
				err.text);
		/* It was dnsmasq then, which is each network's own. */
		if (at->loaded)
			r = 0;
	}
	return r == -ETIMEDOUT ? r : 0;
}

int network_retry(struct daemon *daemon)
{
	for (struct network *at = daemon->networks; at; at = at->next) {
		struct error err = {""};
		int r;

		if (!at->active || network_is_there(at))
			continue;
		r = network_start(at, &err);
		if (!r)
			log_add(&daemon->log, "network %s: is started", at->config.name);
		/* The next would be as slow; and the daemon waits for each. */
		if (r == -ETIMEDOUT)
			return at->loaded ? 0 : r;
	}
	return 0;
}
