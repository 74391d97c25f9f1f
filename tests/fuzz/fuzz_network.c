/* SPDX-License-Identifier: Apache-2.0 */
/* A network's configuration, as an API client sends it or with the fuzzer's words in a field; the words behind --net. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "domain/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use_subnet(const char *text)
{
	struct network_subnet subnet;
	char address[NET_ADDRESS_TEXT + 1];

	if (!text || network_subnet_parse(text, &subnet))
		return;
	network_subnet_text(&subnet, false, address);
	network_subnet_text(&subnet, true, address);
	/* What it gives is in it. */
	for (uint32_t n = 1; n < 4; n++)
		if (network_subnet_nth(&subnet, n, address) &&
			network_subnet_number(&subnet, address) != n)
			abort();
}

/* What goes into nft's rules as it is has nothing that could be a word of theirs. */
static void use_destination(const char *text)
{
	bool ipv6;

	if (!net_check_destination(text, &ipv6) && text[strspn(text, "0123456789abcdefABCDEF.:/")])
		abort();
	/* Nor a name, for dnsmasq. */
	if (net_is_name(text) &&
		text[strspn(text,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")])
		abort();
}

static void use(const json_t *json)
{
	struct network_config config;
	struct error err = {""};

	if (!network_config_from_json(json, &config, &err)) {
		use_subnet(config.subnet);
		use_subnet(config.subnet6);
		for (unsigned i = 0; i < config.allows; i++)
			use_destination(config.allow[i]);
		network_config_free(&config);
	} else if (!*err.text) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const keys[] = {"name", "mode", "bridge", "subnet", "subnet6", "domain"};
	char *text = strndup((const char *)data, size);
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	struct net_spec spec;
	struct error err = {""};

	use(json);
	json_decref(json);
	json = json_pack("{s:s}", "name", "lan");
	if (json && size &&
		!json_object_set_new(json, keys[data[0] % 6], json_string(text + !!*text)))
		use(json);
	json_decref(json);
	json = json_pack("{s:s, s:[s]}", "name", "lan", "allow", text);
	if (json)
		use(json);
	json_decref(json);
	use_destination(text);
	use_subnet(text);
	if (!net_spec_parse(text, &spec, &err))
		net_spec_free(&spec);
	free(text);
	return 0;
}
