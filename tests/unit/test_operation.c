/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of the daemon, without any wire: a daemon in a folder, callers, and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/guest.h"
#include "daemon/operation.h"
#include "daemon/resources.h"
#include "host/cgroup.h"
#include "openapi_rig.h"

#define FAKE TEST_SOURCE_DIR "/../daemon/fakevmm"
#define WAIT_NS 20000000000ull

static char folder[] = "/tmp/dach-operation-XXXXXX", kernel[64];
static struct daemon *the_daemon;
static struct loop_timer late;
static json_t *api; /* doc/openapi.json */

/* Of whoever may do everything, and of a user with a guest of 64 MiB at most. */
static struct caller manager, user;

static void too_late(void *ctx)
{
	fail_msg("no answer came");
}

static int set_up(void **state)
{
	struct daemon_options options = {.policy = NULL, .log = "/dev/null"};
	struct error err = {0};
	char path[64];
	int fd;

	api = openapi_load();
	assert_non_null(mkdtemp(folder));
	snprintf(kernel, sizeof kernel, "%s/kernel", folder);
	fd = open(kernel, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	close(fd);
	snprintf(path, sizeof path, "%s/run", folder);
	setenv("DACH_RUN", path, 1);
	snprintf(path, sizeof path, "%s/state", folder);
	setenv("DACH_STATE", path, 1);
	setenv("DACH_VMM", FAKE, 1);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	if (daemon_create(&options, &the_daemon, &err))
		fail_msg("%s", err.text);
	daemon_begin(the_daemon);
	loop_timer_init(&late, the_daemon->loop, too_late, NULL);
	manager = (struct caller){.uid = geteuid(), .manager = true};
	user = (struct caller){.uid = 4000,
		.gid = 4000,
		.user = true,
		.rule = json_pack("{s:i, s:i, s:i, s:[s]}", "guests", 1, "memory", 64, "vcpus", 1,
			"paths", "/nowhere/")};
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	signal(SIGCHLD, SIG_DFL);
	json_decref(user.rule);
	json_decref(api);
	daemon_destroy(the_daemon);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

/* One question and its answer. */
struct question {
	struct operation_arguments arguments;
	bool answered;
	int r;
	bool no_guest;
	char text[256];
	json_t *value;
};

static void keep(void *ctx, const struct operation_answer *answer)
{
	struct question *question = ctx;

	assert_false(question->answered);
	question->answered = true;
	question->r = answer->r;
	question->no_guest = answer->no_guest;
	snprintf(question->text, sizeof question->text, "%s", answer->text);
	question->value = json_incref(answer->value);
	loop_stop(the_daemon->loop);
}

static struct question prepare(const struct operation_kind *kind, const char *ref)
{
	struct question question = {.answered = false};

	operation_arguments_init(kind, &question.arguments);
	question.arguments.ref = ref ? strdup(ref) : NULL;
	return question;
}

/* Until it is answered; the value is in question, and as it is documented. */
static int ask(const struct operation_kind *kind, const struct caller *caller,
	struct question *question)
{
	if (operation_begin(kind, the_daemon, caller, &question->arguments, keep, question)) {
		assert_false(question->answered);
		loop_timer_arm(&late, clock_now() + WAIT_NS);
		while (!question->answered)
			loop_run(the_daemon->loop);
		loop_timer_cancel(&late);
	}
	assert_true(question->answered);
	assert_true(!question->r == !!question->value);
	assert_true(!question->r == !*question->text);
	assert_null(question->arguments.ref);
	if (!question->r)
		openapi_check(api, openapi_schema(api, kind->answer), question->value, kind->name);
	return question->r;
}

/* Of a question without arguments. */
static int simply(const struct operation_kind *kind, const struct caller *caller, const char *ref)
{
	struct question question = prepare(kind, ref);
	int r = ask(kind, caller, &question);

	assert_true(!question.no_guest || r == -ENOENT);
	json_decref(question.value);
	return r;
}

static const char *text_of(const struct question *question, const char *key)
{
	return json_string_value(json_object_get(question->value, key));
}

/* A configuration as a client would send it. */
static json_t *config(const char *name, const char *cmdline)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:[{}], s:[{s:s, s:s}]}", "name", name, "kernel",
		kernel, "cmdline", cmdline, "memory_kib", 65536, "vifs", "disks", "vdev", "xvda",
		"target", kernel);
}

