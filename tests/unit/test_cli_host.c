/* SPDX-License-Identifier: Apache-2.0 */
/* What the host's end does to guests: its settings, the order, what is asked of the daemon, the list that is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "cli/xendomains.h"
#include "cli_rig.h"

#define GUEST(n, managed, state, config)                                       \
	"{'uuid': '" n "', 'name': 'g" n "', 'domid': " n ", 'state': '" state \
	"', 'managed': " managed ", 'autostart': false, 'memory_max': 1024, 'config': " config "}"
#define ONE GUEST("1", "true", "running", "{'on_host_shutdown': 'suspend'}")
#define TWO GUEST("2", "false", "running", "{'on_host_shutdown': 'suspend'}")
#define THREE GUEST("3", "false", "running", "{}")
#define FOUR GUEST("4", "false", "running", "{'on_host_shutdown': 'ignore'}")
#define FIVE GUEST("5", "false", "running", "{'on_host_shutdown': 'destroy'}")
#define SIX GUEST("6", "true", "running", "{'on_host_shutdown': 'suspend'}")
#define GONE "{'event': 'ended', 'time': 2, 'reason': 'poweroff', 'action': 'destroy', 'uuid': "

static const struct rig_answer answers[] = {
	{"GET", "/v1/guests", 200,
		"{'guests': [" ONE "," TWO "," THREE "," FOUR "," FIVE "," SIX "], 'domain0': {}}"},
	{"GET", "/v1/guests/1", 200, ONE},
	{"GET", "/v1/guests/2", 200, TWO},
	{"GET", "/v1/guests/6", 200, SIX},
	{"POST", "/v1/guests/1/suspend", 200, ONE},
	{"POST", "/v1/guests/2/save", 200, TWO},
	{"POST", "/v1/guests/6/suspend", 500, "{'error': 'no room', 'errno': 28}"},
	{"POST", "/v1/guests/6/shutdown", 200, SIX},
	{"POST", "/v1/guests/3/shutdown", 200, THREE},
	{"POST", "/v1/guests/5/destroy", 200, FIVE},
	{"POST", "/v1/restore", 201, TWO},
	{"POST", "/v1/guests/1/resume", 200, ONE},
	{NULL, NULL, 0, NULL},
};

static const char events[] = "{'event': 'hello', 'time': 1}\n" GONE "'6'}\n" GONE
			     "'3'}\n{'event': 'removed', 'time': 3, 'uuid': '3'}\n";

static struct rig rig;
static char file[128];

static int start(void **state)
{
	rig_start(&rig, answers, events);
	setenv("DACH_STATE", rig.folder, 1);
	snprintf(file, sizeof file, "%s/settings", rig.folder);
	return 0;
}

static void write_settings(const char *text)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static int run(const char *verb)
{
	struct cli cli = {0};
	char *words[] = {(char *)verb, "--settings", file, NULL};

	return rig_run(&rig, &cli, 3, words);
}

static void settings(void **unused)
{
	struct xendomains s;
	struct error err = {""};

	unlink(file);
	assert_int_equal(xendomains_read(file, &s, &err), 0);
	assert_true(!s.save && s.restore && !s.autos && !s.auto_only && s.maxwait == 90);
	write_settings("# XENDOMAINS_SAVE=/no\nXENDOMAINS_SAVE=/var/lib/xen/save # here\n"
		       "  XENDOMAINS_RESTORE=\"false\"\nXENDOMAINS_AUTO='/etc/xen/auto'\n"
		       "XENDOMAINS_AUTO_ONLY=true\nXENDOMAINS_STOP_MAXWAIT=300\n"
		       "XENDOMAINS_SYSRQ=\nnonsense\n=\n");
	assert_int_equal(xendomains_read(file, &s, &err), 0);
	assert_string_equal(s.save, "/var/lib/xen/save");
	assert_string_equal(s.autos, "/etc/xen/auto");
	assert_true(!s.restore && s.auto_only && s.maxwait == 300);
	xendomains_free(&s);
	write_settings("XENDOMAINS_SAVE=\nXENDOMAINS_STOP_MAXWAIT=\n");
	assert_int_equal(xendomains_read(file, &s, &err), 0);
	assert_true(!s.save && s.maxwait == 90);
	xendomains_free(&s);
	write_settings("XENDOMAINS_SAVE=/x\nXENDOMAINS_STOP_MAXWAIT=soon\n");
	assert_true(xendomains_read(file, &s, &err) < 0);
	assert_non_null(
		strstr(err.text, "settings: XENDOMAINS_STOP_MAXWAIT: 'soon' is not a number"));
	assert_int_equal(run("host-stop"), 1);
}

/* Where each is asked for in what was asked. */
static const char *asked(const char *what)
{
	const char *at = strstr(rig.asked, what);

	if (!at)
		fail_msg("%s was not asked for, but\n%s%s", what, rig.asked, rig.err);
	return at;
}

static void guests_end_as_they_are_to(void **unused)
{
	char list[128], text[512] = "";
	FILE *in;

	write_settings("");
	if (run("host-stop"))
		fail_msg("%s%s", rig.asked, rig.err);
	/* The last first; those that end by themselves before those that are saved. */
	assert_true(asked("POST /v1/guests/5/destroy") < asked("POST /v1/guests/3/shutdown"));
	assert_true(asked("/3/shutdown") < asked("POST /v1/guests/6/suspend"));
	assert_true(asked("/6/suspend") < asked("POST /v1/guests/2/save"));
	assert_true(asked("/2/save") < asked("POST /v1/guests/1/suspend"));
	/* What cannot be saved is shut down, and waited for. */
	asked("POST /v1/guests/6/shutdown");
	assert_null(strstr(rig.asked, "/4/"));
	assert_non_null(strstr(rig.err, "Domain 6 has been shut down"));
	snprintf(list, sizeof list, "%s/host-stopped", rig.folder);
	in = fopen(list, "r");
	assert_non_null(in);
	assert_true(fread(text, 1, sizeof text - 1, in) > 0);
	fclose(in);
	/* In the order in which they were started, so that they go on in it. */
	assert_non_null(strstr(text, "[{\"uuid\":\"1\"},{\"uuid\":\"2\",\"file\":\""));
	assert_non_null(strstr(text, "/host/2\"}]"));

	/* Not if it is not wanted; and then the list stays. */
	write_settings("XENDOMAINS_RESTORE=no\n");
	assert_int_equal(run("host-start"), 0);
	assert_string_equal(rig.asked, "");
	write_settings("");
	assert_int_equal(run("host-start"), 0);
	/* The first is on already (the daemon starts some itself), the other's file is there. */
	asked("POST /v1/restore {\"path\":\"");
	assert_null(strstr(rig.asked, "resume"));
	assert_int_equal(access(list, F_OK), -1);
	assert_int_equal(run("host-start"), 0);
	assert_string_equal(rig.asked, "");
	snprintf(list, sizeof list, "%s/host", rig.folder);
	rmdir(list);
}

static int stop(void **state)
{
	unlink(file);
	rig_stop(&rig);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings),
		cmocka_unit_test(guests_end_as_they_are_to),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
