/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon over HTTP: its routes beside doc/openapi.json, paths, bodies; and the policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/http/exchange.h"
#include "base/json.h"
#include "api/http/route.h"
#include "daemon/operation.h"
#include "daemon/policy.h"
#include "domain/config.h"
#include "domain/network.h"
#include "openapi_rig.h"
#include "protocol/end.h"
#include "protocol/fields.h"
#include "protocol/request.h"
#include "protocol/walls.h"

/* Calls check for each route, those with {verb} once for each verb that is passed on. */
static unsigned each_route(void (*check)(void *ctx, const struct route *route, const char *path,
				   enum request_verb verb),
	void *ctx)
{
	unsigned count = 0;

	for (const struct route *route = routes; route->method; route++) {
		const char *at = strstr(route->path, "{verb}");

		for (enum request_verb verb = 0; at && verb < REQUEST_VERBS; verb++) {
			char path[128];

			if (!request_is_passed(verb))
				continue;
			snprintf(path, sizeof path, "%.*s%s", (int)(at - route->path), route->path,
				request_word(verb));
			check(ctx, route, path, verb);
			count++;
		}
		if (!at) {
			check(ctx, route, route->path, REQUEST_VERBS);
			count++;
		}
	}
	return count;
}

static json_t *documented(json_t *api, const struct route *route, const char *path)
{
	json_t *methods = json_object_get(json_object_get(api, "paths"), path);
	char method[8] = "";

	for (unsigned i = 0; route->method[i]; i++)
		method[i] = tolower((unsigned char)route->method[i]);
	return json_object_get(methods, method);
}

static void check_documented(void *ctx, const struct route *route, const char *path,
	enum request_verb verb)
{
	json_t *op = documented(ctx, route, path), *body = json_object_get(op, "requestBody");
	const char *id = json_string_value(json_object_get(op, "operationId"));
	char status[4], answer[64];

	if (!op)
		fail_msg("%s %s is not documented", route->method, path);
	if (route_needs_body(route, verb) != json_is_true(json_object_get(body, "required")))
		fail_msg("%s %s: is a body needed?", route->method, path);
	if (!route->operation)
		return;
	if (verb == REQUEST_VERBS)
		assert_string_equal(id, route->operation->name);
	snprintf(status, sizeof status, "%d", route->status);
	if (route->upgrade) { /* no JSON comes of it */
		assert_null(route->operation->answer);
		assert_non_null(json_object_get(json_object_get(op, "responses"), status));
		return;
	}
	snprintf(answer, sizeof answer, "#/components/schemas/%s", route->operation->answer);
	op = json_object_get(json_object_get(json_object_get(op, "responses"), status), "content");
	op = json_object_get(json_object_get(op, "application/json"), "schema");
	if (!json_is_string(json_object_get(op, "$ref")))
		fail_msg("%s %s: %s is no answer of it", route->method, path, status);
	assert_string_equal(json_string_value(json_object_get(op, "$ref")), answer);
}

static void test_routes_are_documented(void **state)
{
	json_t *api = openapi_load();

	each_route(check_documented, api);
	json_decref(api);
}

static void test_documented_are_routes(void **state)
{
	json_t *api = openapi_load(), *methods, *op;
	const char *path, *method;
	unsigned count = 0;

	json_object_foreach(json_object_get(api, "paths"), path, methods)
	{
		json_object_foreach(methods, method, op)
		{
			struct route_values values;
			char upper[8] = "";
			bool other;

			if (!strcmp(method, "parameters"))
				continue;
			count++;
			for (unsigned i = 0; method[i] && i < 7; i++)
				upper[i] = toupper((unsigned char)method[i]);
			if (!route_find(upper, path, &values, &other))
				fail_msg("%s %s: no such route", method, path);
		}
	}
	assert_true(count > 20);
	json_decref(api);
}

/* What is only passed on to the monitor are verbs of protocol/request.h, and no others. */
static void test_passed_verbs(void **state)
{
	json_t *none = json_object();
	unsigned count = 0;

	for (enum request_verb verb = 0; verb < REQUEST_VERBS; verb++) {
		struct monitor_request request;
		struct route_values values;
		struct error err = {0};
		char path[64];
		bool other;
		const struct route *route;

		assert_int_equal(request_needs_arguments(verb),
			request_read_arguments(verb, none, &request, &err) != 0);
		snprintf(path, sizeof path, "/v1/guests/x/%s", request_word(verb));
		route = route_find("POST", path, &values, &other);
		if (route && route->operation == &operation_ask)
			assert_int_equal(values.verb, verb);
		assert_int_equal(route && route->operation == &operation_ask,
			request_is_passed(verb));
		count += request_is_passed(verb);
	}
	assert_int_equal(count, 7);
	assert_false(request_is_passed(REQUEST_VERBS));
	json_decref(none);
}

