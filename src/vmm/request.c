/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/request.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define VCPU_MAX 63
#define KIB_MAX (1ll << 32)

/* The keys beside id and do, which a NULL ends. */
static const struct {
	const char *name;
	const char *keys[3];
} verbs[REQUEST_VERBS] = {
	[REQUEST_INFO] = {"info", {NULL}},
	[REQUEST_PAUSE] = {"pause", {NULL}},
	[REQUEST_UNPAUSE] = {"unpause", {NULL}},
	[REQUEST_SHUTDOWN] = {"shutdown", {NULL}},
	[REQUEST_REBOOT] = {"reboot", {NULL}},
	[REQUEST_DESTROY] = {"destroy", {NULL}},
	[REQUEST_TRIGGER] = {"trigger", {"what", "vcpu", NULL}},
	[REQUEST_SYSRQ] = {"sysrq", {"key", NULL}},
	[REQUEST_MEMORY_SET] = {"memory-set", {"memory", NULL}},
	[REQUEST_DUMP_CORE] = {"dump-core", {"live", NULL}},
};

static int find_verb(json_t *root, enum request_verb *verb, struct error *err)
{
	const char *text = json_string_value(json_object_get(root, "do"));
	const char *key;
	json_t *value;

	for (*verb = 0; text && *verb < REQUEST_VERBS; (*verb)++)
		if (!strcmp(text, verbs[*verb].name))
			break;
	if (!text || *verb == REQUEST_VERBS)
		return error_set(err, EINVAL, "control: unknown request '%s'", text ? text : "");
	json_object_foreach(root, key, value)
	{
		const char *const *known = verbs[*verb].keys;

		if (!strcmp(key, "id") || !strcmp(key, "do"))
			continue;
		while (*known && strcmp(*known, key))
			known++;
		if (!*known)
			return error_set(err, EINVAL, "control: %s takes no '%s'",
				verbs[*verb].name, key);
	}
	return 0;
}

static bool in_range(json_t *value, json_int_t min, json_int_t max)
{
	return json_is_integer(value) && json_integer_value(value) >= min &&
		json_integer_value(value) <= max;
}

static int take_trigger(json_t *root, struct request *request, struct error *err)
{
	static const char *const names[] = {"nmi", "reset", "power"};
	const char *what = json_string_value(json_object_get(root, "what"));
	json_t *vcpu = json_object_get(root, "vcpu");
	unsigned i = 0;

	while (what && i < 3 && strcmp(what, names[i]))
		i++;
	if (!what || i == 3)
		return error_set(err, EINVAL, "control: trigger: what is nmi, reset or power");
	if (vcpu && !in_range(vcpu, 0, VCPU_MAX))
		return error_set(err, EINVAL, "control: trigger: no such processor");
	request->what = i;
	request->vcpu = json_integer_value(vcpu);
	return 0;
}

static int take_arguments(json_t *root, struct request *request, struct error *err)
{
	json_t *value;

	switch (request->verb) {
	case REQUEST_TRIGGER:
		return take_trigger(root, request, err);
	case REQUEST_SYSRQ:
		value = json_object_get(root, "key");
		if (json_string_length(value) != 1 || !isalnum(*json_string_value(value)))
			return error_set(err, EINVAL, "control: sysrq: key is one letter or digit");
		request->key = *json_string_value(value);
		return 0;
	case REQUEST_MEMORY_SET:
		value = json_object_get(root, "memory");
		if (!in_range(value, 1, KIB_MAX))
			return error_set(err, EINVAL, "control: memory-set: memory is in KiB");
		request->memory = json_integer_value(value);
		return 0;
	case REQUEST_DUMP_CORE:
		value = json_object_get(root, "live");
		request->live = json_is_true(value);
		if (value && !json_is_boolean(value))
			return error_set(err, EINVAL, "control: dump-core: live is true or false");
		return 0;
	default:
		return 0;
	}
}

int request_parse(const char *line, size_t len, struct request *request, struct error *err)
{
	json_error_t where;
	json_t *root, *id;
	int r;

	memset(request, 0, sizeof *request);
	if (len > REQUEST_MAX)
		return error_set(err, E2BIG, "control: a line of more than %u bytes", REQUEST_MAX);
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);
	if (!root)
		return error_set(err, EINVAL, "control: column %d: %s", where.column, where.text);
	id = json_object_get(root, "id");
	request->id = json_integer_value(id);
	if (!json_is_object(root))
		r = error_set(err, EINVAL, "control: not a JSON object");
	else if (id && !json_is_integer(id))
		r = error_set(err, EINVAL, "control: id is not a whole number");
	else
		r = find_verb(root, &request->verb, err);
	if (!r)
		r = take_arguments(root, request, err);
	json_decref(root);
	return r;
}
