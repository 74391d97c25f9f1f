/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs against a daemon that only pretends: what they ask, what they print, how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli_rig.h"

#define WEB                                                                               \
	"{'uuid': '0f3a4b5c-1111-2222-3333-444455556666', 'name': 'web', 'domid': 7,"     \
	" 'state': 'running', 'flags': 'r-----', 'memory': 65536, 'vcpus': 1,"            \
	" 'cpu_time': 1500000000, 'uptime': 61, 'managed': false,"                        \
	" 'scheduler': {'weight': 256, 'cap': 0}, 'config': {'name': 'web'}, 'vcpu': []," \
	" 'disks': [], 'networks': []}"
#define KEPT                                                                              \
	"{'uuid': '0f3a4b5c-1111-2222-3333-444455556667', 'name': 'kept', 'domid': null," \
	" 'state': 'off', 'flags': '------', 'memory': 65536, 'vcpus': 1,"                \
	" 'cpu_time': 0, 'managed': true, 'autostart': true, 'config': {}}"
#define HOST                                                                     \
	"{'name': 'Domain-0', 'domid': 0, 'flags': 'r-----', 'memory': 1048576," \
	" 'vcpus': 2, 'cpu_time': 0, 'uptime': 3600, 'vcpu': []}"
#define UUID "0f3a4b5c-1111-2222-3333-444455556666"

static const struct rig_answer answers[] = {
	{"GET", "/v1/guests", 200, "{'guests': [" WEB ", " KEPT "], 'domain0': " HOST "}"},
	{"GET", "/v1/guests/web", 200, WEB},
	{"GET", "/v1/guests/7", 200, WEB},
	{"GET", "/v1/guests/" UUID, 200, WEB},
	{"GET", "/v1/guests/kept", 200, KEPT},
	{"GET", "/v1/host", 200, "{'host': 'sirius', 'total_memory': 2097152, 'engines': []}"},
	{"GET", "/v1/host/log", 200, "{'lines': [{'time': 86400, 'text': 'web: started'}]}"},
	{"POST", "/v1/guests/web/pause", 200, WEB},
	{"POST", "/v1/guests/web/sysrq", 200, WEB},
	{"POST", "/v1/guests/web/rename", 409, "{'error': 'the name db is taken', 'errno': 17}"},
	{"POST", "/v1/guests/web/trigger", 200, WEB},
	{"POST", "/v1/guests/web/dump-core", 200, WEB},
	{"POST", "/v1/guests/" UUID "/shutdown", 200, WEB},
	{"POST", "/v1/guests/" UUID "/trigger", 200, WEB},
	{"POST", "/v1/guests/" UUID "/destroy", 200, WEB},
	{"PUT", "/v1/guests/web/memory", 200, WEB},
	{"PUT", "/v1/guests/web/memory-max", 200, WEB},
	{"PUT", "/v1/guests/web/scheduler", 200, WEB},
	{"PUT", "/v1/guests/web/vcpus/all/affinity", 200, WEB},
	{"PUT", "/v1/guests/kept/autostart", 200, KEPT},
	{NULL, NULL, 0, NULL},
};

static const char events[] =
	"{'event': 'hello', 'time': 1}\n"
	"{'event': 'ended', 'time': 2, 'uuid': 'another', 'reason': 'crash', 'action': 'destroy'}\n"
	"{'event': 'ended', 'time': 2, 'uuid': '" UUID "', 'reason': 'poweroff',"
	" 'action': 'destroy'}\n"
	"{'event': 'removed', 'time': 3, 'uuid': '" UUID "'}\n";

static struct rig rig;

static int start(void **state)
{
	rig_start(&rig, answers, events);
	return 0;
}

static int stop(void **state)
{
	rig_stop(&rig);
	return 0;
}

#define RUN(...)                                                                           \
	({                                                                                 \
		char *run_argv[] = {__VA_ARGS__, NULL};                                    \
		struct cli run_cli = {.dry = false};                                       \
		rig_run(&rig, &run_cli, sizeof run_argv / sizeof *run_argv - 1, run_argv); \
	})

static void lists(void **state)
{
	assert_int_equal(RUN("list"), 0);
	assert_string_equal(rig.out,
		"Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
		"Domain-0                                     0  1024     2     r-----       0.0\n"
		"web                                          7    64     1     r-----       1.5\n"
		"kept                                              64     1     ------       0.0\n");
	assert_string_equal(rig.err, "");
	assert_int_equal(RUN("list", "web"), 0);
	assert_string_equal(rig.out,
		"Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
		"web                                          7    64     1     r-----       1.5\n");
	assert_int_equal(RUN("list", "nobody"), 1);
	assert_string_equal(rig.out, "");
	assert_string_equal(rig.err, "Error: Domain 'nobody' does not exist.\n");
	assert_int_equal(RUN("list", "-l", "web"), 0);
	assert_non_null(strstr(rig.out, "\"domid\": 7"));
	assert_non_null(strstr(rig.out, "\"name\": \"web\""));
	assert_int_equal(RUN("list", "--json", "web"), 0);
	assert_non_null(strstr(rig.out, "\"cpu_time\": 1500000000"));
	assert_int_equal(RUN("uptime", "web", "0"), 0);
	assert_string_equal(rig.out,
		"Name                                ID Uptime\n"
		"web                                  7  0:01:01\n"
		"Domain-0                             0  1:00:00\n");
	assert_int_equal(RUN("sched-credit", "-d", "web"), 0);
	assert_string_equal(rig.out,
		"Name                                ID Weight  Cap\n"
		"web                                  7    256    0\n");
	assert_int_equal(RUN("sched-credit"), 0);
	assert_null(strstr(rig.out, "kept"));
}

