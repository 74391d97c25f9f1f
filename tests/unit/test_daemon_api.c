/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's routes beside doc/openapi.json; paths, bodies, policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/policy.h"
#include "domain/config.h"
#include "protocol/end.h"
#include "protocol/fields.h"
#include "protocol/request.h"

#define OPENAPI "/../../doc/openapi.json"

static json_t *openapi(void)
{
	char path[4096];
	json_error_t where;
	json_t *json;

	snprintf(path, sizeof path, "%s", TEST_SOURCE_DIR OPENAPI);
	json = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
	if (!json)
		fail_msg("%s: %s", path, where.text);
	return json;
}

static json_t *operation(json_t *paths, const struct route *route)
{
	char method[8] = "";

	for (unsigned i = 0; route->method[i]; i++)
		method[i] = tolower((unsigned char)route->method[i]);
	return json_object_get(json_object_get(paths, route->path), method);
}

static void test_routes_are_documented(void **state)
{
	json_t *api = openapi(), *paths = json_object_get(api, "paths");

	for (const struct route *route = api_routes; route->method; route++) {
		json_t *op = operation(paths, route), *body = json_object_get(op, "requestBody");

		if (!op)
			fail_msg("%s %s is not documented", route->method, route->path);
		if (route->body != json_is_true(json_object_get(body, "required")))
			fail_msg("%s %s: is a body needed?", route->method, route->path);
	}
	json_decref(api);
}

static void test_documented_are_routes(void **state)
{
	json_t *api = openapi(), *methods, *op;
	const char *path, *method;
	unsigned count = 0;

	json_object_foreach(json_object_get(api, "paths"), path, methods)
	{
		json_object_foreach(methods, method, op)
		{
			const struct route *route = api_routes;

			if (!strcmp(method, "parameters"))
				continue;
			count++;
			while (route->method &&
				(strcasecmp(route->method, method) || strcmp(route->path, path)))
				route++;
			if (!route->method)
				fail_msg("%s %s: no such route", method, path);
		}
	}
	assert_true(count > 20);
	json_decref(api);
}

/* What is only passed on to the monitor is a verb of its own, and takes a body if that has arguments. */
static void test_routes_that_ask_are_verbs(void **state)
{
	json_t *none = json_object();
	unsigned count = 0;

	for (const struct route *route = api_routes; route->method; route++) {
		enum request_verb verb = request_find(strrchr(route->path, '/') + 1);
		struct monitor_request request;
		struct error err = {0};

		if (route->handle != api_ask)
			continue;
		count++;
		if (verb == REQUEST_VERBS)
			fail_msg("%s: no such verb", route->path);
		if (!request_read_arguments(verb, none, &request, &err) == route->body)
			fail_msg("%s: is a body needed?", route->path);
	}
	assert_int_equal(count, 6);
	json_decref(none);
}

/* The words for the ends of guests are those of the table. */
static void test_ends_are_documented(void **state)
{
	json_t *api = openapi(), *end, *words;

	end = json_object_get(json_object_get(json_object_get(api, "components"), "schemas"),
		"End");
	words = json_object_get(json_object_get(json_object_get(end, "properties"), "reason"),
		"enum");
	assert_int_equal(json_array_size(words), END_REASONS - 1);
	for (enum end_reason reason = END_NONE + 1; reason < END_REASONS; reason++)
		assert_string_equal(json_string_value(json_array_get(words, reason - 1)),
			end_word(reason));
	json_decref(api);
}

/* A guest's configuration is documented as its fields are read. */
static void test_configuration_is_documented(void **state)
{
	json_t *api = openapi(), *schema = fields_schema(domain_config_fields), *said;
	char *text;

	json_object_set_new(schema, "description",
		json_string(
			"What a configuration file says (dach.cfg.5); from the table in src/domain/config.c."));
	said = json_object_get(json_object_get(json_object_get(api, "components"), "schemas"),
		"DomainConfig");
	text = json_dumps(schema, JSON_INDENT(2) | JSON_SORT_KEYS);
	if (!json_equal(said, schema)) {
		puts(text); /* longer than a message may be */
		fail_msg("DomainConfig in doc/openapi.json is to be what is printed above");
	}
	free(text);
	json_decref(schema);
	json_decref(api);
}

static void test_paths(void **state)
{
	struct request request = {0};
	char long_path[1024];
	bool other;

	assert_non_null(api_find(&request, "GET", "/v1/guests", &other));
	assert_null(api_find(&request, "DELETE", "/v1/guests", &other));
	assert_true(other);
	assert_null(api_find(&request, "GET", "/v1/guests/", &other));
	assert_false(other);
	assert_null(api_find(&request, "GET", "/v1/guests//console", &other));
	assert_null(api_find(&request, "GET", "/", &other));
	assert_null(api_find(&request, "GET", "", &other));
	assert_null(api_find(&request, "GET", "/v1/guests/a/b", &other));
	assert_non_null(api_find(&request, "GET", "/v1/guests/a%20%2fb", &other));
	assert_string_equal(request.ref, "a /b");
	assert_null(api_find(&request, "GET", "/v1/guests/a%0a", &other));
	assert_null(api_find(&request, "GET", "/v1/guests/a%00", &other));
	assert_null(api_find(&request, "GET", "/v1/guests/a%", &other));
	assert_null(api_find(&request, "GET", "/v1/guests/a%4", &other));
	assert_null(api_find(&request, "GET", "/v1/guests/a%4/console", &other));
	assert_null(api_find(&request, "GET", "/v1/guests/a%g1", &other));
	assert_non_null(api_find(&request, "PUT", "/v1/guests/7/vcpus/all/affinity", &other));
	assert_string_equal(request.ref, "7");
	assert_string_equal(request.arg, "all");
	snprintf(long_path, sizeof long_path, "/v1/guests/%0300d", 1);
	assert_null(api_find(&request, "GET", long_path, &other));
}

