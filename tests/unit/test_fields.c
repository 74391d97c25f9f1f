/* SPDX-License-Identifier: Apache-2.0 */
/* A structure by its table of fields: parts, words of a command line, copies, the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "protocol/fields.h"

struct inner {
	char *colour;
	unsigned legs;
};

struct outer {
	uint64_t weight;
	struct inner part;
	bool wild;
	unsigned size; /* an index of sizes[] */
	char letter[2];
	int fd;
	unsigned flags;
	char **name;
	unsigned names;
	struct inner *child;
	unsigned children;
	struct inner within;
	json_t *rest;
};

static const char *const sizes[] = {"small", "large", NULL};
static const char *const flags[] = {"none", "fur", "tail", NULL};

static int read_letter(const char *text, char *to)
{
	if (strlen(text) != 1)
		return -EINVAL;
	strcpy(to, text);
	return 0;
}

static const struct field inner_fields[] = {
	FIELD_ROW(STRING, inner, colour, .min = 1, .max = 10, .text = "grey"),
	FIELD_ROW(COUNT, inner, legs, .needed = true, .max = 100, .help = "how many it has"),
	{.key = NULL},
};

static const struct field outer_fields[] = {
	FIELD_ROW_AS(NUMBER, "weight_g", outer, weight, .min = 1, .max = 1000000),
	FIELD_PART_AT(outer, part, inner_fields),
	FIELD_ROW(BOOL, outer, wild, .number = true),
	FIELD_ROW(ENUM, outer, size, .names = sizes),
	FIELD_ROW(TEXT, outer, letter, .max = 1, .read = read_letter),
	FIELD_ROW(FD, outer, fd, .min = 4, .max = 9),
	FIELD_ROW(SET, outer, flags, .names = flags, .max = 6),
	FIELD_STRINGS_ROW("names", outer, name, names, 5, 2),
	FIELD_LIST_ROW("children", outer, child, children, inner_fields, 3),
	FIELD_STRUCT_ROW(outer, within, inner_fields),
	FIELD_ROW(OBJECT, outer, rest, .max = 100),
	{.key = NULL},
};

static int read_outer(const char *text, struct outer *to, struct error *err)
{
	json_t *json = json_parse(text, strlen(text), "text", err);
	int r;

	assert_non_null(json);
	memset(to, 0, sizeof *to);
	err->text[0] = '\0';
	assert_int_equal(fields_default(outer_fields, to), 0);
	r = fields_read(outer_fields, json, to, "", err);
	if (!r)
		r = fields_check(outer_fields, to, "", err);
	json_decref(json);
	return r;
}

static void refuses(const char *text, const char *says)
{
	struct outer outer;
	struct error err = {""};

	assert_int_equal(read_outer(text, &outer, &err), -EINVAL);
	assert_string_equal(err.text, says);
	fields_free(outer_fields, &outer);
}

/* A part's fields stand beside the others, and are refused, missed and defaulted as they are. */
static void a_part_stands_in_the_same_object(void **state)
{
	const char *text = "{\"weight_g\":7,\"colour\":\"red\",\"legs\":4,\"within\":{\"legs\":2}}";
	struct outer outer, copy = {0};
	struct error err = {""};
	void *in = &outer;
	const struct field *field;
	json_t *json;
	char *written;

	assert_int_equal(read_outer(text, &outer, &err), 0);
	assert_string_equal(outer.part.colour, "red");
	assert_int_equal(outer.part.legs, 4);
	assert_string_equal(outer.within.colour, "grey");
	json = fields_write(outer_fields, &outer);
	written = json_dumps(json, JSON_COMPACT);
	assert_string_equal(written, text);
	free(written);
	json_decref(json);

	field = fields_find(outer_fields, "legs", &in);
	assert_ptr_equal(field, &inner_fields[1]);
	assert_ptr_equal(in, &outer.part);
	assert_int_equal(field_number(field, in), 4);
	in = &outer;
	assert_null(fields_find(outer_fields, "wings", &in));

	assert_int_equal(fields_default(outer_fields, &copy), 0);
	assert_int_equal(fields_copy(outer_fields, &outer, &copy, &err), 0);
	assert_string_equal(copy.part.colour, "red");
	assert_ptr_not_equal(copy.part.colour, outer.part.colour);
	assert_int_equal(copy.weight, 7);
	fields_free(outer_fields, &copy);
	fields_free(outer_fields, &outer);

	refuses("{\"colour\":\"red\",\"within\":{\"legs\":2}}", "legs: is missing");
	refuses("{\"legs\":101}", "legs: 101 is not between 0 and 100");
	refuses("{\"legs\":1,\"wings\":2}", "wings: unknown key");
	refuses("{\"legs\":1,\"\":2}", ": unknown key");
	refuses("{\"legs\":1,\"within\":{\"legs\":1,\"colour\":\"\"}}", "within.colour: is empty");
}

