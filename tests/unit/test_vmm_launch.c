/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor is told: its configuration, and the requests on its control socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch_rig.h"
#include "protocol/request.h"
#include "vmm/vmm.h"

#define HEAD "{\"version\":3,\"name\":\"web\",\"memory\":65536,\"kernel\":{\"fd\":4}"

static int parse(const char *text, struct taken_launch *launch, struct error *err)
{
	*err = (struct error){""};
	return take_launch(text, strlen(text), launch, err);
}

static void reads_all(void **state)
{
	static const char text[] =
		"{\"version\":3,\"name\":\"web\",\"domid\":7,\"uuid\":\"u\",\"engine\":\"kvm\",\"memory\":65536,"
		"\"maxmem\":131072,\"vcpus\":3,\"kernel\":{\"fd\":9,\"name\":\"k\"},"
		"\"initrd\":{\"fd\":5,\"name\":\"i\"},\"cmdline\":\"quiet\","
		"\"disks\":[{\"files\":[{\"format\":\"raw\",\"fd\":6,\"name\":\"d\"}],\"vdev\":\"xvda2\",\"readonly\":true},{\"files\":[{\"format\":\"raw\",\"fd\":7}]}],"
		"\"networks\":[{\"kind\":\"user\"}],\"control\":8,\"console\":4,\"lock\":10,\"status\":11,"
		"\"paused\":true,\"keep\":[\"crash\",\"reboot\"],\"uid\":5,\"gid\":6}";
	static const int fds[] = {4, 5, 6, 7, 8, 9, 10, 11};
	struct taken_launch d;
	struct error err;

	assert_int_equal(parse(text, &d, &err), 0);
	assert_string_equal(d.config.machine.engine, "kvm");
	assert_string_equal(d.config.kernel, "k");
	assert_string_equal(d.config.cmdline, "quiet");
	assert_int_equal(d.config.memory, 128 << 20);
	assert_int_equal(d.spec.memory, 64 << 10);
	assert_int_equal(d.config.vcpus, 3);
	assert_int_equal(d.config.disks, 2);
	assert_int_equal(d.spec.disk[0].file[0].fd, 6);
	assert_true(d.spec.disk[0].readonly);
	assert_false(d.spec.disk[1].readonly);
	assert_string_equal(d.config.disk[1].file[0].name, "");
	assert_int_equal(d.config.nets, 1);
	assert_int_equal(d.spec.console, 4);
	assert_int_equal(d.spec.keep, 1 << END_CRASH | 1 << END_REBOOT);
	assert_true(d.spec.uid == 5 && d.spec.gid == 6);
	assert_int_equal(d.fds, 8);
	assert_memory_equal(d.fd, fds, sizeof fds);
	assert_int_equal(d.config.keep, d.spec.keep);
	assert_int_equal(d.config.target, 64 << 20);
	assert_true(d.config.given && d.config.kernel_fd == 9 && d.config.initrd_fd == 5);
	assert_true(d.config.no_reboot && d.config.trims);
	assert_string_equal(d.spec.disk[0].vdev, "xvda2");
	assert_string_equal(d.spec.disk[1].vdev, "");
	launch_free(&d.spec);
}

/* The kernel is the first disk's own, if there is a disk. */
static void takes_a_disk_for_a_kernel(void **state)
{
	struct taken_launch d;
	struct error err;

	assert_int_equal(parse("{\"version\":3,\"name\":\"web\",\"memory\":65536,"
			       "\"disks\":[{\"files\":[{\"format\":\"raw\",\"fd\":4}]}]}",
				 &d, &err),
		0);
	assert_null(d.config.kernel);
	assert_int_equal(d.spec.kernel.fd, -1);
	launch_free(&d.spec);
	assert_int_not_equal(parse("{\"version\":3,\"name\":\"web\",\"memory\":65536}", &d, &err),
		0);
	assert_non_null(strstr(err.text, "kernel: is missing"));
}

static void fills_in_the_rest(void **state)
{
	struct taken_launch d;
	struct error err;

	assert_int_equal(parse(HEAD "}", &d, &err), 0);
	assert_string_equal(d.config.machine.engine, "auto");
	assert_string_equal(d.config.cmdline, "");
	assert_int_equal(d.config.vcpus, 1);
	assert_int_equal(d.config.memory, d.spec.memory << 10);
	assert_int_equal(d.spec.initrd.fd, -1);
	assert_int_equal(d.spec.control, -1);
	assert_int_equal(d.spec.status, -1);
	assert_false(d.spec.uid);
	launch_free(&d.spec);
}

