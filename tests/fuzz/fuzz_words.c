/* SPDX-License-Identifier: Apache-2.0 */
/* What people type: options, sizes, networks, names. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "domain/config.h"
#include "image/store.h"
#include "net/net.h"
#include "protocol/disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct option_spec specs[] = {
	{"flag", 1, NULL, ""},
	{"value", 2, "X", ""},
	{NULL, 0, NULL, NULL},
};

#define WORDS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *words[WORDS + 1] = {"verb"}, *at = text;
	struct option_scan scan = {1, words, 1, NULL, NULL};
	struct error err = {""};
	char mac[DOMAIN_MAC_LEN + 1], uuid[DOMAIN_UUID_LEN + 1];
	struct net_forward forward;
	struct disk_spec disk;
	struct net_spec spec;
	uint64_t number;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (!net_spec_parse(text, &spec, &err))
		net_spec_free(&spec);
	if (!disk_spec_parse(text, &disk, &err))
		disk_spec_free(&disk);
	net_forward_parse(text, &forward, &err);
	domain_mac_parse(text, mac);
	domain_uuid_parse(text, uuid);
	option_size("size", text, 1 << 20, &number, &err);
	option_number("number", text, 1, 64, &number, &err);
	image_check_name("image", text, &err);
	while (scan.argc <= WORDS && (at = strsep(&text, "\n")))
		words[scan.argc++] = at;
	for (unsigned n = 0; n < WORDS; n++)
		if (option_next(&scan, specs, &err) == OPTION_END)
			break;
	free(words[1]);
	return 0;
}
