/* SPDX-License-Identifier: Apache-2.0 */
/* doc/openapi.json, and values beside its schemas: as much of OpenAPI 3.0 as stands there. */
#ifndef DACH_TESTS_UNIT_OPENAPI_RIG_H
#define DACH_TESTS_UNIT_OPENAPI_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static inline json_t *openapi_load(void)
{
	json_error_t where;
	json_t *api = json_load_file(TEST_SOURCE_DIR "/../../doc/openapi.json",
		JSON_REJECT_DUPLICATES, &where);

	if (!api)
		fail_msg("doc/openapi.json: line %d: %s", where.line, where.text);
	return api;
}

static inline json_t *openapi_schema(const json_t *api, const char *name)
{
	json_t *schemas = json_object_get(json_object_get(api, "components"), "schemas");
	json_t *schema = json_object_get(schemas, name);

	if (!schema)
		fail_msg("doc/openapi.json: there is no schema %s", name);
	return schema;
}

static inline bool openapi_has_type(const json_t *value, const char *type)
{
	return !strcmp(type, "object")     ? json_is_object(value)
		: !strcmp(type, "array")   ? json_is_array(value)
		: !strcmp(type, "string")  ? json_is_string(value)
		: !strcmp(type, "integer") ? json_is_integer(value)
		: !strcmp(type, "number")  ? json_is_number(value)
					   : json_is_boolean(value);
}

static inline void openapi_check_bounds(const json_t *schema, const json_t *value,
	const char *where)
{
	json_t *words = json_object_get(schema, "enum"), *least, *most;
	size_t i = 0, count = json_array_size(words);

	while (i < count && !json_equal(json_array_get(words, i), value))
		i++;
	if (words && i == count)
		fail_msg("%s: '%s' is none of its words", where, json_string_value(value));
	least = json_object_get(schema, "minimum");
	most = json_object_get(schema, "maximum");
	if ((least && json_number_value(value) < json_number_value(least)) ||
		(most && json_number_value(value) > json_number_value(most)))
		fail_msg("%s: %g is out of its bounds", where, json_number_value(value));
	most = json_object_get(schema, "maxLength");
	least = json_object_get(schema, "minLength");
	if ((most && json_string_length(value) > json_integer_value(most)) ||
		(least && json_string_length(value) < json_integer_value(least)))
		fail_msg("%s: '%s' is out of its bounds", where, json_string_value(value));
}

static inline void openapi_check(const json_t *api, const json_t *schema, const json_t *value,
	const char *where);

static inline void openapi_check_object(const json_t *api, const json_t *schema,
	const json_t *value, const char *where)
{
	json_t *properties = json_object_get(schema, "properties"), *required, *one;
	const char *key;
	char name[256];
	size_t i;

	json_object_foreach((json_t *)value, key, one)
	{
		json_t *property = json_object_get(properties, key);

		snprintf(name, sizeof name, "%s.%s", where, key);
		if (property)
			openapi_check(api, property, one, name);
		else if (json_is_false(json_object_get(schema, "additionalProperties")))
			fail_msg("%s: is not documented", name);
	}
	required = json_object_get(schema, "required");
	json_array_foreach(required, i, one)
	{
		if (!json_object_get(value, json_string_value(one)))
			fail_msg("%s.%s: is missing", where, json_string_value(one));
	}
}

/* Fails the test where the value is not as the schema says. where: what the value is called. */
static inline void openapi_check(const json_t *api, const json_t *schema, const json_t *value,
	const char *where)
{
	const char *reference = json_string_value(json_object_get(schema, "$ref"));
	const char *type = json_string_value(json_object_get(schema, "type"));
	char name[256];
	json_t *one;
	size_t i;

	if (json_is_null(value) && json_is_true(json_object_get(schema, "nullable")))
		return;
	if (reference) {
		openapi_check(api, openapi_schema(api, strrchr(reference, '/') + 1), value, where);
		return;
	}
	if (type && !openapi_has_type(value, type))
		fail_msg("%s: is no %s", where, type);
	openapi_check_bounds(schema, value, where);
	if (json_is_object(value))
		openapi_check_object(api, schema, value, where);
	json_array_foreach(value, i, one)
	{
		snprintf(name, sizeof name, "%s[%zu]", where, i);
		openapi_check(api, json_object_get(schema, "items"), one, name);
	}
}

#endif