static int create(const struct caller *caller, const char *name, const char *cmdline, bool managed)
{
	struct question question = prepare(&operation_create, NULL);
	int r;

	question.arguments.config = config(name, cmdline);
	question.arguments.managed = managed;
	r = ask(&operation_create, caller, &question);
	json_decref(question.value);
	return r;
}

static void test_the_host(void **state)
{
	struct question question = prepare(&operation_host, NULL);

	assert_int_equal(ask(&operation_host, &manager, &question), 0);
	assert_true(json_is_true(json_object_get(question.value, "manager")));
	json_decref(question.value);
	assert_int_equal(simply(&operation_list, &user, NULL), 0);
	assert_int_equal(simply(&operation_log, &user, NULL), -EACCES);
	assert_int_equal(simply(&operation_log_clear, &user, NULL), -EACCES);
	assert_true(the_daemon->log.count > 0);
	assert_int_equal(simply(&operation_log_clear, &manager, NULL), 0);
	assert_int_equal(the_daemon->log.count, 0);
}

static void test_a_life(void **state)
{
	struct question question;

	assert_int_equal(create(&manager, "one", "", false), 0);
	assert_int_equal(create(&manager, "one", "", false), -EEXIST);
	question = prepare(&operation_ask, "one");
	question.arguments.request.verb = REQUEST_PAUSE;
	assert_int_equal(ask(&operation_ask, &manager, &question), 0);
	assert_string_equal(text_of(&question, "state"), "paused");
	json_decref(question.value);
	/* What is no verb to be passed on stays the daemon's own. */
	question = prepare(&operation_ask, "one");
	question.arguments.request.verb = REQUEST_DESTROY;
	assert_int_equal(ask(&operation_ask, &manager, &question), -EINVAL);
	question = prepare(&operation_ask, "one");
	question.arguments.request.verb = REQUEST_SYSRQ;
	assert_int_equal(ask(&operation_ask, &manager, &question), -EINVAL);
	question = prepare(&operation_memory, "one");
	question.arguments.memory = 32768;
	assert_int_equal(ask(&operation_memory, &manager, &question), 0);
	assert_int_equal(json_integer_value(json_object_get(question.value, "memory")), 32768);
	json_decref(question.value);
	assert_int_equal(guest_by_name(the_daemon, manager.uid, "one")->config.memory, 32768);
	assert_int_equal(simply(&operation_start, &manager, "one"), -EALREADY);
	assert_int_equal(simply(&operation_delete, &manager, "one"), -EBUSY);
	question = prepare(&operation_destroy, "one");
	assert_int_equal(ask(&operation_destroy, &manager, &question), 0);
	assert_string_equal(text_of(&question, "name"), "one");
	json_decref(question.value);
	assert_null(the_daemon->guests);
}

static void test_settings(void **state)
{
	struct question question;

	assert_int_equal(create(&manager, "kept", "", true), 0);
	question = prepare(&operation_rename, "kept");
	question.arguments.name = strdup("other");
	assert_int_equal(ask(&operation_rename, &manager, &question), 0);
	json_decref(question.value);
	question = prepare(&operation_rename, "other");
	question.arguments.name = strdup("a/b");
	assert_int_equal(ask(&operation_rename, &manager, &question), -EINVAL);
	question = prepare(&operation_scheduler, "other");
	question.arguments.weight = 512;
	assert_int_equal(ask(&operation_scheduler, &manager, &question), 0);
	json_decref(question.value);
	question = prepare(&operation_scheduler_get, "other");
	assert_int_equal(ask(&operation_scheduler_get, &manager, &question), 0);
	assert_int_equal(json_integer_value(json_object_get(question.value, "weight")), 512);
	assert_int_equal(json_integer_value(json_object_get(question.value, "cap")), 0);
	json_decref(question.value);
	question = prepare(&operation_autostart, "other");
	question.arguments.autostart = true;
	assert_int_equal(ask(&operation_autostart, &manager, &question), 0);
	assert_true(json_is_true(json_object_get(question.value, "autostart")));
	json_decref(question.value);
	assert_int_equal(simply(&operation_destroy, &manager, "other"), -ESRCH);
	assert_int_equal(simply(&operation_delete, &manager, "other"), 0);
}

