/* SPDX-License-Identifier: Apache-2.0 */
/* The host's networks that the daemon keeps. */
#include <stdio.h>
#include <string.h>

#include "cli/call.h"
#include "cli/cli.h"
#include "protocol/network.h"

#define NETWORKS "/v1/networks"
#define PATH_SIZE 512

enum {
	MODE = 1,
	SUBNET,
	SUBNET6,
	BRIDGE,
	DOMAIN,
	MTU,
	NO_AUTOSTART,
	NO_START,
	AUTOSTART,
	ALLOW,
	VLAN,
	ISOLATED
};

static const struct option_spec create_options[] = {
	{"mode", MODE, "nat|route|isolated|bridge", "what guests reach (nat)"},
	{"subnet", SUBNET, "ADDRESS/BITS", "of IPv4, as 10.5.0.0/24 (one that is free)"},
	{"subnet6", SUBNET6, "ADDRESS/64", "of IPv6, as fd05::/64"},
	{"bridge", BRIDGE, "NAME", "of mode bridge: the bridge of this host that it is"},
	{"domain", DOMAIN, "NAME", "in which guests have their names (that of the network)"},
	{"mtu", MTU, "N", "of its guests' interfaces (1500)"},
	{"allow", ALLOW, "ADDRESS[/BITS]|NAME", "all that guests reach beyond it; may be repeated"},
	{"vlan", VLAN, "N", "of mode bridge: the VLAN that its guests are in"},
	{"isolated", ISOLATED, "on|off", "guests do not reach each other (off)"},
	{"no-autostart", NO_AUTOSTART, NULL, "do not start it with the host"},
	{"no-start", NO_START, NULL, "nor now"},
	{NULL, 0, NULL, NULL},
};

static const struct option_spec edit_options[] = {
	{"mode", MODE, "nat|route|isolated|bridge", "what guests reach"},
	{"subnet", SUBNET, "ADDRESS/BITS|none", "of IPv4"},
	{"subnet6", SUBNET6, "ADDRESS/64|none", "of IPv6"},
	{"bridge", BRIDGE, "NAME|none", "of mode bridge: the bridge of this host that it is"},
	{"domain", DOMAIN, "NAME|none", "in which guests have their names"},
	{"mtu", MTU, "N", "of its guests' interfaces"},
	{"allow", ALLOW, "ADDRESS[/BITS]|NAME|any",
		"all that guests reach beyond it, in place of what was; may be repeated"},
	{"vlan", VLAN, "N|none", "of mode bridge: the VLAN that its guests are in"},
	{"isolated", ISOLATED, "on|off", "guests do not reach each other"},
	{"autostart", AUTOSTART, "on|off", "start it with the host, or not"},
	{NULL, 0, NULL, NULL},
};

