/* SPDX-License-Identifier: Apache-2.0 */
#include "links/nat.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "links/named.h"
#include "links/program.h"
#include "links/route.h"
#include "links/tables.h"

#define CHAINS_MAX 16

/* Of each family: its own addresses only. */
static void put_sources(FILE *out, const struct nat *nat)
{
	if (nat->subnet)
		fprintf(out, "		iifname \"%s\" ip saddr != %s drop\n", nat->bridge,
			nat->subnet);
	else
		fprintf(out, "		iifname \"%s\" meta nfproto ipv4 drop\n", nat->bridge);
	if (nat->subnet6)
		fprintf(out, "		iifname \"%s\" ip6 saddr != %s drop\n", nat->bridge,
			nat->subnet6);
	else
		fprintf(out, "		iifname \"%s\" meta nfproto ipv6 drop\n", nat->bridge);
}

static void put_allowed(FILE *out, const struct nat *nat)
{
	for (unsigned i = 0; i < nat->allows; i++)
		if (!net_is_name(nat->allow[i]))
			fprintf(out, "		iifname \"%s\" %s daddr %s accept\n", nat->bridge,
				strchr(nat->allow[i], ':') ? "ip6" : "ip", nat->allow[i]);
}

/* No cloud's metadata or host's link (RFC 3927), unless it is asked for; all, unless there is a list. */
static void put_destinations(FILE *out, const struct nat *nat)
{
	if (nat->allows)
		fprintf(out, "		iifname \"%s\" ct state established,related accept\n",
			nat->bridge);
	put_allowed(out, nat);
	if (named_any(nat->allow, nat->allows))
		named_put_rules(out, nat->bridge);
	if (nat->allows)
		fprintf(out, "		iifname \"%s\" drop\n", nat->bridge);
	else
		named_put_refused(out, nat->bridge);
}

static void put_forward(FILE *out, const struct nat *nat)
{
	fputs("	chain forward {\n		type filter hook forward priority filter; policy accept;\n",
		out);
	/* Neighbours: only where a bridge's frames come by here at all (br_netfilter). */
	fprintf(out, "		iifname \"%s\" oifname \"%s\" %s\n", nat->bridge, nat->bridge,
		nat->apart ? "drop" : "accept");
	if (nat->isolated) {
		fprintf(out,
			"		iifname \"%s\" drop\n		oifname \"%s\" drop\n	}\n",
			nat->bridge, nat->bridge);
		return;
	}
	put_sources(out, nat);
	put_destinations(out, nat);
	if (nat->masquerade)
		fprintf(out,
			"		oifname \"%s\" ct state established,related accept\n"
			"		oifname \"%s\" drop\n",
			nat->bridge, nat->bridge);
	fputs("	}\n", out);
}

static void put_input(FILE *out, const struct nat *nat)
{
	fprintf(out,
		"	chain input {\n"
		"		type filter hook input priority filter; policy accept;\n"
		"		iifname != \"%s\" accept\n"
		"		ct state established,related accept\n"
		"		udp dport { 53, 67, 547 } accept\n"
		"		tcp dport 53 accept\n"
		"		icmp type echo-request accept\n"
		"		icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert, "
		"nd-router-solicit, mld-listener-report, mld2-listener-report, mld-listener-done } accept\n",
		nat->bridge);
	put_allowed(out, nat);
	fputs("		drop\n	}\n", out);
}

static void put_masquerade(FILE *out, const struct nat *nat)
{
	fputs("	chain postrouting {\n		type nat hook postrouting priority srcnat; policy accept;\n",
		out);
	if (nat->subnet)
		fprintf(out, "		ip saddr %s ip daddr != %s oifname != \"%s\" masquerade\n",
			nat->subnet, nat->subnet, nat->bridge);
	if (nat->subnet6)
		fprintf(out,
			"		ip6 saddr %s ip6 daddr != %s oifname != \"%s\" masquerade\n",
			nat->subnet6, nat->subnet6, nat->bridge);
	fputs("	}\n", out);
}

static void put_table(FILE *out, const char *list, const struct nat *nat)
{
	tables_put_begin(out, list, "inet", nat->bridge);
	if (named_any(nat->allow, nat->allows))
		named_put_sets(out, nat->bridge, nat->keep);
	put_forward(out, nat);
	if (nat->isolated || nat->allows)
		put_input(out, nat);
	if (nat->masquerade)
		put_masquerade(out, nat);
	fputs("}\n", out);
}

struct nats {
	const struct nat *nat;
	unsigned count;
};