/* Whoever makes arguments by himself is held to the same bounds as one who sends them. */
static void test_bounds(void **state)
{
	struct question question;

	assert_int_equal(create(&manager, "kept", "", true), 0);
	question = prepare(&operation_rename, "kept");
	assert_int_equal(ask(&operation_rename, &manager, &question), -EINVAL);
	question = prepare(&operation_create, NULL);
	assert_int_equal(ask(&operation_create, &manager, &question), -EINVAL);
	question = prepare(&operation_memory, "kept");
	assert_int_equal(ask(&operation_memory, &manager, &question), -EINVAL);
	question = prepare(&operation_scheduler, "kept");
	question.arguments.weight = 65536;
	assert_int_equal(ask(&operation_scheduler, &manager, &question), -EINVAL);
	question = prepare(&operation_affinity, "kept");
	question.arguments.cpus = strdup("0");
	assert_int_equal(ask(&operation_affinity, &manager, &question), -EINVAL);
	question = prepare(&operation_get, NULL);
	assert_int_equal(ask(&operation_get, &manager, &question), -ENOENT);
	assert_true(question.no_guest);
	assert_int_equal(simply(&operation_delete, &manager, "kept"), 0);
}

static unsigned warnings_with(const char *text)
{
	struct question question = prepare(&operation_get, "wishes");
	unsigned found = 0;
	json_t *warning;
	size_t i;

	assert_int_equal(ask(&operation_get, &manager, &question), 0);
	json_array_foreach(json_object_get(question.value, "warnings"), i, warning) found +=
		!!strstr(json_string_value(warning), text);
	json_decref(question.value);
	return found;
}

/* What it asks for and does not get is told of as soon as it is there. */
static void test_warnings(void **state)
{
	struct question question = prepare(&operation_create, NULL);

	resources_close(the_daemon); /* as where there are no control groups */
	question.arguments.config = config("wishes", "");
	question.arguments.managed = true;
	json_object_set_new(question.arguments.config, "cap", json_integer(20));
	json_object_set_new(question.arguments.config, "cpus", json_pack("[s, s]", "1022", "0"));
	json_object_set_new(question.arguments.config, "vifs",
		json_pack("[{}, {s:s, s:s?}]", "bridge", "br0", "mode",
			the_daemon->root ? "user" : NULL));
	assert_int_equal(ask(&operation_create, &manager, &question), 0);
	json_decref(question.value);
	assert_int_equal(warnings_with(""), 2);
	assert_int_equal(warnings_with("cap: nothing holds the guest to it"), 1);
	assert_int_equal(warnings_with("cpus[0]: '1022' names no processor"), 1);
	resources_open(the_daemon);
	assert_int_equal(warnings_with("cap:"),
		!the_daemon->cgroup ||
			!(cgroup_controllers(the_daemon->cgroup) & 1u << CGROUP_CPU));
	assert_int_equal(simply(&operation_delete, &manager, "wishes"), 0);
}