static int read_word(struct outer *outer, const char *key, const char *word, struct error *err)
{
	void *in = outer;
	const struct field *field = fields_find(outer_fields, key, &in);

	err->text[0] = '\0';
	return field_read_word(field, word, in, "--x: ", err);
}

static void words_of_a_command_line(void **state)
{
	struct outer outer = {0};
	struct error err;

	assert_int_equal(fields_default(outer_fields, &outer), 0);
	outer.wild = false;
	assert_int_equal(read_word(&outer, "weight_g", "12", &err), 0);
	assert_int_equal(outer.weight, 12);
	assert_int_equal(read_word(&outer, "legs", "100", &err), 0);
	assert_int_equal(outer.part.legs, 100);
	assert_int_equal(read_word(&outer, "colour", "blue", &err), 0);
	assert_string_equal(outer.part.colour, "blue");
	assert_int_equal(read_word(&outer, "size", "large", &err), 0);
	assert_int_equal(outer.size, 1);
	assert_int_equal(read_word(&outer, "wild", NULL, &err), 0);
	assert_true(outer.wild);

	assert_int_equal(read_word(&outer, "weight_g", "0", &err), -EINVAL);
	assert_string_equal(err.text, "--x: weight_g: 0 is not between 1 and 1000000");
	for (unsigned n = 0; n < 5; n++) {
		const char *const bad[] = {"", "-1", "12a", "99999999999999999999", "0x10"};

		assert_int_equal(read_word(&outer, "legs", bad[n], &err), -EINVAL);
		assert_string_equal(err.text, "--x: legs: must be a whole number");
	}
	assert_int_equal(read_word(&outer, "size", "huge", &err), -EINVAL);
	assert_string_equal(err.text, "--x: size: unknown value 'huge'");
	assert_int_equal(read_word(&outer, "colour", "\xff", &err), -EINVAL);
	assert_string_equal(err.text, "--x: colour: is not valid UTF-8");
	fields_free(outer_fields, &outer);
}

static void the_schema_is_what_is_read(void **state)
{
	const char *inner =
		"{'type': 'object', 'properties': {"
		"'colour': {'type': 'string', 'minLength': 1, 'maxLength': 10, 'default': 'grey'},"
		"'legs': {'type': 'integer', 'minimum': 0, 'maximum': 100, 'description': 'how many it has'}},"
		"'additionalProperties': false, 'required': ['legs']}";
	json_t *schema = fields_schema(outer_fields), *expected, *part;
	char *text = NULL;

	assert_true(
		asprintf(&text,
			"{'type': 'object', 'properties': {"
			"'weight_g': {'type': 'integer', 'minimum': 1, 'maximum': 1000000},"
			"'colour': {'type': 'string', 'minLength': 1, 'maxLength': 10, 'default': 'grey'},"
			"'legs': {'type': 'integer', 'minimum': 0, 'maximum': 100,"
			"         'description': 'how many it has'},"
			"'wild': {'type': 'boolean', 'default': true},"
			"'size': {'type': 'string', 'enum': ['small', 'large'], 'default': 'small'},"
			"'letter': {'type': 'string'},"
			"'fd': {'type': 'integer', 'minimum': 4, 'maximum': 9},"
			"'flags': {'type': 'array', 'items': {'type': 'string', 'enum': ['fur', 'tail']}},"
			"'names': {'type': 'array', 'maxItems': 2, 'items': {'type': 'string', 'maxLength': 5}},"
			"'children': {'type': 'array', 'maxItems': 3, 'items': %s},"
			"'within': %s,"
			"'rest': {'type': 'object'}},"
			"'additionalProperties': false, 'required': ['legs']}",
			inner, inner) > 0);
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	expected = json_parse(text, strlen(text), "expected", NULL);
	assert_non_null(expected);
	part = json_object_get(json_object_get(schema, "properties"), "children");
	assert_true(json_equal(part,
		json_object_get(json_object_get(expected, "properties"), "children")));
	assert_true(json_equal(schema, expected));
	free(text);
	json_decref(schema);
	json_decref(expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_stands_in_the_same_object),
		cmocka_unit_test(words_of_a_command_line),
		cmocka_unit_test(the_schema_is_what_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
