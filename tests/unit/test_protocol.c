/* SPDX-License-Identifier: Apache-2.0 */
/* What our processes say to each other: what one end writes, the other reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domain/config.h"
#include "protocol/event.h"
#include "protocol/fields.h"
#include "protocol/limits.h"
#include "protocol/request.h"

/* Every reason has a word of its own, a letter and a number of xl's, and an exit status. */
static void test_ends(void **state)
{
	static const char letters[] = "-rscwS";

	for (enum end_reason reason = END_NONE + 1; reason < END_REASONS; reason++) {
		const struct end_info *info = end_info(reason);

		assert_true(strlen(info->word) > 0);
		assert_int_equal(end_find(info->word), reason);
		assert_string_equal(end_words[reason], info->word);
		for (enum end_reason other = END_NONE; other < reason; other++) {
			assert_string_not_equal(end_word(other), info->word);
			assert_int_not_equal(end_info(other)->status,
				reason == END_POWEROFF ? -1 : info->status);
		}
		assert_int_not_equal(info->status, END_STATUS_SETUP);
		assert_true(info->status < END_STATUS_TEST);
		assert_non_null(strchr(letters, info->letter));
		/* Where xl has a number, that is where its letter stands. */
		if (info->code >= 0)
			assert_int_equal(letters[info->code], info->letter);
	}
	assert_null(end_words[END_REASONS]);
	assert_int_equal(end_find(""), END_NONE);
	assert_int_equal(end_find(NULL), END_NONE);
	assert_int_equal(end_find("bored"), END_NONE);
}

static void test_what_follows(void **state)
{
	static const struct {
		enum end_reason reason;
		enum domain_action action;
	} follows[] = {
		{END_POWEROFF, DOMAIN_PRESERVE},
		{END_REBOOT, DOMAIN_RENAME_RESTART},
		{END_SAVED, DOMAIN_DESTROY},
		{END_CRASH, DOMAIN_COREDUMP_RESTART},
		{END_ERROR, DOMAIN_COREDUMP_RESTART},
		{END_WATCHDOG, DOMAIN_RESTART},
		{END_KILLED, DOMAIN_DESTROY},
		{END_MIGRATED, DOMAIN_DESTROY},
	};
	const struct domain_config config = {.on_poweroff = DOMAIN_PRESERVE,
		.on_reboot = DOMAIN_RENAME_RESTART,
		.on_crash = DOMAIN_COREDUMP_RESTART,
		.on_watchdog = DOMAIN_RESTART};

	for (size_t i = 0; i < sizeof follows / sizeof *follows; i++)
		assert_int_equal(domain_config_after(&config, follows[i].reason),
			follows[i].action);
	assert_int_equal(sizeof follows / sizeof *follows, END_REASONS - 1);
}

static void test_last_words(void **state)
{
	for (enum end_reason reason = END_NONE + 1; reason < END_REASONS; reason++) {
		struct end_report report = {.reason = reason, .status = 100 + reason}, read;
		char *line;

		/* As long as a sentence can be, of what takes most room on the way. */
		while (strlen(report.error.text) + 2 < sizeof report.error.text)
			strcat(report.error.text, reason == END_CRASH ? "\303\244" : "\"");
		line = end_report_write(&report);
		assert_true(strlen(line) <= END_REPORT_MAX);
		assert_int_equal(end_report_read(line, strlen(line), &read), 0);
		assert_int_equal(read.reason, reason);
		assert_int_equal(read.status, report.status);
		assert_string_equal(read.error.text, report.error.text);
		/* Half a line is none. */
		assert_int_equal(end_report_read(line, strlen(line) - 2, &read), -EINVAL);
		free(line);
	}
}

/* What a monitor that was taken over, or killed, may leave. */
static void test_bad_last_words(void **state)
{
	static const char *const bad[] = {"", "x", "[]", "1", "{}", "{\"reason\":1}",
		"{\"reason\":\"\"}", "{\"reason\":\"bored\"}", "{\"reason\":\"crash\"",
		"{\"reason\":\"crash\",\"reason\":\"poweroff\"}"};
	struct end_report report = {.reason = END_CRASH, .error = {"\377 is no UTF-8"}};
	char *line = end_report_write(&report);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!end_report_read(bad[i], strlen(bad[i]), &report))
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(end_report_read(line, strlen(line), &report), 0);
	assert_int_equal(report.reason, END_CRASH);
	assert_string_equal(report.error.text, "");
	free(line);
}

static void test_events(void **state)
{
	const struct job_report job = {7, "dump-core", JOB_CANCELLING, 5, INT64_MAX};
	json_t *memory = json_pack("{s:i}", "actual", 5);

	for (enum event_kind kind = 0; kind < EVENT_KINDS; kind++) {
		for (enum end_reason reason = END_NONE + 1; reason < END_REASONS; reason++) {
			bool ends = kind == EVENT_KEPT || kind == EVENT_ENDED;
			const struct monitor_event event = {kind, ends ? reason : END_NONE,
				kind == EVENT_MEMORY ? memory : NULL,
				kind == EVENT_JOB ? job : (struct job_report){0}};
			struct monitor_event read;
			json_t *json = event_write(&event);

			assert_non_null(json);
			assert_int_equal(event_read(json, &read), 0);
			assert_int_equal(read.kind, kind);
			assert_int_equal(read.reason, event.reason);
			assert_true(json_equal(read.memory, event.memory) || !event.memory);
			assert_memory_equal(&read.job, &event.job, sizeof read.job);
			json_decref(json);
		}
	}
	assert_null(event_words[EVENT_KINDS]);
	json_decref(memory);
}