static void test_bodies(void **state)
{
	static const char *const keys[] = {"a", "b", NULL};
	json_t *body = json_pack("{s:i, s:b, s:s}", "a", 5, "b", 1, "c", "text");
	struct error err = {0};
	int64_t number;
	bool flag;
	const char *text;

	assert_int_equal(body_check(body, keys, &err), -EINVAL);
	assert_non_null(strstr(err.text, "c: "));
	assert_int_equal(body_number(body, "a", -1, 1, 5, &number, NULL), 0);
	assert_int_equal(number, 5);
	assert_int_equal(body_number(body, "a", -1, 1, 4, &number, NULL), -EINVAL);
	assert_int_equal(body_number(body, "c", 3, 1, 4, &number, NULL), -EINVAL);
	assert_int_equal(body_number(body, "d", -1, 1, 4, &number, NULL), -EINVAL);
	assert_int_equal(body_number(body, "d", 3, 1, 4, &number, NULL), 0);
	assert_int_equal(number, 3);
	assert_int_equal(body_bool(body, "b", false, &flag, NULL), 0);
	assert_true(flag);
	assert_int_equal(body_bool(body, "a", false, &flag, NULL), -EINVAL);
	assert_int_equal(body_text(body, "c", true, &text, NULL), 0);
	assert_int_equal(body_text(body, "a", false, &text, NULL), -EINVAL);
	assert_int_equal(body_text(body, "d", true, &text, NULL), -EINVAL);
	assert_int_equal(body_text(body, "d", false, &text, NULL), 0);
	json_decref(body);
}

static int parse(struct policy *policy, const char *text, struct error *err)
{
	memset(err, 0, sizeof *err);
	return policy_parse(policy, text, strlen(text), "policy", err);
}

static void test_policy_refuses(void **state)
{
	static const char *const texts[] = {"", "[]", "{\"people\": {}}", "{\"users\": []}",
		"{\"users\": {\"ann\": 3}}", "{\"users\": {\"ann\": {\"guests\": -1}}}",
		"{\"users\": {\"ann\": {\"guests\": \"4\"}}}",
		"{\"users\": {\"ann\": {\"disk\": 4}}}",
		"{\"users\": {\"ann\": {\"paths\": \"/\"}}}",
		"{\"users\": {\"ann\": {\"paths\": [\"home/\"]}}}",
		"{\"users\": {\"ann\": {\"paths\": [\"/home\"]}}}",
		"{\"users\": {\"ann\": {}, \"ann\": {}}}"};
	struct policy policy = {0};
	struct error err;

	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(parse(&policy, texts[i], &err), -EINVAL);
		assert_int_equal(strncmp(err.text, "policy: ", 8), 0);
		assert_null(policy.root);
	}
}

/* What every read() of this program gives at most; 0: whatever there is. */
static size_t read_most;

ssize_t read(int fd, void *to, size_t size)
{
	return syscall(SYS_read, fd, to, read_most && size > read_most ? read_most : size);
}

/* A file system may give a file in pieces. */
static void test_policy_is_read_whole(void **state)
{
	static const char text[] = "{\"users\": {\"x\": {\"guests\": 1}}}";
	char path[] = "/tmp/dach-test-policy-XXXXXX";
	int fd = mkstemp(path);
	struct policy policy = {0};
	struct error err = {0};

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
	close(fd);
	read_most = 7;
	if (policy_load(&policy, path, &err))
		fail_msg("%s", err.text);
	read_most = 0;
	assert_non_null(policy.root);
	policy_free(&policy);
	unlink(path);
}

static void test_policy_judges(void **state)
{
	struct policy policy = {.managers = 77, .has_managers = true};
	struct caller root = {.uid = 0}, member = {.uid = 4000, .group = {5, 77}, .groups = 2},
		      nobody = {.uid = 65534, .gid = 65534}, stranger = {.uid = 4000, .gid = 4000};
	struct error err;

	assert_int_equal(
		parse(&policy,
			"{\"users\": {\"nobody\": {\"guests\": 2, \"memory\": 64, \"vcpus\": 1,"
			" \"paths\": [\"/srv/x/\"]}}}",
			&err),
		0);
	caller_judge(&policy, &root);
	assert_true(root.manager);
	caller_judge(&policy, &member);
	assert_true(member.manager);
	caller_judge(&policy, &stranger);
	assert_false(stranger.manager || stranger.user);
	caller_judge(&policy, &nobody);
	assert_true(nobody.user && !nobody.manager);
	assert_int_equal(caller_limit(&nobody, "guests"), 2);
	assert_int_equal(caller_limit(&nobody, "nothing"), 0);
	assert_true(caller_path_allowed(&nobody, "/srv/x/disk"));
	assert_false(caller_path_allowed(&nobody, "/srv/xy"));
	assert_false(caller_path_allowed(&nobody, "/etc/shadow"));
	caller_free(&nobody);
	policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_are_documented),
		cmocka_unit_test(test_documented_are_routes),
		cmocka_unit_test(test_routes_that_ask_are_verbs),
		cmocka_unit_test(test_ends_are_documented),
		cmocka_unit_test(test_configuration_is_documented),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_policy_refuses),
		cmocka_unit_test(test_policy_is_read_whole),
		cmocka_unit_test(test_policy_judges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