/* Descriptions are for people; the rest comes from the tables. */
static void strip(json_t *json)
{
	json_t *value;
	const char *key;
	size_t i;

	if (json_is_string(json_object_get(json, "description")))
		json_object_del(json, "description");
	json_object_foreach(json, key, value) strip(value);
	json_array_foreach(json, i, value) strip(value);
}

/* Takes table. */
static void assert_schema(json_t *documented, json_t *table, const char *what)
{
	json_t *bare = json_deep_copy(documented);

	strip(bare);
	if (!json_equal(bare, table)) {
		/* To be put there: fail_msg() cuts it off. */
		json_dumpf(table, stdout, JSON_INDENT(2));
		fail_msg("doc/openapi.json: %s is not as its table says, which is above", what);
	}
	json_decref(bare);
	json_decref(table);
}

static void check_body(void *ctx, const struct route *route, const char *path,
	enum request_verb verb)
{
	const struct field *fields = verb == REQUEST_VERBS
		? route->operation ? route->operation->arguments : NULL
		: request_arguments(verb);
	json_t *body = json_object_get(documented(ctx, route, path), "requestBody"), *schema;
	json_t *table = fields && fields->key ? fields_schema(fields) : NULL;

	if (!table != !body)
		fail_msg("%s %s: does it take a body?", route->method, path);
	if (!table)
		return;
	schema = json_object_get(body, "content");
	schema = json_object_get(json_object_get(schema, "application/json"), "schema");
	/* A configuration has a schema of its own. */
	if (route->operation == &operation_create || route->operation == &operation_restore ||
		route->operation == &operation_receive || route->operation == &operation_convert)
		json_object_set_new(json_object_get(table, "properties"), "config",
			json_pack("{s:s}", "$ref", "#/components/schemas/DomainConfig"));
	if (route->operation == &operation_network_create)
		json_object_set_new(json_object_get(table, "properties"), "config",
			json_pack("{s:s}", "$ref", "#/components/schemas/NetworkConfig"));
	assert_schema(schema, table, path);
}

static void test_network_config(void **state)
{
	json_t *api = openapi_load();

	assert_schema(openapi_schema(api, "NetworkConfig"), fields_schema(network_config_fields),
		"NetworkConfig");
	json_decref(api);
}

static void test_bodies_are_documented(void **state)
{
	json_t *api = openapi_load();

	each_route(check_body, api);
	json_decref(api);
}

static void check_end_words(const json_t *schema, const char *property)
{
	json_t *said = json_object_get(json_object_get(schema, "properties"), property);
	json_t *words = json_object_get(said, "enum");

	/* What may be null says so among its words, too (OpenAPI 3.0.3). */
	assert_int_equal(json_array_size(words), END_REASONS - 1 + json_get_true(said, "nullable"));
	if (json_get_true(said, "nullable"))
		assert_true(json_is_null(json_array_get(words, END_REASONS - 1)));
	for (enum end_reason reason = END_NONE + 1; reason < END_REASONS; reason++)
		assert_string_equal(json_string_value(json_array_get(words, reason - 1)),
			end_word(reason));
}

/* The words for the ends of guests are those of the table. */
static void test_ends_are_documented(void **state)
{
	json_t *api = openapi_load();

	check_end_words(openapi_schema(api, "End"), "reason");
	check_end_words(openapi_schema(api, "Guest"), "shutdown_reason");
	json_decref(api);
}