static void test_strange_events(void **state)
{
	static const char *const kept[] = {"{\"event\":\"kept\"}",
		"{\"event\":\"kept\",\"reason\":\"bored\"}", "{\"event\":\"kept\",\"reason\":7}"};
	static const char *const none[] = {"[]", "{}", "{\"event\":1}", "{\"event\":\"bored\"}",
		"{\"event\":\"job\"}", "{\"event\":\"job\",\"job\":[]}",
		"{\"event\":\"job\",\"job\":{\"id\":1,\"job\":\"a\\u001bb\",\"state\":\"running\","
		"\"done\":0,\"total\":0}}",
		"{\"event\":\"job\",\"job\":{\"id\":1,\"job\":\"a\",\"state\":\"running\",\"done\":-1,"
		"\"total\":0}}"};
	struct monitor_event event;

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		json_t *json = json_loads(kept[i], 0, NULL);

		assert_int_equal(event_read(json, &event), 0);
		assert_int_equal(event.kind, EVENT_KEPT);
		assert_int_equal(event.reason, END_CRASH);
		json_decref(json);
	}
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		json_t *json = json_loads(none[i], 0, NULL);

		assert_int_equal(event_read(json, &event), -EINVAL);
		json_decref(json);
	}
}

static void assert_comes_over(const struct monitor_request *request)
{
	json_t *json = request_write(request);
	char *line = json_dumps(json, JSON_COMPACT);
	struct monitor_request read;
	struct error err = {""};

	assert_non_null(line);
	assert_true(strlen(line) <= REQUEST_MAX);
	if (request_parse(line, strlen(line), &read, &err))
		fail_msg("%s: %s", line, err.text);
	if (memcmp(&read, request, sizeof read)) {
		json_t *again = request_write(&read);

		if (!json_equal(json, again))
			fail_msg("%s: is another one when it is read", line);
		json_decref(again);
	}
	assert_int_equal(read.id, request->id);
	assert_int_equal(read.verb, request->verb);
	json_decref(json);
	free(line);
}

/* Every verb, with each of its fields at its limits. */
static void test_requests(void **state)
{
	for (enum request_verb verb = 0; verb < REQUEST_VERBS; verb++) {
		struct monitor_request least = {.id = INT64_MIN,
			.verb = verb,
			.trigger = TRIGGER_NMI,
			.key = "0",
			.memory = LIMIT_MEMORY_MIN,
			.disks = 1,
			.size = 512,
			.name = "/",
			.mac = "02:00:00:00:00:00",
			.forward = "tcp::1-:1",
			.job = 1};
		struct monitor_request most = {.id = INT64_MAX,
			.verb = verb,
			.trigger = TRIGGER_POWER,
			.vcpu = LIMIT_VCPUS - 1,
			.key = "z",
			.memory = LIMIT_MEMORY_MAX,
			.live = true,
			.disk = LIMIT_DISKS - 1,
			.disks = LIMIT_DISKS,
			.first = true,
			.kind = DISK_COPY_BACKUP,
			.format = DISK_QCOW2,
			.rate = INT64_MAX,
			.size = INT64_MAX,
			.job = INT64_MAX,
			.mac = "fe:ff:ff:ff:ff:ff",
			.forward = "udp:[2001:db8:1111:2222:3333:4444:5555:6666]:65535-"
				   "[2001:db8:1111:2222:3333:4444:5555:7777]:65535",
			.remove = true};

		memset(most.name, 'x', REQUEST_NAME_MAX);
		if (verb == REQUEST_NET_ATTACH)
			most.rate = NET_RATE_MAX;

		assert_int_equal(request_find(request_word(verb)), verb);
		assert_comes_over(&least);
		assert_comes_over(&most);
	}
	assert_string_equal(request_arguments(REQUEST_TRIGGER)->key, "trigger");
	assert_null(request_arguments(REQUEST_TRIGGER)->names[TRIGGER_POWER + 1]);
	assert_null(request_arguments(REQUEST_PAUSE)->key);
	assert_null(request_arguments(REQUEST_VERBS)->key);
	assert_true(request_takes_fd(REQUEST_DUMP_CORE));
	assert_false(request_takes_fd(REQUEST_INFO) || request_takes_fd(REQUEST_VERBS));
}

/* The values are there on the other side, not only the same words. */
static void test_request_fields(void **state)
{
	const struct monitor_request request = {.verb = REQUEST_TRIGGER,
		.trigger = TRIGGER_RESET,
		.vcpu = 63};
	json_t *json = request_write(&request);
	struct monitor_request read;
	char *line = json_dumps(json, 0);

	assert_int_equal(request_parse(line, strlen(line), &read, NULL), 0);
	assert_int_equal(read.trigger, TRIGGER_RESET);
	assert_int_equal(read.vcpu, 63);
	free(line);
	json_decref(json);
	json = json_pack("{s:s}", "key", "h");
	assert_int_equal(request_read_arguments(REQUEST_SYSRQ, json, &read, NULL), 0);
	assert_string_equal(read.key, "h");
	assert_int_equal(request_read_arguments(REQUEST_PAUSE, json, &read, NULL), -EINVAL);
	assert_int_equal(request_read_arguments(REQUEST_PAUSE, NULL, &read, NULL), 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_what_follows),
		cmocka_unit_test(test_last_words),
		cmocka_unit_test(test_bad_last_words),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_strange_events),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_request_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
