/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>

json_t *json_parse(const char *text, size_t len, const char *what, struct error *err)
{
	json_error_t where;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);

	if (!json)
		error_set(err, EINVAL, "%s: line %d, column %d: %s", what, where.line, where.column,
			where.text);
	return json;
}

long long json_get_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

double json_get_float(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *json_get_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

bool json_get_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
