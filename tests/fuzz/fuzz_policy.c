/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's policy: the fuzzer's bytes as they are, or, where the first is odd, a document that has its
 * keys and mostly values of their kind; then callers of whom it speaks.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/policy.h"
#include "from_fields.h"
#include "protocol/walls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rule {
	uint64_t guests, memory, vcpus;
	char **path;
	unsigned paths, walls;
	bool addresses, low_ports;
};

static const struct field rule_fields[] = {
	FIELD_ROW(NUMBER, rule, guests, .max = 1 << 24),
	FIELD_ROW(NUMBER, rule, memory, .max = 1 << 24),
	FIELD_ROW(NUMBER, rule, vcpus, .max = 1 << 24),
	FIELD_STRINGS_ROW("paths", rule, path, paths, 100, 5),
	FIELD_ROW(BOOL, rule, addresses),
	FIELD_ROW(BOOL, rule, low_ports),
	{.key = NULL},
};

static char *document(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"root", "nobody", "daemon", "bin", "ann", ""};
	struct from from = {data, size, 0};
	json_t *root = json_object();
	char *text;

	for (unsigned part = 0; part < 2 && from.size; part++) {
		json_t *rules = json_object();

		for (unsigned n = from_byte(&from) % 4; n; n--)
			json_object_set_new(rules, names[from_byte(&from) % 6],
				from_fields(&from, rule_fields));
		json_object_set_new(root, part ? "groups" : "users", rules);
	}
	if (from_byte(&from) & 1)
		json_object_set_new(root, "walls",
			from_byte(&from) & 1
				? json_pack("[s]", wall_words[from_byte(&from) % WALLS])
				: from_text(&from, 20));
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return text;
}

static void judge(const struct policy *policy, uid_t uid)
{
	struct caller caller = {.uid = uid, .gid = uid};

	caller_judge(policy, &caller);
	if (caller.user && !caller.manager) {
		if (caller_limit(&caller, "guests") < 0 || caller_limit(&caller, "memory") < 0)
			abort();
		caller_allows(&caller, "addresses");
		caller_path_allowed(&caller, "/srv/x");
		caller_path_allowed(&caller, "/");
	}
	caller_free(&caller);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy policy = {.managers = 77, .has_managers = true};
	struct error err = {""};
	char *text = size && data[0] & 1 ? document(data + 1, size - 1) : NULL;

	if (!policy_parse(&policy, text ? text : (const char *)data, text ? strlen(text) : size,
		    "policy", &err)) {
		judge(&policy, 1);
		judge(&policy, 65534);
		judge(&policy, 4000);
	}
	policy_free(&policy);
	free(text);
	return 0;
}
