/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domain/config.h"
#include "domain/vdev.h"

static int parse(const char *text, struct domain_config *config, struct error *err)
{
	json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
	int r;

	assert_non_null(json);
	err->text[0] = 0;
	r = domain_config_from_json(json, config, err);
	json_decref(json);
	return r;
}

static void test_defaults(void **state)
{
	struct domain_config config;
	struct error err = {""};

	assert_int_equal(parse("{\"name\":\"web\"}", &config, &err), 0);
	assert_string_equal(config.name, "web");
	assert_int_equal(config.memory, 128 << 10);
	assert_int_equal(config.maxmem, 128 << 10);
	assert_int_equal(config.vcpus, 1);
	assert_int_equal(config.maxvcpus, 1);
	assert_int_equal(config.on_poweroff, DOMAIN_DESTROY);
	assert_int_equal(config.on_reboot, DOMAIN_RESTART);
	assert_int_equal(config.on_crash, DOMAIN_DESTROY);
	assert_int_equal(config.on_soft_reset, DOMAIN_SOFT_RESET);
	assert_int_equal(config.cpu_weight, 256);
	assert_string_equal(config.cmdline, "");
	assert_string_equal(config.machine.engine, "auto");
	domain_config_free(&config);
	domain_config_free(&config);
}

static const char whole[] =
	"{\"name\":\"vm02.my.flat\","
	"\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\",\"type\":\"pvh\",\"memory_kib\":262144,"
	"\"maxmem_kib\":524288,\"vcpus\":2,\"maxvcpus\":4,\"cpus\":[\"0-3,^1\",\"all\"],"
	"\"cpus_soft\":[\"nodes:0\"],\"cpu_weight\":512,\"cap\":150,\"io_weight\":10,"
	"\"kernel\":\"/boot/vmlinuz\",\"ramdisk\":\"/boot/initrd\",\"cmdline\":\"root=/dev/xvda2 ro\","
	"\"bootloader\":\"pygrub\",\"boot\":\"cd\",\"firmware\":\"uefi\","
	"\"disks\":[{\"target\":\"/d/disk.img\",\"vdev\":\"xvda2\",\"writable\":true,\"hint\":\"file\"},"
	"{\"format\":\"empty\",\"vdev\":\"hdc\",\"cdrom\":true,\"discard\":false},"
	"{\"target\":\"pool/rbd\",\"format\":\"qcow2\",\"vdev\":\"xvdb\",\"script\":\"block-rbd\","
	"\"backend\":\"store\",\"direct_io\":true}],"
	"\"vifs\":[{\"mac\":\"00:16:3e:01:02:03\",\"bridge\":\"xenbr0\",\"ip\":\"192.168.1.200\","
	"\"model\":\"e1000\",\"vifname\":\"web0\",\"script\":\"vif-nat\",\"backend\":\"net\","
	"\"type\":\"ioemu\",\"rate\":1250000,\"rate_interval\":20000,\"mtu\":9000},"
	"{\"mode\":\"user\",\"forward\":[\"tcp::8080-:80\"]},{}],"
	"\"shares\":[{\"folder\":\"/srv\"},{\"folder\":\"/srv\",\"path\":\"/mnt\",\"readonly\":true,\"overlay\":true}],"
	"\"on_poweroff\":\"preserve\",\"on_reboot\":\"destroy\",\"on_crash\":\"coredump-restart\","
	"\"on_watchdog\":\"rename-restart\",\"on_soft_reset\":\"coredump-destroy\","
	"\"serial\":[\"pty\",\"none\"],\"engine\":\"translate\",\"cpu_model\":\"x86-64-v3\",\"native\":\"never\",\"agent\":true,"
	"\"kept\":{\"vnc\":1,\"vfb\":[\"vnc=1,vncpasswd='x'\"]}}";

