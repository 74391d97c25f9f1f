/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file, or the JSON of a configuration: what is taken must survive a round trip. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "domain/config.h"
#include "host/cpuset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(struct domain_config *config)
{
	struct error err = {""};
	struct domain_config copy;
	json_t *first = NULL, *second = NULL;

	if (domain_config_complete(config, &err) || domain_config_to_json(config, &first, &err) ||
		domain_config_from_json(first, &copy, &err) ||
		domain_config_to_json(&copy, &second, &err) || !json_equal(first, second))
		abort();
	json_decref(first);
	json_decref(second);
	domain_config_free(&copy);
	domain_config_free(config);
}

static void try_json(const char *text, size_t size)
{
	json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	struct domain_config config;
	struct error err = {""};

	if (!json)
		return;
	if (!domain_config_from_json(json, &config, &err))
		round_trip(&config);
	else if (!err.text[0] || config.name || config.disk || config.vif)
		abort();
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct config_reader reader = {.folder = "/"};
	char *text = malloc(size + 1);
	const char *word = text;
	struct domain_config config;
	struct error err = {""};
	cpu_set_t set;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (text[0] == '{') {
		try_json(text, size);
	} else {
		if (!config_read("f", text, size, NULL, 0, &reader, &config, &err))
			round_trip(&config);
		else if (!err.text[0])
			abort();
		err.text[0] = 0;
		if (!config_read("f", "name='a'", 8, &word, 1, &reader, &config, &err))
			round_trip(&config);
		else if (!err.text[0])
			abort();
		cpuset_parse(text, NULL, &set, NULL);
	}
	free(text);
	return 0;
}
