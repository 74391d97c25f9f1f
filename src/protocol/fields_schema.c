/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fields_read() takes, as a schema of OpenAPI 3.0. Lengths there are of
 * characters, ours of bytes: whatever is longer than a schema allows is refused here too, not the reverse.
 */
#include <string.h>

#include "protocol/fields.h"

static json_t *names_schema(const struct field *field)
{
	json_t *names = json_array();

	for (unsigned n = 0; field->names[n]; n++)
		if (field->kind == FIELD_ENUM || field->max & 1u << n)
			json_array_append_new(names, json_string(field->names[n]));
	return json_pack("{s:s, s:o}", "type", "string", "enum", names);
}

static json_t *string_schema(uint64_t min, uint64_t max)
{
	json_t *schema = json_pack("{s:s}", "type", "string");

	if (min)
		json_object_set_new(schema, "minLength", json_integer(min));
	json_object_set_new(schema, "maxLength", json_integer(max));
	return schema;
}

static json_t *list_schema(const struct field *field, json_t *items)
{
	return json_pack("{s:s, s:I, s:o}", "type", "array", "maxItems", (json_int_t)field->max,
		"items", items);
}

static json_t *integer_schema(const struct field *field)
{
	return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)field->min,
		"maximum", (json_int_t)field->max);
}

static json_t *kind_schema(const struct field *field)
{
	json_t *items;

	switch (field->kind) {
	case FIELD_STRING:
		return string_schema(field->min, field->max);
	case FIELD_TEXT:
		/* In any form that its reader takes. */
		return json_pack("{s:s, s:s*}", "type", "string", "pattern", field->pattern);
	case FIELD_NUMBER:
	case FIELD_COUNT:
	case FIELD_FD:
		return integer_schema(field);
	case FIELD_BOOL:
	case FIELD_CHOICE:
		return json_pack("{s:s}", "type", "boolean");
	case FIELD_ENUM:
		return names_schema(field);
	case FIELD_SET:
		items = names_schema(field);
		return json_pack("{s:s, s:o}", "type", "array", "items", items);
	case FIELD_STRINGS:
		return list_schema(field, string_schema(0, field->min));
	case FIELD_LIST:
		return list_schema(field, fields_schema(field->element));
	case FIELD_STRUCT:
		return fields_schema(field->element);
	case FIELD_OBJECT:
	case FIELD_PART: /* its fields are taken by themselves */
		break;
	}
	return json_pack("{s:s}", "type", "object");
}

/* A default out of bounds means "left out", and is nothing that could be written. */
static void add_default(const struct field *field, json_t *schema)
{
	json_t *preset = NULL;

	if (field->needed)
		return;
	if (field->kind == FIELD_STRING && field->text && strlen(field->text) >= field->min)
		preset = json_string(field->text);
	else if (field->kind == FIELD_BOOL)
		preset = json_boolean(field->number);
	else if (field->kind == FIELD_ENUM)
		preset = json_string(field->names[field->number]);
	else if ((field->kind == FIELD_NUMBER || field->kind == FIELD_COUNT) &&
		field->number >= field->min && field->number <= field->max)
		preset = json_integer(field->number);
	if (preset)
		json_object_set_new(schema, "default", preset);
}

/* Also a string whose default is none that is taken. */
static bool must_be_there(const struct field *field)
{
	return field->needed ||
		(field->kind == FIELD_STRING && field->text && strlen(field->text) < field->min);
}

static void add_fields(const struct field *fields, json_t *properties, json_t *required)
{
	for (const struct field *field = fields; field->key; field++) {
		json_t *schema;

		if (field->kind == FIELD_PART) {
			add_fields(field->element, properties, required);
			continue;
		}
		schema = kind_schema(field);
		if (field->help)
			json_object_set_new(schema, "description", json_string(field->help));
		add_default(field, schema);
		json_object_set_new(properties, field->key, schema);
		if (must_be_there(field))
			json_array_append_new(required, json_string(field->key));
	}
}

json_t *fields_schema(const struct field *fields)
{
	json_t *properties = json_object(), *required = json_array(), *schema;

	add_fields(fields, properties, required);
	schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
		"additionalProperties", 0);
	if (json_array_size(required))
		json_object_set(schema, "required", required);
	json_decref(required);
	return schema;
}