#define TOP_GUESTS(time)                                                                   \
	"{'domain0': {'name': 'Domain-0', 'domid': 0, 'cpu_time': " time "}, 'guests': [{" \
	"'name': 'web', 'uuid': 'u', 'domid': 7, 'cpu_time': " time "}]}"

/* The first table tells what a guest uses now, not 0; an hour of it passes between two questions. */
static void top_first(void **state)
{
	static const struct rig_answer used[] = {
		{"GET", "/v1/guests", 200, TOP_GUESTS("1000")},
		{"GET", "/v1/host", 200, "{'total_memory': 1000}"},
		{NULL, NULL, 0, NULL},
	};
	const char *line;
	double percent = 0;

	rig_stop(&rig);
	rig_start(&rig, used, events);
	rig.then = TOP_GUESTS("3600000001000");
	assert_int_equal(RUN("top", "-b", "-i", "1"), 0);
	line = strstr(rig.out, " web ");
	assert_non_null(line);
	assert_int_equal(sscanf(line, " web %*s %*s %lf", &percent), 1);
	assert_true(percent > 100);
	assert_null(strstr(line + 5, " web "));
}

static void names(void **state)
{
	assert_int_equal(RUN("domid", "web"), 0);
	assert_string_equal(rig.out, "7\n");
	assert_int_equal(RUN("domid", "kept"), 1);
	assert_int_equal(RUN("domname", "7"), 0);
	assert_string_equal(rig.out, "web\n");
	assert_int_equal(RUN("domname", "0"), 0);
	assert_string_equal(rig.out, "Domain-0\n");
	assert_int_equal(RUN("domname", "web"), 1);
	assert_string_equal(rig.err, "Invalid domain id.\n\n");
	assert_int_equal(RUN("domstate", "kept"), 0);
	assert_string_equal(rig.out, "shutoff\n");
	assert_int_equal(RUN("info", "total"), 0);
	assert_string_equal(rig.out, "2048\n");
	assert_int_equal(RUN("dmesg"), 0);
	assert_non_null(strstr(rig.out, " web: started\n"));
}