static void test_round_trip(void **state)
{
	struct domain_config config, copy;
	struct error err = {""};
	json_t *first = json_loads(whole, 0, NULL), *second = NULL;

	assert_non_null(first);
	assert_int_equal(domain_config_from_json(first, &config, &err), 0);
	assert_int_equal(domain_config_copy(&config, &copy, &err), 0);
	assert_int_equal(domain_config_to_json(&copy, &second, &err), 0);
	assert_true(json_equal(first, second));
	assert_int_equal(copy.disks, 3);
	assert_true(copy.disk[0].discard);
	assert_null(copy.disk[1].target);
	assert_int_equal(copy.vif[0].rate, 1250000);
	assert_string_equal(copy.vif[1].forward[0], "tcp::8080-:80");
	domain_config_free(&config);
	domain_config_free(&copy);
	json_decref(first);
	json_decref(second);
}

static void test_containers(void **state)
{
	static const struct {
		const char *text, *refused; /* NULL: it is not */
	} rows[] = {
		{"\"kind\":\"container\",\"template\":\"/srv/t\",\"init\":[\"/bin/sh\",\"-c\"],"
		 "\"privileged\":true,\"pids\":100",
			NULL},
		{"\"kind\":\"container\",\"root\":\"/srv/r\"", NULL},
		{"\"kind\":\"container\",\"root\":\"/r\",\"command\":[\"sh\"],\"env\":[\"A=b\",\"C=\"],"
		 "\"user\":\"ann:1\",\"workdir\":\"/srv\"",
			NULL},
		{"\"kind\":\"container\"", "root: a container needs a folder"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"template\":\"/t\"",
			"root: a container has one"},
		{"\"kind\":\"container\",\"root\":\"srv\"", "root: 'srv' is not an absolute path"},
		{"\"kind\":\"container\",\"template\":\"../t\"", "template: "},
		{"\"kind\":\"container\",\"root\":\"/r\",\"init\":[\"sh\"]", "init: 'sh'"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"kernel\":\"/k\"",
			"kernel: a container has none"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"disks\":[{\"target\":\"/d\",\"vdev\":\"xvda\"}]",
			"disks: a container has none"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"cpus\":[\"0\"]", "cpus: is a machine's"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"ssh_key\":\"k\"",
			"ssh_key: is a machine's"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"cmdline\":\"quiet\"",
			"cmdline: is a machine's"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"init\":[\"/i\"],\"command\":[\"sh\"]",
			"command: is for a command"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"init\":[\"/i\"],\"env\":[\"A=b\"]",
			"env: is for a command"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"command\":[\"\"]",
			"command: its first word"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"env\":[\"A\"]", "env: 'A' is not"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"env\":[\"=A\"]", "env: '=A' is not"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"workdir\":\"srv\"", "workdir: 'srv'"},
		{"\"kind\":\"container\",\"template\":\"/t\",\"layers\":[\"11111111-2222-4333-8444-555555555555\"],"
		 "\"upper\":\"11111111-2222-4333-8444-666666666666\"",
			NULL},
		{"\"kind\":\"container\",\"root\":\"/r\",\"layers\":[\"11111111-2222-4333-8444-555555555555\"]",
			"layers: are of a container"},
		{"\"kind\":\"container\",\"template\":\"/t\",\"layers\":[\"../x\"]",
			"layers: '../x' is no UUID"},
		{"\"kind\":\"container\",\"template\":\"/t\",\"upper\":\"../x\"", "upper: "},
		{"\"layers\":[\"x\"]", "layers: is a container's"},
		{"\"root\":\"/r\"", "root: is a container's"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"devices\":[\"/dev/fuse\"]", NULL},
		{"\"kind\":\"container\",\"root\":\"/r\",\"devices\":[\"/etc/passwd\"]",
			"devices: '/etc"},
		{"\"kind\":\"container\",\"root\":\"/r\",\"devices\":[\"/dev/../x\"]",
			"devices: '/dev/.."},
		{"\"devices\":[\"/dev/fuse\"]", "devices: is a container's"},
		{"\"command\":[\"x\"]", "command: is a container's"},
		{"\"env\":[\"A=b\"]", "env: is a container's"},
		{"\"user\":\"x\"", "user: is a container's"},
		{"\"workdir\":\"/x\"", "workdir: is a container's"},
		{"\"privileged\":true", "privileged: is a container's"},
		{"\"pids\":1", "pids: is a container's"},
		{"\"init\":[\"/i\"]", "init: is a container's"},
		{"\"template\":\"/t\"", "template: is a container's"},
	};
	struct domain_config config, again;
	struct error err;
	char text[512];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(text, sizeof text, "{\"name\":\"web\",%s}", rows[i].text);
		if (rows[i].refused) {
			assert_int_equal(parse(text, &config, &err), -EINVAL);
			assert_true(strstr(err.text, rows[i].refused) == err.text);
			continue;
		}
		assert_int_equal(parse(text, &config, &err), 0);
		assert_int_equal(domain_config_copy(&config, &again, &err), 0);
		assert_int_equal(again.kind, DOMAIN_CONTAINER);
		assert_int_equal(again.container.privileged, !i);
		assert_int_equal(again.container.inits, i ? 0 : 2);
		assert_int_equal(domain_config_check_boot(&again, &err), 0);
		domain_config_free(&again);
		domain_config_free(&config);
	}
}

