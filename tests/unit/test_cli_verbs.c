/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs against a daemon that only pretends: what they ask, what they print, how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <sys/stat.h>

#include "base/json.h"
#include "cli_rig.h"
#include "protocol/fields.h"
#include "protocol/request.h"

#define WEB                                                                               \
	"{'uuid': '0f3a4b5c-1111-2222-3333-444455556666', 'name': 'web', 'domid': 7,"     \
	" 'state': 'running', 'flags': 'r-----', 'memory': 65536, 'vcpus': 1,"            \
	" 'cpu_time': 1500000000, 'uptime': 61, 'managed': false,"                        \
	" 'scheduler': {'weight': 256, 'cap': 0}, 'config': {'name': 'web'}, 'vcpu': []," \
	" 'disks': [], 'networks': []}"
#define WEB_OFF "{'uuid': '0f3a4b5c-1111-2222-3333-444455556666', 'domid': null, 'state': 'off'}"
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
	{"POST", "/v1/guests/web/disk-layer", 200, WEB},
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

static void lists(void **state)
{
	assert_int_equal(RUN("list"), 0);
	assert_string_equal(rig.out,
		"Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
		"Domain-0                                     0  1024     2     r-----       0.0\n"
		"web                                          7    64     1     r-----       1.5\n"
		"kept                                         -    64     1     ------       0.0\n");
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
	assert_int_equal(RUN("list", "-l", "--json", "web"), 0);
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

/* As xl, a guest that is off is not there, but for programs that ask for our own JSON. */
static void lists_as_xl(void **state)
{
	static const char *const words[][3] = {{"list"}, {"list", "kept"},
		{"list", "--json", "kept"}, {"list", "-l"}};
	static const int statuses[] = {0, 1, 0, 0};
	static const char *const has[] = {"web ", "", "\"name\": \"kept\"",
		"\n        \"domid\": 7,\n        \"config\": {\n            \"c_info\": {\n"};

	for (unsigned n = 0; n < 4; n++) {
		struct cli cli = {.program = "xl"};
		char *argv[4] = {NULL};
		int argc = 0;

		for (; argc < 3 && words[n][argc]; argc++)
			argv[argc] = (char *)words[n][argc];
		assert_int_equal(rig_run(&rig, &cli, argc, argv), statuses[n]);
		assert_non_null(strstr(rig.out, has[n]));
		assert_true(n == 2 || !strstr(rig.out, "kept"));
	}
}

#define TOP_GUESTS(time)                                                             \
	"{'domain0': {'name': 'Domain-0', 'domid': 0, 'vcpus': 2, 'cpu_time': " time \
	"}, 'guests': [{"                                                            \
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
	/* The host has two processors, and no more than that is of use. */
	assert_int_equal(sscanf(rig.out, "%*[^\n] Domain-0 %*s %*s %lf", &percent), 1);
	assert_true(percent == 200);
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
	assert_string_equal(rig.asked, "");
	assert_int_equal(RUN("trigger", "web", "nmi", "1"), 0);
	assert_string_equal(rig.asked,
		"POST /v1/guests/web/trigger {\"trigger\":\"nmi\",\"vcpu\":1}\n");
	assert_int_equal(RUN("trigger", "web", "nmi", "x"), 1);
	assert_string_equal(rig.asked, "");
	assert_non_null(strstr(rig.err, "dach trigger: vcpu: "));
	assert_int_equal(RUN("rename", "web", "db"), 1);
	assert_string_equal(rig.err, "dach rename: the name db is taken\n");
	assert_int_equal(RUN("trigger", "web", "nmi"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/web/trigger {\"trigger\":\"nmi\"}\n");
	assert_int_equal(RUN("trigger", "web", "s3resume"), 1);
	assert_string_equal(rig.err, "Invalid trigger \"s3resume\"\n");
	assert_int_equal(RUN("dump-core", "web", "/x/core"), 0);
	assert_string_equal(rig.asked,
		"POST /v1/guests/web/dump-core {\"path\":\"/x/core\",\"live\":false}\n");
	assert_int_equal(RUN("disk", "layer", "web"), 0);
	assert_string_equal(rig.asked, "POST /v1/guests/web/disk-layer {}\n");
	assert_int_equal(RUN("disk", "layer", "--folder", "/x", "web", "xvda", "xvdb"), 0);
	assert_string_equal(rig.asked,
		"POST /v1/guests/web/disk-layer {\"folder\":\"/x\",\"disks\":[\"xvda\",\"xvdb\"]}\n");
	assert_int_equal(RUN("disk", "layer"), 2);
	assert_int_equal(RUN("disk", "backup", "web", "xvda"), 2);
	assert_int_equal(RUN("disk", "stream", "--rate", "x", "web", "xvda"), 1);
	assert_string_equal(rig.asked, "");
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

/* Each of all is asked, and one that has ended by itself meanwhile is as it should be. */
static void ends_by_itself(void **state)
{
	static const struct rig_answer meanwhile[] = {
		{"GET", "/v1/guests", 200,
			"{'guests': [" WEB ", {'uuid': 'gone', 'name': 'gone',"
			" 'domid': 8}, {'uuid': 'ending', 'name': 'ending', 'domid': 9}],"
			" 'domain0': " HOST "}"},
		{"POST", "/v1/guests/" UUID "/shutdown", 200, WEB},
		{"POST", "/v1/guests/ending/shutdown", 409,
			"{'error': 'the guest has ended meanwhile', 'errno': 3}"},
		{"POST", "/v1/guests/" UUID "/destroy", 500, "{'error': 'no room', 'errno': 28}"},
		{"POST", "/v1/guests/ending/destroy", 200, WEB},
		{NULL, NULL, 0, NULL},
	};

	rig_stop(&rig);
	rig_start(&rig, meanwhile, events);
	assert_int_equal(RUN("shutdown", "--all", "--halt", "--wait"), 0);
	assert_string_equal(rig.err,
		"Shutting down domain 7\nShutting down domain 8\nShutting down domain 9\n"
		"Waiting for 1 domains\n"
		"Domain 7 has been shut down, reason code 0\n");
	assert_int_equal(RUN("destroy", "-a"), 1);
	assert_string_equal(rig.err, "dach destroy: no room\n");
	assert_non_null(strstr(rig.asked, "POST /v1/guests/ending/destroy"));
	assert_int_equal(RUN("shutdown", "-H", "ending"), 1);
	assert_string_equal(rig.err, "ending is an invalid domain identifier (rc=-6)\n");
	rig_stop(&rig);
	rig_start(&rig, answers, events);
	assert_int_equal(RUN("shutdown", "-R", "web"), 1); /* this daemon knows no reboot */
	assert_string_equal(rig.asked, "POST /v1/guests/" UUID "/reboot \n");
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

/* Images are listed for programs, too; what others have written into them is text. */
static void images(void **state)
{
	char store[] = "/tmp/dach-test-XXXXXX", path[64], command[64];
	json_t *list;
	FILE *file;

	assert_non_null(mkdtemp(store));
	setenv("DACH_IMAGES", store, 1);
	snprintf(path, sizeof path, "%s/one", store);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/one/image.conf", store);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs("dist book\"worm\nhostname one\ncmdline quiet\n", file);
	fclose(file);
	snprintf(path, sizeof path, "%s/one/disk.raw", store);
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(RUN("image", "list", "--json"), 0);
	list = json_loads(rig.out, 0, NULL);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_get_text(json_array_get(list, 0), "name"), "one");
	assert_string_equal(json_get_text(json_array_get(list, 0), "distribution"), "book\"worm");
	json_decref(list);
	assert_int_equal(RUN("image", "list"), 0);
	assert_non_null(strstr(rig.out, "one "));
	unsetenv("DACH_IMAGES");
	snprintf(command, sizeof command, "rm -r %s", store);
	assert_int_equal(system(command), 0);
}

static int console_of(const char *program, const char *keys)
{
	char *argv[] = {"console", "web", NULL};
	struct cli cli = {.program = program};
	int in[2], saved = dup(0), status;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(write(in[1], keys, strlen(keys)), strlen(keys));
	close(in[1]);
	dup2(in[0], 0);
	close(in[0]);
	status = rig_run(&rig, &cli, 2, argv);
	dup2(saved, 0);
	close(saved);
	return status;
}

/* Bytes both ways, and no terminal to put in order: input's end is not the console's, but as xl. */
static void console(void **state)
{
	static const struct rig_answer one[] = {
		{"GET", "/v1/guests/web", 200, WEB},
		{"GET", "/v1/guests/" UUID, 200, WEB_OFF},
		{NULL, NULL, 0, NULL},
	};

	rig_stop(&rig);
	rig_start(&rig, one, events);
	assert_int_equal(console_of("dach",
				 "a\x1d"
				 "b\x1d."),
		0);
	assert_string_equal(rig.out, "history\r\n<61><1d><62><1d>");
	assert_string_equal(rig.err, "");
	assert_int_equal(console_of("xl", "ab"), 0);
	assert_string_equal(rig.out, "history\r\n<61><62>");
	assert_int_equal(RUN("console", "nobody"), 1);
	assert_string_equal(rig.err, "nobody is an invalid domain identifier (rc=-6)\n");
	assert_int_equal(RUN("console", "-t", "vnc", "web"), 1);
}

/* The stream ends and the guest does not. */
static void console_is_lost(void **state)
{
	assert_int_equal(console_of("dach", "a."), 1);
	assert_string_equal(rig.err,
		"dach console: the connection to the console of web was lost; the guest runs on\n");
}

/* Each route of doc/openapi.json: the words that use it, or why nobody here does. */
static const struct use {
	const char *method, *path;
	char *words[6];
	const char *reason;
} uses[] = {
	{"get", "/v1/host", .words = {"info"}},
	{"get", "/v1/host/log", .words = {"dmesg"}},
	{"delete", "/v1/host/log", .words = {"dmesg", "-c"}},
	{"get", "/v1/events", .words = {"shutdown", "-w", "web"}},
	{"get", "/v1/guests", .words = {"list"}},
	{"post", "/v1/guests", .words = {"create", "-q", "name='new'", "kernel='/x'"}},
	{"get", "/v1/guests/{ref}", .words = {"domid", "web"}},
	{"delete", "/v1/guests/{ref}", .words = {"delete", "web"}},
	{"post", "/v1/guests/{ref}/start", .words = {"start", "web"}},
	{"post", "/v1/guests/{ref}/pause", .words = {"pause", "web"}},
	{"post", "/v1/guests/{ref}/unpause", .words = {"unpause", "web"}},
	{"post", "/v1/guests/{ref}/shutdown", .words = {"shutdown", "web"}},
	{"post", "/v1/guests/{ref}/reboot", .words = {"reboot", "web"}},
	{"post", "/v1/guests/{ref}/destroy", .words = {"destroy", "web"}},
	{"post", "/v1/guests/{ref}/trigger", .words = {"trigger", "web", "nmi"}},
	{"post", "/v1/guests/{ref}/sysrq", .words = {"sysrq", "web", "h"}},
	{"post", "/v1/guests/{ref}/convert",
		.reason = "dach convert makes an image first: tests/guest/convert.sh"},
	{"post", "/v1/guests/{ref}/rename", .words = {"rename", "web", "db"}},
	{"post", "/v1/guests/{ref}/dump-core", .words = {"dump-core", "web", "/x"}},
	{"post", "/v1/guests/{ref}/disk-layer", .words = {"disk", "layer", "web", "xvda"}},
	{"post", "/v1/guests/{ref}/disk-stream", .words = {"disk", "stream", "web", "xvda"}},
	{"post", "/v1/guests/{ref}/disk-commit", .words = {"disk", "commit", "web", "xvda"}},
	{"post", "/v1/guests/{ref}/disk-resize", .words = {"disk", "resize", "web", "xvda", "1g"}},
	{"post", "/v1/guests/{ref}/disk-attach",
		.words = {"block-attach", "web", "/x", "raw", "xvdb", "w"}},
	{"post", "/v1/guests/{ref}/disk-detach", .words = {"block-detach", "web", "xvdb"}},
	{"post", "/v1/guests/{ref}/network-attach",
		.words = {"network-attach", "web", "bridge=br0", "ip=10.0.0.2"}},
	{"post", "/v1/guests/{ref}/network-forward",
		.words = {"network-forward", "web", "0", "tcp::8080-:80"}},
	{"post", "/v1/guests/{ref}/network-detach", .words = {"network-detach", "web", "0"}},
	{"post", "/v1/guests/{ref}/share-attach", .words = {"share-attach", "web", "/srv:/mnt,ro"}},
	{"post", "/v1/guests/{ref}/share-detach", .words = {"share-detach", "web", "/mnt"}},
	{"post", "/v1/guests/{ref}/disk-medium", .words = {"cd-insert", "web", "hdc", "/x"}},
	{"post", "/v1/guests/{ref}/disk-export",
		.words = {"disk", "export", "--socket=/x", "web", "xvda"}},
	{"post", "/v1/guests/{ref}/disk-backup", .words = {"disk", "backup", "web", "xvda", "/x"}},
	{"post", "/v1/guests/{ref}/disk-move", .words = {"disk", "move", "web", "xvda", "/x"}},
	{"post", "/v1/guests/{ref}/disk-checkpoint",
		.words = {"disk", "checkpoint", "web", "xvda", "monday"}},
	{"post", "/v1/guests/{ref}/save", .words = {"save", "web", "/x"}},
	{"post", "/v1/guests/{ref}/clone", .words = {"clone", "web"}},
	{"get", "/v1/guests/{ref}/migration", .reason = "what migrate opens before it asks"},
	{"post", "/v1/guests/{ref}/migrate",
		.reason = "what migrate asks once the other host is ready"},
	{"post", "/v1/receive",
		.reason = "what migrate-receive asks once it knows which guest comes"},
	{"get", "/v1/guests/{ref}/snapshots", .words = {"snapshot", "list", "web"}},
	{"post", "/v1/guests/{ref}/snapshots", .words = {"snapshot", "create", "web", "one"}},
	{"get", "/v1/guests/{ref}/snapshots/{snapshot}",
		.words = {"snapshot", "show", "web", "one"}},
	{"delete", "/v1/guests/{ref}/snapshots/{snapshot}",
		.words = {"snapshot", "delete", "web", "one"}},
	{"post", "/v1/guests/{ref}/snapshots/{snapshot}/revert",
		.words = {"snapshot", "revert", "web", "one"}},
	{"post", "/v1/restore", .words = {"restore", "/x"}},
	{"post", "/v1/guests/{ref}/suspend", .words = {"suspend", "web"}},
	{"post", "/v1/guests/{ref}/live-update", .words = {"live-update", "web"}},
	{"post", "/v1/guests/{ref}/resume", .words = {"resume", "web"}},
	{"get", "/v1/guests/{ref}/jobs", .words = {"jobs", "web"}},
	{"post", "/v1/guests/{ref}/cancel", .words = {"cancel", "web", "1"}},
	{"put", "/v1/guests/{ref}/memory", .words = {"mem-set", "web", "64"}},
	{"put", "/v1/guests/{ref}/memory-max", .words = {"mem-max", "web", "64"}},
	{"get", "/v1/guests/{ref}/scheduler", .reason = "what GET /v1/guests/{ref} tells has it"},
	{"put", "/v1/guests/{ref}/scheduler", .words = {"sched-credit", "-d", "web", "-w", "512"}},
	{"put", "/v1/guests/{ref}/autostart", .words = {"autostart", "web", "on"}},
	{"put", "/v1/guests/{ref}/vcpus/{vcpu}/affinity", .words = {"vcpu-pin", "web", "all", "0"}},
	{"get", "/v1/hosts", .words = {"host", "list"}},
	{"post", "/v1/hosts", .words = {"host", "add", "web", "192.0.2.1", "TOKEN"}},
	{"post", "/v1/host/token", .words = {"host", "token", "web"}},
	{"get", "/v1/hosts/{ref}", .words = {"host", "show", "web"}},
	{"delete", "/v1/hosts/{ref}", .words = {"host", "remove", "web"}},
	{"post", "/v1/hosts/{ref}/fetch",
		.reason = "what evacuate asks once it knows which guests are away"},
	{"get", "/v1/networks", .words = {"network", "list"}},
	{"post", "/v1/networks", .words = {"network", "create", "--subnet6", "fd05::/64", "lan"}},
	{"get", "/v1/networks/{ref}", .words = {"network", "show", "web"}},
	{"put", "/v1/networks/{ref}", .words = {"network", "edit", "--autostart=off", "web"}},
	{"delete", "/v1/networks/{ref}", .words = {"network", "delete", "web"}},
	{"post", "/v1/networks/{ref}/start", .words = {"network", "start", "web"}},
	{"post", "/v1/networks/{ref}/stop", .words = {"network", "stop", "web"}},
	{"get", "/v1/guests/{ref}/console", .words = {"console", "web"}},
	{"get", "/v1/guests/{ref}/screen", .words = {"screenshot", "web", "/dev/null"}},
	{"get", "/v1/guests/{ref}/exec", .words = {"enter", "web"}},
};

/* With what the words name in the places of a path. */
static void fill(char *line, size_t size, const char *path, const char *ref)
{
	const struct {
		const char *place, *word;
	} places[] = {{"{ref}", ref}, {"{vcpu}", "all"}, {"{snapshot}", "one"}};
	size_t len = strlen(line);

	while (*path && len + 64 < size) {
		for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
			if (!strncmp(path, places[i].place, strlen(places[i].place))) {
				len += snprintf(line + len, size - len, "%s", places[i].word);
				path += strlen(places[i].place);
			}
		if (*path)
			line[len++] = *path++;
	}
	snprintf(line + len, size - len, "\n");
}

/* "GET /v1/guests/web" as the words ask for it; their guest is web, whose UUID is as good. */
static bool was_asked(const struct use *use)
{
	static const char *const refs[] = {"web", UUID};

	for (unsigned i = 0; i < 2; i++) {
		char line[256];

		snprintf(line, sizeof line, "%s ", use->method);
		for (char *c = line; *c; c++)
			*c = toupper((unsigned char)*c);
		fill(line, sizeof line, use->path, refs[i]);
		if (strstr(rig.paths, line))
			return true;
	}
	return false;
}

static void check_use(const struct use *use)
{
	struct cli cli = {.dry = false};
	char *words[7] = {NULL};
	int count = 0, saved = dup(0), in[2];

	if (use->reason)
		return;
	while (count < 6 && use->words[count]) {
		words[count] = use->words[count];
		count++;
	}
	/* What ends the rig's console. */
	assert_int_equal(pipe(in), 0);
	assert_int_equal(write(in[1], ".", 1), 1);
	close(in[1]);
	dup2(in[0], 0);
	close(in[0]);
	rig_run(&rig, &cli, count, words);
	dup2(saved, 0);
	close(saved);
	if (!was_asked(use))
		fail_msg("%s %s: %s does not use it, but\n%s", use->method, use->path,
			use->words[0], rig.paths);
}

static void routes_are_used(void **state)
{
	json_t *api = json_load_file(TEST_SOURCE_DIR "/../../doc/openapi.json", 0, NULL), *methods;
	json_t *operation;
	const char *path, *method;

	json_object_foreach(json_object_get(api, "paths"), path, methods)
	{
		json_object_foreach(methods, method, operation)
		{
			const size_t count = sizeof uses / sizeof *uses;
			unsigned i = 0;

			if (!strcmp(method, "parameters"))
				continue;
			while (i < count &&
				(strcmp(uses[i].method, method) || strcmp(uses[i].path, path)))
				i++;
			if (i == count)
				fail_msg("%s %s: who uses it?", method, path);
			else
				check_use(&uses[i]);
		}
	}
	json_decref(api);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lists, start, stop),
		cmocka_unit_test_setup_teardown(lists_as_xl, start, stop),
		cmocka_unit_test_setup_teardown(names, start, stop),
		cmocka_unit_test_setup_teardown(top_first, start, stop),
		cmocka_unit_test_setup_teardown(acts, start, stop),
		cmocka_unit_test_setup_teardown(sizes, start, stop),
		cmocka_unit_test_setup_teardown(ends, start, stop),
		cmocka_unit_test_setup_teardown(ends_by_itself, start, stop),
		cmocka_unit_test_setup_teardown(pretends, start, stop),
		cmocka_unit_test_setup_teardown(images, start, stop),
		cmocka_unit_test_setup_teardown(console, start, stop),
		cmocka_unit_test_setup_teardown(console_is_lost, start, stop),
		cmocka_unit_test_setup_teardown(routes_are_used, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