static void acts(void **state)
{
	assert_int_equal(RUN("pause", "web"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/web/pause \n");
	assert_string_equal(rig.out, "");
	assert_int_equal(RUN("pause", "no/body"), 1);
	assert_string_equal(rig.asked, "POST /v1/guests/no%2Fbody/pause \n");
	assert_string_equal(rig.err, "no/body is an invalid domain identifier (rc=-6)\n");
	assert_int_equal(RUN("pause"), 2);
	assert_int_equal(RUN("sysrq", "web", "h"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/web/sysrq {\"key\":\"h\"}\n");
	assert_int_equal(RUN("sysrq", "web", "hh"), 1);
	assert_int_equal(RUN("rename", "web", "db"), 1);
	assert_string_equal(rig.err, "dach rename: the name db is taken\n");
	assert_int_equal(RUN("trigger", "web", "nmi"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/web/trigger {\"trigger\":\"nmi\"}\n");
	assert_int_equal(RUN("trigger", "web", "s3resume"), 1);
	assert_string_equal(rig.err, "Invalid trigger \"s3resume\"\n");
	assert_int_equal(RUN("dump-core", "web", "/x/core"), 0);
	assert_string_equal(rig.asked,
		"POST /v1/guests/web/dump-core {\"path\":\"/x/core\",\"live\":false}\n");
	assert_int_equal(RUN("autostart", "kept", "off"), 0);
	assert_string_equal(rig.asked, "PUT /v1/guests/kept/autostart {\"autostart\":false}\n");
	assert_int_equal(RUN("autostart", "kept"), 0);
	assert_string_equal(rig.out, "on\n");
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		long kib; /* -1: refused */
	} cases[] = {{"256", 262144}, {"256m", 262144}, {"1G", 1048576}, {"65536k", 65536},
		{"67108864b", 65536}, {"", -1}, {"b", -1}, {"12kb", -1}, {"1.5g", -1},
		{"99999999999999999999", -1}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char expected[128] = "";

		if (cases[i].kib >= 0)
			snprintf(expected, sizeof expected,
				"PUT /v1/guests/web/memory {\"memory\":%ld}\n", cases[i].kib);
		assert_int_equal(RUN("mem-set", "web", (char *)cases[i].text), cases[i].kib < 0);
		assert_string_equal(rig.asked, expected);
	}
	assert_string_equal(rig.err, "invalid memory size: 99999999999999999999\n");
	assert_int_equal(RUN("mem-max", "web", "64"), 0);
	assert_string_equal(rig.asked, "PUT /v1/guests/web/memory-max {\"memory\":65536}\n");
	assert_int_equal(RUN("sched-credit", "-d", "web", "-w=512", "-c", "50"), 0);
	assert_string_equal(rig.asked,
		"PUT /v1/guests/web/scheduler {\"weight\":512,\"cap\":50}\n");
	assert_int_equal(RUN("sched-credit", "-w", "512"), 1);
	assert_int_equal(RUN("vcpu-pin", "web", "all", "0-1", "-"), 0);
	assert_string_equal(rig.asked,
		"PUT /v1/guests/web/vcpus/all/affinity {\"cpus\":\"0-1\"}\n");
	assert_int_equal(RUN("vcpu-pin", "web", "../x", "0-1"), 1);
	assert_string_equal(rig.asked, "");
}

static void ends(void **state)
{
	assert_int_equal(RUN("shutdown", "-w", "web"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/" UUID "/shutdown \n");
	assert_string_equal(rig.err,
		"Shutting down domain 7\n"
		"Waiting for 1 domains\n"
		"Domain 7 has been shut down, reason code 0\n");
	assert_int_equal(RUN("shutdown", "-aw"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/" UUID "/shutdown \n");
	assert_int_equal(RUN("shutdown"), 1);
	assert_string_equal(rig.err, "You must specify -a or a domain id.\n\n");
	assert_int_equal(RUN("reboot", "-F", "7"), 0);
	assert_string_equal(rig.asked,
		"POST /v1/guests/" UUID "/trigger {\"trigger\":\"reset\"}\n");
	assert_string_equal(rig.err, "Rebooting domain 7\n");
	assert_int_equal(RUN("destroy", "web"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/" UUID "/destroy \n");
	assert_int_equal(RUN("destroy", "nobody"), 1);
	assert_string_equal(rig.err, "nobody is an invalid domain identifier (rc=-6)\n");
}

static void pretends(void **state)
{
	char *argv[] = {"mem-set", "web", "64", NULL};
	struct cli cli = {.dry = true};

	assert_int_equal(rig_run(&rig, &cli, 3, argv), 0);
	assert_string_equal(rig.asked, "");
	assert_string_equal(rig.out,
		"{\"method\": \"PUT\", \"path\": \"/v1/guests/web/memory\", "
		"\"body\": {\"memory\": 65536}}\n");
}

/* Bytes both ways, and no terminal to put in order: input's end is not the console's. */
static void console(void **state)
{
	int in[2], saved = dup(0);

	assert_int_equal(pipe(in), 0);
	assert_int_equal(write(in[1],
				 "a\x1d"
				 "b\x1d.",
				 5),
		5);
	close(in[1]);
	dup2(in[0], 0);
	close(in[0]);
	assert_int_equal(RUN("console", "web"), 0);
	assert_string_equal(rig.out, "history\r\n<61><1d><62><1d>");
	dup2(saved, 0);
	close(saved);
	assert_int_equal(RUN("console", "nobody"), 1);
	assert_string_equal(rig.err, "nobody is an invalid domain identifier (rc=-6)\n");
	assert_int_equal(RUN("console", "-t", "vnc", "web"), 1);
}

/* Every verb tells about itself, and no option's letter stands for two. */
static void helps(void **state)
{
	for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
		char *argv[] = {(char *)verb->name, "--help", NULL};
		struct cli cli = {.dry = false};

		assert_int_equal(rig_run(&rig, &cli, 2, argv), 0);
		assert_non_null(strstr(rig.out, "usage: dach "));
		assert_non_null(strstr(rig.out, verb->name));
		for (const struct option_spec *a = verb->options; a && a->name; a++) {
			const struct option_spec *b = a + 1;

			for (; b->name; b++)
				assert_string_not_equal(a->name, b->name);
			assert_true(a->id < 1000);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists, start, stop),
		cmocka_unit_test_setup_teardown(names, start, stop),
		cmocka_unit_test_setup_teardown(top_first, start, stop),
		cmocka_unit_test_setup_teardown(acts, start, stop),
		cmocka_unit_test_setup_teardown(sizes, start, stop),
		cmocka_unit_test_setup_teardown(ends, start, stop),
		cmocka_unit_test_setup_teardown(pretends, start, stop),
		cmocka_unit_test_setup_teardown(console, start, stop),
		cmocka_unit_test_setup_teardown(helps, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