static void test_complete(void **state)
{
	struct domain_config config, other;
	struct error err = {""};
	const char *text = "{\"name\":\"a\",\"vifs\":[{},{\"mac\":\"00:16:3E:AA:0:1\"}]}";

	assert_int_equal(parse(text, &config, &err), 0);
	assert_int_equal(parse(text, &other, &err), 0);
	assert_int_equal(domain_config_complete(&config, &err), 0);
	assert_int_equal(domain_config_complete(&other, &err), 0);
	assert_int_equal(strlen(config.uuid), 36);
	assert_int_equal(config.uuid[14], '4');
	assert_string_not_equal(config.uuid, other.uuid);
	assert_memory_equal(config.vif[0].mac, "00:16:3e:", 9);
	assert_string_not_equal(config.vif[0].mac, other.vif[0].mac);
	assert_string_equal(config.vif[1].mac, "00:16:3e:aa:00:01");
	assert_int_equal(domain_config_check(&config, &err), 0);
	domain_config_free(&config);
	domain_config_free(&other);
}

static void test_hostile(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"[]", "must be an object"},
		{"{}", "name"},
		{"{\"name\":7}", "name: must be a string"},
		{"{\"name\":\"\"}", "name: is empty"},
		{"{\"name\":\"12\"}", "domain ID"},
		{"{\"name\":\"-a\"}", "option"},
		{"{\"name\":\"../x\"}", "path"},
		{"{\"name\":\"Domain-0\"}", "host"},
		{"{\"name\":\"$(id)\"}", "other characters"},
		{"{\"name\":\"win xp\"}", "other characters"},
		{"{\"name\":\"a\\u009b31m\"}", "other characters"},
		{"{\"name\":\"caf\\u00e9\"}", "other characters"},
		{"{\"name\":\"01234567-89ab-cdef-0123-456789abcdef\"}", "UUID"},
		{"{\"name\":\"a\\u0000b\"}", "control"},
		{"{\"name\":\"a\\u001b[0m\"}", "control"},
		{"{\"name\":\"a\",\"colour\":1}", "colour: unknown key"},
		{"{\"name\":\"a\",\"uuid\":\"1234\"}", "uuid"},
		{"{\"name\":\"a\",\"memory_kib\":-1}", "memory_kib"},
		{"{\"name\":\"a\",\"memory_kib\":1e9}", "whole number"},
		{"{\"name\":\"a\",\"memory_kib\":99999999999999}", "memory_kib"},
		{"{\"name\":\"a\",\"memory_kib\":4096,\"maxmem_kib\":2048}", "maxmem"},
		{"{\"name\":\"a\",\"vcpus\":0}", "vcpus"},
		{"{\"name\":\"a\",\"vcpus\":4294967297}", "vcpus"},
		{"{\"name\":\"a\",\"vcpus\":4,\"maxvcpus\":2}", "maxvcpus"},
		{"{\"name\":\"a\",\"cpu_weight\":65536}", "cpu_weight"},
		{"{\"name\":\"a\",\"kernel\":\"boot/vmlinuz\"}", "absolute"},
		{"{\"name\":\"a\",\"ramdisk\":\"/r\"}", "kernel"},
		{"{\"name\":\"a\",\"on_crash\":\"explode\"}", "on_crash: unknown value 'explode'"},
		{"{\"name\":\"a\",\"cpus\":\"all\"}", "a list"},
		{"{\"name\":\"a\",\"cpus\":[1]}", "a string"},
		{"{\"name\":\"a\",\"disks\":[1]}", "disks[0]"},
		{"{\"name\":\"a\",\"disks\":[{\"target\":\"/a\"}]}", "vdev"},
		{"{\"name\":\"a\",\"disks\":[{\"vdev\":\"xvda\"}]}", "target"},
		{"{\"name\":\"a\",\"disks\":[{\"target\":\"/a\",\"vdev\":\"zzz\"}]}", "zzz"},
		{"{\"name\":\"a\",\"disks\":[{\"target\":\"a\",\"vdev\":\"xvda\"}]}", "absolute"},
		{"{\"name\":\"a\",\"disks\":[{\"target\":\"/a\",\"vdev\":\"xvda\"},"
		 "{\"target\":\"/b\",\"vdev\":\"d0\"}]}",
			"twice"},
		{"{\"name\":\"a\",\"vifs\":[{},{\"mac\":\"01:00:00:00:00:01\"}]}", "vifs[1].mac"},
		{"{\"name\":\"a\",\"vifs\":[{\"mtu\":70000}]}", "vifs[0].mtu"},
		{"{\"name\":\"a\",\"shares\":[{\"folder\":\"srv\"}]}",
			"shares[0]: 'srv' is not an absolute"},
		{"{\"name\":\"a\",\"shares\":[{\"path\":\"/mnt\"}]}",
			"shares[0].folder: is missing"},
		{"{\"name\":\"a\",\"shares\":[{\"folder\":\"/s\",\"path\":\"/mnt\"}]}",
			"write agent = 1"},
		{"{\"name\":\"a\",\"agent\":true,\"shares\":[{\"folder\":\"/s\",\"path\":\"/a/../b\"}]}",
			"without '..'"},
		{"{\"name\":\"a\",\"agent\":true,\"shares\":[{\"folder\":\"/s\",\"readonly\":true,\"overlay\":true}]}",
			"say where by DIR:PATH"},
		{"{\"name\":\"a\",\"agent\":true,\"shares\":[{\"folder\":\"/s\",\"path\":\"/m\"},"
		 "{\"folder\":\"/t\",\"path\":\"/m\"}]}",
			"/s and /t both go to /m"},
		{"{\"name\":\"a\",\"agent\":true,\"shares\":[{\"folder\":\"/s\",\"path\":\"/m/n\"},"
		 "{\"folder\":\"/t\",\"path\":\"//m/./n/.\"}]}",
			"/s and /t both go to"},
		{"{\"name\":\"a\",\"agent\":true,\"shares\":[{\"folder\":\"/s\",\"path\":\"/./\"}]}",
			"below its root"},
		{"{\"name\":\"a\",\"kept\":[]}", "kept"},
	};
	struct domain_config config;
	struct error err;

	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++) {
		if (parse(bad[n].text, &config, &err) != -EINVAL)
			fail_msg("taken: %s", bad[n].text);
		if (!strstr(err.text, bad[n].says))
			fail_msg("%s: %s", bad[n].text, err.text);
		assert_null(config.name);
		assert_null(config.disk);
	}
}