/* A guest's configuration is documented as its fields are read. */
static void test_configuration_is_documented(void **state)
{
	json_t *api = openapi_load(), *schema = fields_schema(domain_config_fields), *said;
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
	struct route_values values;
	char long_path[1024];
	bool other;

	assert_non_null(route_find("GET", "/v1/guests", &values, &other));
	assert_null(route_find("PUT", "/v1/guests", &values, &other));
	assert_true(other);
	assert_null(route_find("GET", "/v1/guests/x/pause", &values, &other));
	assert_true(other);
	assert_null(route_find("GET", "/v1/guests/", &values, &other));
	assert_false(other);
	assert_null(route_find("GET", "/v1/guests//console", &values, &other));
	assert_null(route_find("GET", "/", &values, &other));
	assert_null(route_find("GET", "", &values, &other));
	assert_null(route_find("GET", "/v1/guests/a/b", &values, &other));
	assert_null(route_find("POST", "/v1/guests/a/info", &values, &other));
	assert_false(other);
	assert_non_null(route_find("GET", "/v1/guests/a%20%2fb", &values, &other));
	assert_string_equal(values.ref, "a /b");
	assert_null(route_find("GET", "/v1/guests/a%0a", &values, &other));
	assert_null(route_find("GET", "/v1/guests/a%00", &values, &other));
	assert_null(route_find("GET", "/v1/guests/a%", &values, &other));
	assert_null(route_find("GET", "/v1/guests/a%4", &values, &other));
	assert_null(route_find("GET", "/v1/guests/a%4/console", &values, &other));
	assert_null(route_find("GET", "/v1/guests/a%g1", &values, &other));
	assert_non_null(route_find("PUT", "/v1/guests/7/vcpus/all/affinity", &values, &other));
	assert_string_equal(values.ref, "7");
	assert_string_equal(values.vcpu, "all");
	snprintf(long_path, sizeof long_path, "/v1/guests/%0300d", 1);
	assert_null(route_find("GET", long_path, &values, &other));
}

static int read_arguments(const struct operation_kind *kind, const char *text,
	struct operation_arguments *arguments)
{
	json_t *json = text ? json_loads(text, 0, NULL) : NULL;
	struct error err = {0};
	int r;

	operation_arguments_init(kind, arguments);
	r = operation_arguments_read(kind, json, arguments, &err);
	if (r)
		operation_arguments_free(arguments);
	json_decref(json);
	return r;
}

static void test_arguments(void **state)
{
	static const struct {
		const struct operation_kind *kind;
		const char *json;
	} refused[] = {
		{&operation_create, NULL},
		{&operation_create, "{}"},
		{&operation_create, "{\"config\": []}"},
		{&operation_create, "{\"config\": {}, \"start\": 1}"},
		{&operation_rename, "{}"},
		{&operation_rename, "{\"name\": 5}"},
		{&operation_rename, "{\"name\": \"x\", \"other\": 1}"},
		{&operation_memory, "{\"memory\": -1}"},
		{&operation_memory, "{\"memory\": \"65536\"}"},
		{&operation_memory_max, "{\"memory\": 0}"},
		{&operation_scheduler, "{\"weight\": 0}"},
		{&operation_scheduler, "{\"weight\": 4294967295}"},
		{&operation_scheduler, "{\"cap\": 51201}"},
		{&operation_autostart, "{}"},
		{&operation_autostart, "{\"autostart\": \"yes\"}"},
		{&operation_dump_core, "{\"live\": true}"},
		{&operation_start, "{\"paused\": 1}"},
	};
	struct operation_arguments arguments;

	for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
		if (!read_arguments(refused[i].kind, refused[i].json, &arguments))
			fail_msg("%s takes %s", refused[i].kind->name, refused[i].json);
	assert_int_equal(read_arguments(&operation_create, "{\"config\": {}}", &arguments), 0);
	assert_int_equal(arguments.start, CHOICE_NONE);
	operation_arguments_free(&arguments);
	assert_int_equal(read_arguments(&operation_create,
				 "{\"config\": {\"name\": \"x\"}, \"start\": false}", &arguments),
		0);
	assert_int_equal(arguments.start, CHOICE_NO);
	assert_int_equal(json_object_size(arguments.config), 1);
	operation_arguments_free(&arguments);
	assert_int_equal(read_arguments(&operation_scheduler, "{\"cap\": 0}", &arguments), 0);
	assert_int_equal(arguments.cap, 0);
	assert_int_equal(arguments.weight, OPERATION_AS_IT_IS);
	assert_int_equal(read_arguments(&operation_start, NULL, &arguments), 0);
	assert_int_equal(read_arguments(&operation_get, NULL, &arguments), 0);
}

static bool no_memory;

/* Where it is tested what happens without memory. */
void *realloc(void *old, size_t size)
{
	void *new = no_memory ? NULL : malloc(size);

	if (new &&old) {
		size_t had = malloc_usable_size(old);

		memcpy(new, old, had < size ? had : size);
		free(old);
	}
	return new;
}