static void refuses_descriptions(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "line 1"},
		{"[]", "not a JSON object"},
		{"{\"version\":3", "line 1"},
		{"{\"version\":3}", "name: is missing"},
		{"{\"version\":2}", "version"},
		{HEAD ",\"name\":\"x\"}", "duplicate"},
		{HEAD ",\"colour\":1}", "colour: unknown"},
		{HEAD ",\"vcpus\":0}", "vcpus"},
		{HEAD ",\"vcpus\":65}", "vcpus"},
		{HEAD ",\"vcpus\":1.5}", "vcpus"},
		{HEAD ",\"maxmem\":4096}", "more than maxmem"},
		{HEAD ",\"maxmem\":65537}", "MiB"},
		{HEAD ",\"control\":3}", "control: not a descriptor from 4"},
		{HEAD ",\"control\":-1}", "control"},
		{HEAD ",\"control\":4}", "used twice"},
		{HEAD ",\"disks\":[{\"files\":[{\"format\":\"raw\",\"fd\":4}]}]}", "used twice"},
		{HEAD ",\"disks\":[1]}", "disks"},
		{HEAD ",\"disks\":[{\"readonly\":true}]}", "disks[0].files: is missing"},
		{HEAD ",\"disks\":[{\"files\":[]}]}", "disks[0].files: is empty"},
		{HEAD ",\"disks\":[{\"files\":[{\"format\":\"raw\"}]}]}",
			"disks[0].files[0].fd: is missing"},
		{HEAD ",\"disks\":[{\"files\":[{\"format\":\"tape\",\"fd\":5}]}]}",
			"unknown value 'tape'"},
		{HEAD ",\"disks\":[{\"files\":[{\"format\":\"raw\",\"fd\":5}],\"readonly\":1}]}",
			"readonly"},
		{HEAD ",\"disks\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "16 at most"},
		{HEAD ",\"networks\":[{}]}", "networks[0].kind: is missing"},
		{HEAD ",\"networks\":{}}", "networks"},
		{HEAD ",\"keep\":[\"always\"]}", "keep"},
		{HEAD ",\"keep\":[7]}", "keep"},
		{HEAD ",\"uid\":0}", "uid"},
		{HEAD ",\"cmdline\":\"a\\u0000b\"}", "\\u0000"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct taken_launch d;
		struct error err;

		assert_true(parse(bad[i].text, &d, &err) < 0);
		if (!strstr(err.text, bad[i].why))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

static int ask(const char *line, struct monitor_request *request, struct error *err)
{
	*err = (struct error){""};
	return request_parse(line, strlen(line), request, err);
}

static void reads_requests(void **state)
{
	struct monitor_request r;
	struct error err;

	assert_int_equal(ask("{\"do\":\"info\"}", &r, &err), 0);
	assert_int_equal(r.verb, REQUEST_INFO);
	assert_int_equal(r.id, 0);
	assert_int_equal(ask("{\"id\":-5,\"do\":\"trigger\",\"trigger\":\"nmi\",\"vcpu\":2}", &r,
				 &err),
		0);
	assert_true(
		r.id == -5 && r.verb == REQUEST_TRIGGER && r.trigger == TRIGGER_NMI && r.vcpu == 2);
	assert_int_equal(ask("{\"do\":\"sysrq\",\"key\":\"h\"}", &r, &err), 0);
	assert_int_equal(r.key[0], 'h');
	assert_int_equal(ask("{\"do\":\"memory-set\",\"memory\":65536}", &r, &err), 0);
	assert_int_equal(r.memory, 65536);
	assert_int_equal(ask("{\"do\":\"dump-core\",\"live\":true}", &r, &err), 0);
	assert_true(r.verb == REQUEST_DUMP_CORE && r.live);
	assert_int_equal(ask("{\"do\":\"cancel\",\"job\":7}", &r, &err), 0);
	assert_true(r.verb == REQUEST_CANCEL && r.job == 7);
}

static void refuses_requests(void **state)
{
	static const char *const bad[] = {"", "1", "[]", "null", "{}", "{\"do\":1}",
		"{\"do\":\"fly\"}", "{\"id\":\"x\",\"do\":\"info\"}", "{\"do\":\"info\",\"x\":1}",
		"{\"do\":\"info\"} {}", "{\"do\":\"trigger\"}",
		"{\"do\":\"trigger\",\"trigger\":\"fire\"}",
		"{\"do\":\"trigger\",\"trigger\":\"nmi\",\"vcpu\":64}", "{\"do\":\"sysrq\"}",
		"{\"do\":\"sysrq\",\"key\":\"hh\"}", "{\"do\":\"sysrq\",\"key\":\"\\n\"}",
		"{\"do\":\"memory-set\",\"memory\":-1}", "{\"do\":\"memory-set\",\"memory\":1e9}",
		"{\"do\":\"dump-core\",\"live\":1}", "{\"do\":\"cancel\"}",
		"{\"do\":\"cancel\",\"job\":0}", "{\"do\":\"jobs\",\"job\":1}"};
	struct monitor_request r;
	struct error err;
	char *line = malloc(REQUEST_MAX + 2);

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!ask(bad[i], &r, &err) || !err.text[0])
			fail_msg("taken: %s", bad[i]);
	assert_true(ask("{\"id\":9,\"do\":\"fly\"}", &r, &err) < 0);
	assert_int_equal(r.id, 9);
	memset(line, ' ', REQUEST_MAX + 1);
	line[REQUEST_MAX + 1] = 0;
	assert_true(ask(line, &r, &err) < 0);
	assert_non_null(strstr(err.text, "more than"));
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_all),
		cmocka_unit_test(takes_a_disk_for_a_kernel),
		cmocka_unit_test(fills_in_the_rest),
		cmocka_unit_test(refuses_descriptions),
		cmocka_unit_test(reads_requests),
		cmocka_unit_test(refuses_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