/* One more than each bound. */
static void test_bounds(void **state)
{
	struct domain_config config;
	struct error err = {""};
	json_t *json = json_pack("{s:s, s:[], s:{}}", "name", "a", "disks", "kept");
	char *text = malloc(DOMAIN_KEPT_MAX + 1);

	assert_non_null(text);
	memset(text, 'x', DOMAIN_KEPT_MAX);
	text[DOMAIN_KEPT_MAX] = 0;
	json_object_set_new(json_object_get(json, "kept"), "a", json_string(text));
	assert_int_equal(domain_config_from_json(json, &config, &err), -EINVAL);
	json_object_del(json, "kept");
	text[DOMAIN_CMDLINE_MAX + 1] = 0;
	json_object_set_new(json, "cmdline", json_string(text));
	assert_int_equal(domain_config_from_json(json, &config, &err), -EINVAL);
	json_object_set_new(json, "cmdline", json_string(text + 1));
	for (unsigned n = 0; n <= DOMAIN_DISKS_MAX; n++) {
		char vdev[VDEV_NAME_MAX];

		assert_int_equal(domain_config_from_json(json, &config, &err), 0);
		assert_int_equal(config.disks, n);
		domain_config_free(&config);
		json_array_append_new(json_object_get(json, "disks"),
			json_pack("{s:s, s:s}", "target", "/d", "vdev",
				vdev_name(&(struct vdev){VDEV_XVD, n, 0}, vdev)));
	}
	assert_int_equal(domain_config_from_json(json, &config, &err), -EINVAL);
	json_decref(json);
	free(text);
}