/* In a path: what a name can have needs no escape, and what it cannot finds nothing. body is taken. */
static int ask(struct cli *cli, const char *method, const char *suffix, json_t *body,
	json_t **network)
{
	char path[PATH_SIZE];

	if (cli->words[0][strspn(cli->words[0],
		    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ||
		strlen(cli->words[0]) > 127) {
		json_decref(body);
		return cli_say(cli, "there is no network '%.64s'", cli->words[0]);
	}
	snprintf(path, sizeof path, NETWORKS "/%s%s", cli->words[0], suffix);
	return call_api(cli, method, path, body, network);
}

static void warn(const struct cli *cli, const json_t *network)
{
	const json_t *warning;
	size_t i;

	json_array_foreach(json_object_get(network, "warnings"), i, warning)
		fprintf(stderr, "WARNING: %s: %s\n", cli->words[0], json_string_value(warning));
}

/* Of a verb that changes one. */
static int act(struct cli *cli, const char *method, const char *suffix)
{
	json_t *network = NULL;
	int status;

	if (!cli_words(cli))
		return cli->status;
	status = ask(cli, method, suffix, NULL, &network);
	if (!status && network && cli->json)
		call_print(network);
	if (!status && network && strcmp(method, "DELETE"))
		warn(cli, network);
	json_decref(network);
	return status;
}

static int put_allow(json_t *config, const char *value)
{
	json_t *list = json_object_get(config, "allow");

	if (!list)
		json_object_set_new(config, "allow", list = json_array());
	return strcmp(value, "any") ? json_array_append_new(list, json_string(value)) : 0;
}

static int put_switch(struct cli *cli, const char *key, json_t *config)
{
	if (strcmp(cli->value, "on") && strcmp(cli->value, "off"))
		return cli_say(cli, "--%s is on or off", key);
	return json_object_set_new(config, key, json_boolean(!strcmp(cli->value, "on")));
}

static int put_number(struct cli *cli, const char *key, uint64_t max, json_t *config)
{
	char option[16];
	struct error err = {""};
	uint64_t number;

	snprintf(option, sizeof option, "--%s", key);
	if (option_number(option, cli->value, 1, max, &number, &err))
		return cli_fail(cli, &err);
	return json_object_set_new(config, key, json_integer((json_int_t)number));
}

/* An option of create or edit into the configuration. */
static int put_option(struct cli *cli, int id, bool edits, json_t *config)
{
	static const char *const keys[] = {[MODE] = "mode",
		[SUBNET] = "subnet",
		[SUBNET6] = "subnet6",
		[BRIDGE] = "bridge",
		[DOMAIN] = "domain"};
	const bool none = edits && !strcmp(cli->value ? cli->value : "", "none");

	switch (id) {
	case NO_AUTOSTART:
		return json_object_set_new(config, "autostart", json_false());
	case AUTOSTART:
		return put_switch(cli, "autostart", config);
	case ISOLATED:
		return put_switch(cli, "isolated", config);
	case ALLOW:
		return put_allow(config, cli->value);
	case MTU:
		return put_number(cli, "mtu", NET_MTU_MAX, config);
	case VLAN:
		return none ? json_object_set_new(config, "vlan", json_null())
			    : put_number(cli, "vlan", NET_VLAN_MAX, config);
	}
	return json_object_set_new(config, keys[id], none ? json_null() : json_string(cli->value));
}

static int show_change(struct cli *cli, const json_t *network, bool subnet)
{
	const char *text = json_get_text(json_object_get(network, "config"), "subnet");

	if (cli->json)
		call_print(network);
	else if (subnet && *text)
		printf("%s %s\n", cli->words[0], text);
	warn(cli, network);
	return 0;
}

static int network_create(struct cli *cli)
{
	json_t *config = json_object(), *body = json_object(), *network = NULL;
	int id, status = 0;

	json_object_set_new(body, "config", config);
	while (!status && (id = cli_option(cli)) > 0) {
		if (id == NO_START)
			json_object_set_new(body, "start", json_false());
		else
			status = put_option(cli, id, false, config);
	}
	if (status || id == CLI_END) {
		json_decref(body);
		return status ? status : cli->status;
	}
	json_object_set_new(config, "name", json_string(cli->words[0]));
	status = call_api(cli, "POST", NETWORKS, body, &network);
	if (!status && network)
		show_change(cli, network, true);
	json_decref(network);
	return status;
}

static int network_edit(struct cli *cli)
{
	json_t *config = json_object(), *network = NULL;
	int id, status = 0;

	while (!status && (id = cli_option(cli)) > 0)
		status = put_option(cli, id, true, config);
	if (!status && id != CLI_END && !json_object_size(config))
		status = cli_say(cli, "nothing is to be changed: see dach network edit --help");
	if (status || id == CLI_END) {
		json_decref(config);
		return status ? status : cli->status;
	}
	status = ask(cli, "PUT", "", json_pack("{s:o}", "config", config), &network);
	if (!status && network)
		show_change(cli, network, false);
	json_decref(network);
	return status;
}

static const char *or_none(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return *text ? text : "-";
}

static int network_list(struct cli *cli)
{
	json_t *all = NULL, *network;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = call_api(cli, "GET", NETWORKS, NULL, &all);
	if (!status && cli->json)
		call_print(json_object_get(all, "networks"));
	if (!status && !cli->json)
		printf("%-15s %-8s %-6s %-15s %-18s %s\n", "Name", "Mode", "Active", "Bridge",
			"IPv4", "IPv6");
	json_array_foreach(json_object_get(all, "networks"), i, network)
	{
		const json_t *config = json_object_get(network, "config");
		const char *mode = json_get_text(config, "mode");

		if (!cli->json && !status)
			printf("%-15s %-8s %-6s %-15s %-18s %s\n", json_get_text(config, "name"),
				*mode ? mode : "nat",
				json_is_true(json_object_get(network, "active")) ? "yes" : "no",
				json_get_text(network, "link"), or_none(config, "subnet"),
				or_none(config, "subnet6"));
	}
	json_decref(all);
	return status;
}

static int network_show(struct cli *cli)
{
	json_t *network = NULL, *lease, *allowed;
	const json_t *config;
	const char *mode, *domain;
	int status;
	size_t i;

	if (!cli_words(cli))
		return cli->status;
	status = ask(cli, "GET", "", NULL, &network);
	if (status || cli->json) {
		if (!status)
			call_print(network);
		json_decref(network);
		return status;
	}
	config = json_object_get(network, "config");
	mode = json_get_text(config, "mode");
	domain = json_get_text(config, "domain");
	printf("name: %s\nmode: %s\nactive: %s\nbridge: %s\nsubnet: %s\nsubnet6: %s\ndomain: %s\nautostart: %s\n",
		cli->words[0], *mode ? mode : "nat",
		json_is_true(json_object_get(network, "active")) ? "yes" : "no",
		json_get_text(network, "link"), or_none(config, "subnet"),
		or_none(config, "subnet6"), *domain ? domain : cli->words[0],
		json_is_false(json_object_get(config, "autostart")) ? "off" : "on");
	if (json_is_true(json_object_get(config, "isolated")))
		puts("isolated: on");
	if (json_get_number(config, "vlan"))
		printf("vlan: %d\n", (int)json_get_number(config, "vlan"));
	json_array_foreach(json_object_get(config, "allow"), i, allowed)
		printf("allow: %s\n", json_string_value(allowed));
	json_array_foreach(json_object_get(network, "leases"), i, lease)
		printf("lease: %s %s %s %s\n", json_get_text(lease, "mac"),
			or_none(lease, "address"), or_none(lease, "address6"),
			json_get_text(lease, "guest"));
	warn(cli, network);
	json_decref(network);
	return 0;
}

static int network_start(struct cli *cli)
{
	return act(cli, "POST", "/start");
}

static int network_stop(struct cli *cli)
{
	return act(cli, "POST", "/stop");
}

static int network_delete(struct cli *cli)
{
	return act(cli, "DELETE", "");
}

static const struct cli_verb verbs[] = {
	{"network create", "NETWORK", "make a network for guests, and start it", 1, 1,
		.options = create_options, .run = network_create},
	{"network list", "", "list the networks", 0, 0, .run = network_list},
	{"network show", "NETWORK", "show one, and which guest has which address", 1, 1,
		.run = network_show},
	{"network edit", "NETWORK", "change one", 1, 1, .options = edit_options,
		.run = network_edit},
	{"network start", "NETWORK", "start one, or mend one that is", 1, 1, .run = network_start},
	{"network stop", "NETWORK", "stop one that no guest is on", 1, 1, .run = network_stop},
	{"network delete", "NETWORK", "stop and forget one", 1, 1, .run = network_delete},
	{.name = NULL},
};

const struct cli_verb cli_network_verbs[] = {
	{"network", .words = "VERB", .help = "Make and change this host's networks for guests",
		.verbs = verbs},
	{.name = NULL},
};
