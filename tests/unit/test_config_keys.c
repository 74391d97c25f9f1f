/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keys: each is read or kept, has its field, and is in the manual. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "config/keys.h"
#include "config_rig.h"
#include "protocol/fields.h"

static void key_text(char *text, size_t size, const char *key, const char *value)
{
	snprintf(text, size, "%s%s = %s\n", strcmp(key, "name") ? "name = 'a'\n" : "", key, value);
}

/* Every key that is said to have a field is read, and no key stands twice in the table. */
static void test_field_keys(void **state)
{
	const struct key *key;
	struct rig rig = {0};
	char text[128];
	unsigned fields = 0;

	for (unsigned n = 0; (key = keys_row(n)); n++) {
		for (unsigned k = 0; k < n; k++)
			assert_string_not_equal(keys_row(k)->name, key->name);
		assert_ptr_equal(keys_find(key->name), key);
		if (key->effect != KEY_FIELD) {
			assert_true(!key->field && !key->read);
			continue;
		}
		fields++;
		/* What no key takes is refused by whoever reads it; nobody else minds. */
		key_text(text, sizeof text, key->name, "[[[]]]");
		if (rig_read(&rig, text) >= 0)
			fail_msg("%s: is not read: %s", key->name, rig.warnings);
	}
	assert_true(fields > 30);
	assert_null(keys_find("nobody"));
}

static void check_has_key(const struct field *fields)
{
	/* The daemon's own; and root, since the key of that name is a machine's root=, too. */
	static const char *const none[] = {"kind", "kept", "layers", "root", "upper"};

	for (const struct field *field = fields; field->key; field++) {
		bool without = false;

		if (field->kind == FIELD_PART) {
			check_has_key(field->element);
			continue;
		}
		for (unsigned n = 0; n < sizeof none / sizeof *none; n++)
			without |= !strcmp(none[n], field->key);
		if (without == (keys_find_field(field->key) != NULL))
			fail_msg("%s: %s", field->key, without ? "has a key" : "no key sets it");
	}
}

/* Each field has a key that sets it, and each key that sets one has it. */
static void test_fields_and_keys_are_the_same(void **state)
{
	const struct key *key;

	check_has_key(domain_config_fields);
	for (unsigned n = 0; (key = keys_row(n)); n++) {
		struct domain_config config;
		void *in = &config;

		if (key->field && !fields_find(domain_config_fields, key->field, &in))
			fail_msg("%s: there is no field %s", key->name, key->field);
		if (key->effect == KEY_FIELD)
			assert_non_null(key->field);
	}
}

/* Every other key is kept; who asks for what is not there yet is told, and nobody else. */
static void test_kept_keys(void **state)
{
	const struct key *key;
	struct rig rig = {0};
	char text[128];
	unsigned missing = 0, kept = 0;

	for (unsigned n = 0; (key = keys_row(n)); n++) {
		if (key->effect == KEY_FIELD)
			continue;
		missing += key->effect == KEY_MISSING;
		kept += key->effect == KEY_KEPT;
		key_text(text, sizeof text, key->name, "['x']");
		rig_good(&rig, text);
		assert_non_null(json_object_get(rig.config.kept, key->name));
		snprintf(text, sizeof text, "f:2:1: '%s' has no effect yet\n", key->name);
		assert_string_equal(rig.warnings, key->effect == KEY_MISSING ? text : "");
		domain_config_free(&rig.config);
	}
	assert_int_equal(keys_find("usbdev")->effect, KEY_MISSING);
	assert_true(missing > 10 && kept > 100);
}

/* The manual's list of the keys of an effect, as the table makes it. */
static void print_keys(FILE *to, enum key_effect effect)
{
	const struct key *key;
	bool first = true;

	if (effect == KEY_MISSING)
		fprintf(to, ".Bl -tag -width usbctrl -compact\n");
	for (unsigned n = 0; (key = keys_row(n)); n++) {
		if (key->effect != effect)
			continue;
		if (effect == KEY_MISSING)
			fprintf(to, ".It Ic %s\n%s\n", key->name, key->help);
		else
			fprintf(to, "%s%s", first ? "" : ",\n", key->name);
		first = false;
	}
	fprintf(to, effect == KEY_MISSING ? ".El\n" : ".\n");
}

/* Is it a word of a line that begins so? */
static bool has_entry(const char *manual, const char *key)
{
	size_t len = strlen(key);

	for (const char *at = manual; (at = strstr(at, key)); at += len) {
		const char *line = at;

		while (line > manual && line[-1] != '\n')
			line--;
		if ((!strncmp(line, ".It Ic ", 7) || !strncmp(line, ".Ic ", 4)) && at[-1] == ' ' &&
			(at[len] == '\n' || at[len] == ' '))
			return true;
	}
	return false;
}

/* dach.cfg(5) tells of each key: in prose of those with an effect, in lists of the others. */
static void test_manual_has_each_key(void **state)
{
	int fd = open(TEST_SOURCE_DIR "/../../doc/man/dach.cfg.5", O_RDONLY | O_CLOEXEC);
	const struct key *key;
	char *manual, *list = NULL;
	size_t size;
	FILE *to;

	assert_int_equal(io_read_file(fd, 1 << 20, &manual, &size), 0);
	close(fd);
	for (unsigned n = 0; (key = keys_row(n)); n++)
		if (key->effect == KEY_FIELD && !has_entry(manual, key->name))
			fail_msg("dach.cfg(5) does not tell of %s", key->name);
	for (enum key_effect effect = KEY_KEPT; effect <= KEY_MISSING; effect++) {
		to = open_memstream(&list, &size);
		print_keys(to, effect);
		fclose(to);
		if (!strstr(manual, list)) {
			puts(list); /* longer than a message may be */
			fail_msg("dach.cfg(5) is to have what is printed above");
		}

		free(list);
	}
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_field_keys),
		cmocka_unit_test(test_fields_and_keys_are_the_same),
		cmocka_unit_test(test_kept_keys),
		cmocka_unit_test(test_manual_has_each_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