/* A user's rights are looked at here, not where he came in. */
static void test_rights(void **state)
{
	const struct caller stranger = {.uid = 5000, .gid = 5000};
	struct question question;
	struct listener listener = {.manager = false};
	struct error err = {0};
	bool no_guest;
	int fd;

	assert_int_equal(create(&manager, "one", "", true), 0);
	assert_int_equal(simply(&operation_get, &manager, "one"), 0);
	/* Not even that it is there. */
	question = prepare(&operation_get, "one");
	assert_int_equal(ask(&operation_get, &user, &question), -ENOENT);
	assert_true(question.no_guest);
	assert_int_equal(simply(&operation_delete, &user, "one"), -ENOENT);
	assert_int_equal(operation_console(the_daemon, &user, "one", &fd, &no_guest, &err),
		-ENOENT);
	assert_true(no_guest);
	assert_int_equal(operation_console(the_daemon, &manager, "one", &fd, &no_guest, &err),
		-ESRCH);
	assert_int_equal(simply(&operation_host, &stranger, NULL), -EACCES);
	assert_int_equal(operation_listen(the_daemon, &stranger, &listener, &err), -EACCES);
	assert_int_equal(operation_console(the_daemon, &stranger, "one", &fd, &no_guest, &err),
		-EACCES);
	/* One guest of 64 MiB, and what he opens lies in his folder. */
	assert_int_equal(create(&user, "his", "", true), -EACCES);
	assert_null(guest_by_name(the_daemon, user.uid, "his"));
	assert_int_equal(create(&manager, "his", "", true), 0);
	guest_by_name(the_daemon, manager.uid, "his")->owner = user.uid;
	assert_int_equal(create(&user, "second", "", true), -EDQUOT);
	question = prepare(&operation_memory_max, "his");
	question.arguments.memory = 131072;
	assert_int_equal(ask(&operation_memory_max, &user, &question), -EACCES);
	assert_int_equal(simply(&operation_start, &user, "his"), -EACCES);
	assert_int_equal(simply(&operation_delete, &user, "his"), 0);
	assert_int_equal(simply(&operation_delete, &manager, "one"), 0);
}

static void more(void *ctx)
{
	unsigned *count = ctx;

	(*count)++;
}

/* What the listener was told, as it is documented. */
static void check_events(const struct listener *listener)
{
	size_t at = 0;

	while (at < listener->used) {
		json_error_t error;
		json_t *event = json_loadb(listener->queue + at, listener->used - at,
			JSON_DISABLE_EOF_CHECK, &error);

		assert_non_null(event);
		openapi_check(api, openapi_schema(api, "Event"), event, "event");
		at += error.position + 1;
		json_decref(event);
	}
}

static void test_events(void **state)
{
	unsigned all = 0, his = 0;
	struct listener listeners[] = {{.more = more, .ctx = &all}, {.more = more, .ctx = &his}};
	struct error err = {0};

	assert_int_equal(operation_listen(the_daemon, &manager, &listeners[0], &err), 0);
	assert_int_equal(operation_listen(the_daemon, &user, &listeners[1], &err), 0);
	check_events(&listeners[0]);
	listeners[0].used = listeners[1].used = 0;
	assert_int_equal(create(&manager, "one", "", true), 0);
	assert_int_equal(simply(&operation_delete, &manager, "one"), 0);
	assert_true(memmem(listeners[0].queue, listeners[0].used, "\"removed\"", 9) != NULL);
	check_events(&listeners[0]);
	assert_int_equal(listeners[1].used, 0);
	assert_int_equal(all, 2);
	assert_int_equal(his, 1);
	events_leave(&the_daemon->events, &listeners[0]);
	events_leave(&the_daemon->events, &listeners[1]);
}

static void test_console(void **state)
{
	struct error err = {0};
	char byte;
	bool no_guest;
	int fd;

	assert_int_equal(create(&manager, "one", "", false), 0);
	if (operation_console(the_daemon, &manager, "one", &fd, &no_guest, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	close(fd);
	assert_int_equal(simply(&operation_destroy, &manager, "one"), 0);
}

/* Who has gone is not told; and what nobody waits for is freed with the daemon. */
static void test_nobody_waits(void **state)
{
	struct question question;
	struct operation *operation;

	assert_int_equal(create(&manager, "one", "deaf", false), 0);
	question = prepare(&operation_ask, "one");
	question.arguments.request.verb = REQUEST_PAUSE;
	operation = operation_begin(&operation_ask, the_daemon, &manager, &question.arguments, keep,
		&question);
	assert_non_null(operation);
	operation_abandon(operation);
	/* A monitor that does not answer is killed for that: meanwhile the daemon ends. */
	assert_false(question.answered);
	assert_non_null(the_daemon->operations);
	kill(guest_by_name(the_daemon, manager.uid, "one")->pid, SIGKILL);
	loop_timer_arm(&late, clock_now() + WAIT_NS);
	assert_int_equal(simply(&operation_list, &manager, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_host),
		cmocka_unit_test(test_a_life),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_nobody_waits),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