static void test_vdev(void **state)
{
	static const struct {
		const char *text, *name;
		unsigned number;
	} good[] = {
		{"xvda", "xvda", 51712},
		{"xvda1", "xvda1", 51713},
		{"/dev/xvda2", "xvda2", 51714},
		{"vdb", "xvdb", 51728},
		{"xvdp15", "xvdp15", 51967},
		{"xvdq", "xvdq", 1 << 28 | 16 << 8},
		{"xvda16", "xvda16", 1 << 28 | 16},
		{"xvdaa", "xvdaa", 1 << 28 | 26 << 8},
		{"d0", "xvda", 51712},
		{"d5p37", "xvdf37", 1 << 28 | 5 << 8 | 37},
		{"d1048575", "xvdbgqcv", (1u << 28) | (1048575u << 8)},
		{"hda", "hda", 768},
		{"hdb1", "hdb1", 833},
		{"hdc", "hdc", 5632},
		{"sda3", "sda3", 2051},
		{"sdp", "sdp", 2288},
		{"51714", "xvda2", 51714},
		{"0x340", "hdb", 832},
		{"5632", "hdc", 5632},
		/* NetBSD's files only count. */
		{"0x1", "xvdb", 51728},
		{"2", "xvdc", 51744},
	};
	static const char *const bad[] = {"", "xvd", "xvda0", "xvda01", "xvda256", "xvda1x", "XVDA",
		"hde", "sdq", "sda16", "hda64", "d", "d1p", "d1048576", "dp1", "256", "0x",
		"99999999999", "xvdzzzzzzzzz", "xvda-1", "xvda 1", "-1",
		"xvdaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/dev/mapper/x"};
	struct vdev vdev;
	char name[VDEV_NAME_MAX];

	for (unsigned n = 0; n < sizeof good / sizeof *good; n++) {
		if (vdev_parse(good[n].text, &vdev))
			fail_msg("refused: %s", good[n].text);
		assert_string_equal(vdev_name(&vdev, name), good[n].name);
		assert_int_equal(vdev_number(&vdev), good[n].number);
	}
	for (unsigned n = 0; n < sizeof bad / sizeof *bad; n++)
		if (vdev_parse(bad[n], &vdev) != -EINVAL)
			fail_msg("taken: %s", bad[n]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_containers),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_vdev),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