static void test_bodies(void **state)
{
	struct exchange exchange = {.uploaded = 0};
	struct error err = {0};
	json_t *body;

	assert_int_equal(exchange_body(&exchange, &body, &err), 0);
	assert_null(body);
	exchange_upload(&exchange, "{\"a\"", 4);
	exchange_upload(&exchange, ": 1}", 4);
	assert_int_equal(exchange_body(&exchange, &body, &err), 0);
	assert_int_equal(json_integer_value(json_object_get(body, "a")), 1);
	json_decref(body);
	exchange_upload(&exchange, "[]", 2);
	assert_int_equal(exchange_body(&exchange, &body, &err), -EINVAL);
	exchange_upload(&exchange, "{", 1);
	assert_int_equal(exchange_body(&exchange, &body, &err), -EINVAL);
	assert_int_equal(exchange_status(-EINVAL), 400);
	/* Too long, and no memory for it, are two things. */
	exchange_upload(&exchange, "x", EXCHANGE_BODY_MAX + 1);
	assert_int_equal(exchange_body(&exchange, &body, &err), -EMSGSIZE);
	assert_int_equal(exchange_status(-EMSGSIZE), 413);
	exchange.upload_failed = 0;
	no_memory = true;
	exchange_upload(&exchange, "{}", 2);
	no_memory = false;
	assert_int_equal(exchange_body(&exchange, &body, &err), -ENOMEM);
	assert_int_equal(exchange_status(-ENOMEM), 500);
	free(exchange.upload);
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
		"{\"users\": {\"ann\": {}, \"ann\": {}}}", "{\"walls\": \"landlock\"}",
		"{\"walls\": [\"brick\"]}", "{\"walls\": [3]}"};
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

static void test_policy_wants_walls(void **state)
{
	struct policy policy = {0};
	struct error err;

	assert_int_equal(parse(&policy, "{\"walls\": [\"landlock\"]}", &err), 0);
	assert_int_equal(policy.walls, 1u << WALL_LANDLOCK);
	/* What is wrong changes nothing; what says nothing wants nothing. */
	assert_int_equal(parse(&policy, "{\"walls\": [\"landlocks\"]}", &err), -EINVAL);
	assert_int_equal(policy.walls, 1u << WALL_LANDLOCK);
	assert_int_equal(parse(&policy, "{}", &err), 0);
	assert_int_equal(policy.walls, 0);
	policy_free(&policy);
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

static unsigned questions;

struct passwd *getpwuid(uid_t uid)
{
	questions++;
	return NULL;
}

/* Who connects costs no question: those may go over a network. */
static void test_policy_asks_once(void **state)
{
	struct policy policy = {0};
	struct caller root = {.uid = 0}, by_group = {.uid = 4000, .group = {5, 0}, .groups = 2},
		      nobody = {.uid = 65534, .gid = 65534}, stranger = {.uid = 4000, .gid = 4000};
	struct error err;

	assert_int_equal(
		parse(&policy,
			"{\"users\": {\"no such user\": {\"guests\": 1}, \"nobody\": {\"guests\": 2}},"
			" \"groups\": {\"no such group\": {\"guests\": 3}, \"root\": {\"guests\": 4}}}",
			&err),
		0);
	questions = 0;
	caller_judge(&policy, &root);
	caller_judge(&policy, &by_group);
	caller_judge(&policy, &nobody);
	caller_judge(&policy, &stranger);
	assert_int_equal(questions, 0);
	assert_false(root.user || stranger.user);
	assert_int_equal(caller_limit(&by_group, "guests"), 4);
	assert_int_equal(caller_limit(&nobody, "guests"), 2);
	caller_free(&by_group);
	caller_free(&nobody);
	policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes_are_documented),
		cmocka_unit_test(test_documented_are_routes),
		cmocka_unit_test(test_passed_verbs),
		cmocka_unit_test(test_bodies_are_documented),
		cmocka_unit_test(test_network_config),
		cmocka_unit_test(test_ends_are_documented),
		cmocka_unit_test(test_configuration_is_documented),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_policy_refuses),
		cmocka_unit_test(test_policy_is_read_whole),
		cmocka_unit_test(test_policy_wants_walls),
		cmocka_unit_test(test_policy_judges),
		cmocka_unit_test(test_policy_asks_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