static void put_tables(FILE *out, const char *list, const void *ctx)
{
	const struct nats *all = ctx;

	for (unsigned i = 0; i < all->count; i++)
		put_table(out, list, &all->nat[i]);
}

int nat_load(const struct nat *nat, unsigned count, struct error *err)
{
	const struct nats all = {nat, count};

	return count ? tables_load(put_tables, &all, err) : 0;
}

int nat_remove(const char *bridge, struct error *err)
{
	return tables_remove("inet", bridge, err);
}

/* A string in it, however deep, that is that name, or that begins as it does and ends in '*'. */
static bool has_name(json_t *in, const char *name)
{
	const char *text = json_string_value(in), *key;
	const size_t len = text ? strcspn(text, "*") : 0;
	bool has = text && (text[len] ? !strncmp(text, name, len) : !strcmp(text, name));
	json_t *value;
	size_t i;

	json_array_foreach(in, i, value)
	{
		has = has || has_name(value, name);
	}
	json_object_foreach(in, key, value)
	{
		has = has || has_name(value, name);
	}
	return has;
}

/* Something that a rule looks at or does speaks of that link: a table or a chain of its name does not. */
static bool is_of_link(const json_t *rule, const char *name)
{
	static const char *const keys[] = {"iifname", "oifname", "iif", "oif"};
	json_t *part;
	size_t i;

	json_array_foreach(json_object_get(rule, "expr"), i, part)
	{
		for (unsigned k = 0; k < sizeof keys / sizeof *keys; k++)
			if (has_name(part, keys[k]) && has_name(part, name))
				return true;
	}
	return false;
}

/* Does a rule of that chain's table name the bridge? It may be there to let it through. */
static bool is_named(const struct tables_chain *chain, const char *bridge)
{
	const char *const list[] = {"nft", "-j", "list", "table", chain->family, chain->table,
		NULL};
	const json_t *entry;
	char *said = NULL;
	json_t *whole;
	bool named = false;
	size_t i;

	if (program_run(list, NULL, &said, NULL))
		return true; /* it cannot be told */
	whole = json_loads(said ? said : "", 0, NULL);
	free(said);
	json_array_foreach(json_object_get(whole, "nftables"), i, entry)
	{
		named = named || is_of_link(json_object_get(entry, "rule"), bridge);
	}
	json_decref(whole);
	return named;
}

void nat_obstacle(const char *bridge, char *text, unsigned size)
{
	struct tables_chain chain[CHAINS_MAX];
	const unsigned count = tables_dropping(chain, CHAINS_MAX);

	*text = 0;
	for (unsigned i = 0; i < count && !*text; i++)
		if (!is_named(&chain[i], bridge))
			snprintf(text, size, "table %s %s, chain %s", chain[i].family,
				chain[i].table, chain[i].chain);
}

static int setting(const char *path, char *value, const char *wanted)
{
	int fd = open(path, (wanted ? O_RDWR : O_RDONLY) | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (read(fd, value, 1) != 1)
		r = -EIO;
	if (!r && wanted && *value != *wanted && pwrite(fd, wanted, 1, 0) != 1)
		r = -errno;
	close(fd);
	return r;
}

/* Who passes packets of IPv6 on listens to no routers, unless he is told to (accept_ra = 2). */
static int check_advertised(void *ctx, const struct host_route *route)
{
	char name[IF_NAMESIZE], path[128], value;
	struct error *err = ctx;

	if (!route->ipv6 || route->bits || !route->advertised || !if_indextoname(route->link, name))
		return 0;
	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_ra", name);
	if (setting(path, &value, NULL) || value != '1')
		return 0;
	return error_set(err, EBUSY,
		"to pass on IPv6, this host would forget the route to the world that it has from a router's "
		"advertisements on %s: sysctl net.ipv6.conf.%s.accept_ra=2 keeps it",
		name, name);
}

int nat_forward(bool ipv6, struct error *err)
{
	static const char v4[] = "/proc/sys/net/ipv4/ip_forward",
			  v6[] = "/proc/sys/net/ipv6/conf/all/forwarding";
	char value = '1';
	int r = setting(v4, &value, "1");

	if (r)
		return error_set(err, -r, "%s: %s", v4, strerror(-r));
	if (!ipv6)
		return 0;
	r = setting(v6, &value, NULL);
	if (!r && value == '1')
		return 0;
	if (!r) {
		int refused = route_each(check_advertised, err, err);

		if (refused)
			return refused;
		r = setting(v6, &value, "1");
	}
	return r ? error_set(err, -r, "%s: %s", v6, strerror(-r)) : 0;
}
