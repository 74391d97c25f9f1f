/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon hands over is what the monitor gets: every field of it, up to its limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/spec.h"
#include "protocol/end.h"
#include "launch_rig.h"

/* The field of a table at its least or most; what takes most room when it is written. */
static void fill(const struct field *fields, void *at, bool most, int *fd)
{
	for (const struct field *field = fields; field->key; field++) {
		char *p = field_place(field, at), *text;

		switch (field->kind) {
		case FIELD_STRING:
			free(*(char **)p);
			text = *(char **)p = calloc(1, field->max + 1);
			memset(text, '"', most ? field->max : field->min);
			break;
		case FIELD_NUMBER:
			*(uint64_t *)p = most ? field->max : field->min;
			break;
		case FIELD_COUNT:
			*(unsigned *)p = most ? field->max : field->min;
			break;
		case FIELD_BOOL:
			*(bool *)p = most;
			break;
		case FIELD_SET:
			*(unsigned *)p = most ? field->max : 0;
			break;
		case FIELD_FD:
			*(int *)p = (*fd)--;
			break;
		case FIELD_ENUM:
			*(unsigned *)p = 0;
			while (most && field->names[*(unsigned *)p + 1])
				++*(unsigned *)p;
			break;
		case FIELD_TEXT: /* an address of Ethernet or IPv6 */
			strcpy(p,
				!most ? ""
					: strstr(field->key, "addr6")
					? "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
					: "fe:ff:ff:ff:ff:ff");
			break;
		case FIELD_STRUCT:
		case FIELD_PART:
			fill(field->element, p, most, fd);
			break;
		case FIELD_STRINGS:
			*field_length(field, at) = most ? field->max : 0;
			*(char ***)p = calloc(field->max, sizeof(char *));
			for (unsigned n = 0; n < *field_length(field, at); n++) {
				text = (*(char ***)p)[n] = calloc(1, field->min + 1);
				memset(text, '"', field->min);
			}
			break;
		case FIELD_LIST:
			assert_int_equal(fields_make_list(fields, field->key, at,
						 most ? field->max : 0),
				0);
			for (unsigned n = 0; n < *field_length(field, at); n++)
				fill(field->element, *(char **)p + n * field->size, most, fd);
			break;
		default:
			fail_msg("%s: how is it filled?", field->key);
		}
	}
}

static void assert_same(const struct field *fields, const void *a, const void *b)
{
	for (const struct field *field = fields; field->key; field++) {
		char *p = field_place(field, a), *q = field_place(field, b);

		switch (field->kind) {
		case FIELD_STRING:
			assert_string_equal(*(char **)p, *(char **)q);
			break;
		case FIELD_NUMBER:
			assert_int_equal(*(uint64_t *)p, *(uint64_t *)q);
			break;
		case FIELD_BOOL:
			assert_int_equal(*(bool *)p, *(bool *)q);
			break;
		case FIELD_TEXT:
			assert_string_equal(p, q);
			break;
		case FIELD_STRUCT:
		case FIELD_PART:
			assert_same(field->element, p, q);
			break;
		case FIELD_STRINGS:
			assert_int_equal(*field_length(field, a), *field_length(field, b));
			for (unsigned n = 0; n < *field_length(field, a); n++)
				assert_string_equal((*(char ***)p)[n], (*(char ***)q)[n]);
			break;
		case FIELD_LIST:
			assert_int_equal(*field_length(field, a), *field_length(field, b));
			for (unsigned n = 0; n < *field_length(field, a); n++)
				assert_same(field->element, *(char **)p + n * field->size,
					*(char **)q + n * field->size);
			break;
		default:
			assert_int_equal(*(int *)p, *(int *)q);
		}
	}
}

/* No field may be set with which the other end would be left with another. */
static void test_every_field_comes_over(void **state)
{
	for (int most = 0; most < 2; most++) {
		struct launch_spec spec, read;
		struct error err = {""};
		int fd = 1023, list[LAUNCH_FDS_MAX];
		unsigned count;
		char *text;

		assert_int_equal(launch_init(&spec), 0);
		fill(launch_fields, &spec, most, &fd);
		if (launch_write(&spec, &text, &err) ||
			launch_read(text, strlen(text), &read, &err))
			fail_msg("%s", err.text);
		assert_same(launch_fields, &spec, &read);
		/* All descriptors, ascending. */
		count = launch_fds(&read, list);
		assert_int_equal(count, 1023 - fd);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(list[i], fd + 1 + i);
		free(text);
		launch_free(&read);
		launch_free(&spec);
	}
}

/* One more than most, and one less than least, of every number. */
static void test_limits(void **state)
{
	for (const struct field *field = launch_fields; field->key; field++) {
		for (int most = 0; most < 2; most++) {
			struct launch_spec spec;
			struct error err = {""};
			int fd = 1023;
			char *text;
			uint64_t beyond = most ? field->max + 1 : field->min - 1;

			if ((field->kind != FIELD_NUMBER && field->kind != FIELD_COUNT) ||
				beyond == field->number || beyond > UINT32_MAX)
				continue;
			assert_int_equal(launch_init(&spec), 0);
			fill(launch_fields, &spec, true, &fd);
			if (field->kind == FIELD_NUMBER)
				*(uint64_t *)field_place(field, &spec) = beyond;
			else
				*(unsigned *)field_place(field, &spec) = beyond;
			assert_int_equal(launch_write(&spec, &text, &err), -EINVAL);
			if (!strstr(err.text, field->key))
				fail_msg("%s: %s", field->key, err.text);
			launch_free(&spec);
		}
	}
}

static char file[] = "/tmp/dach-test-launch-XXXXXX";

/* All that a configuration of the API may have that reaches the monitor. */
static json_t *full_config(void)
{
	json_t *disks = json_array(), *vifs = json_array();

	for (unsigned i = 0; i < LIMIT_DISKS; i++) {
		char vdev[8];

		snprintf(vdev, sizeof vdev, "xvda%u", i + 1);
		json_array_append_new(disks,
			json_pack("{s:s, s:s, s:b}", "target", file, "vdev", vdev, "writable",
				i % 2));
	}
	json_array_insert_new(disks, 1,
		json_pack("{s:s, s:s, s:b}", "format", "empty", "vdev", "hdc", "cdrom", 1));
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		json_array_append_new(vifs,
			json_pack("{s:s, s:s, s:[s], s:[s, s]}", "mac", "00:16:3e:00:00:01", "mode",
				"user", "forward", "tcp:127.0.0.1:2222-:22", "allow", "10.0.0.0/8",
				"debian.org"));
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:s, s:s, s:s, s:s, s:s, s:o, s:o}",
		"name", "full", "uuid", "01234567-89ab-cdef-0123-456789abcdef", "engine",
		"translate", "native", "never", "cpu_model", "x86-64-v3,-avx2", "ssh_key",
		"ssh-ed25519 AAAA me", "memory_kib", (json_int_t)LIMIT_MEMORY_MAX - 1023,
		"maxmem_kib", (json_int_t)LIMIT_MEMORY_MAX, "vcpus", LIMIT_VCPUS, "kernel", file,
		"ramdisk", file, "cmdline", "root=/dev/xvda2 \"quiet\" \303\244", "on_crash",
		"coredump-restart", "on_reboot", "preserve", "disks", disks, "vifs", vifs);
}

static void make_guest(struct guest *guest, struct daemon *daemon, json_t *json)
{
	struct error err = {""};

	memset(daemon, 0, sizeof *daemon);
	*guest = (struct guest){.daemon = daemon,
		.owner = geteuid(),
		.domid = UINT32_MAX,
		.state_fd = -1};
	if (domain_config_from_json(json, &guest->config, &err))
		fail_msg("%s", err.text);
	json_decref(json);
}

/* Opens, writes, and reads what was written as the monitor would. */
static void hand_over(struct guest *guest, struct spec_files *files, struct taken_launch *launch)
{
	static char text[LAUNCH_MAX];
	struct error err = {""};
	ssize_t len = -1;

	assert_int_equal(spec_init(files, &err), 0);
	if (spec_open(guest, files, &err))
		fail_msg("%s", err.text);
	files->spec.control = open("/dev/null", O_RDONLY | O_CLOEXEC);
	files->spec.status = open("/dev/null", O_RDONLY | O_CLOEXEC);
	files->spec.uid = files->spec.gid = 1900000000;
	if (spec_write(files, &err))
		fail_msg("%s", err.text);
	len = pread(files->written, text, sizeof text, 0);
	assert_true(len > 0);
	if (take_launch(text, len, launch, &err))
		fail_msg("%s", err.text);
}

static void test_daemon_to_monitor(void **state)
{
	struct daemon daemon;
	struct guest guest;
	struct spec_files files;
	struct taken_launch launch;
	const struct vmm_config *config = &launch.config;
	const struct launch_spec *spec = &launch.spec;

	make_guest(&guest, &daemon, full_config());
	guest.paused = true;
	daemon.clock_rate.khz = 2400000;
	hand_over(&guest, &files, &launch);
	assert_string_equal(spec->name, "full");
	assert_string_equal(spec->uuid, "01234567-89ab-cdef-0123-456789abcdef");
	assert_int_equal(spec->domid, UINT32_MAX);
	assert_string_equal(config->machine.engine, "translate");
	assert_string_equal(config->machine.cpu_model, "x86-64-v3,-avx2");
	assert_int_equal(config->machine.native, NATIVE_NEVER);
	assert_string_equal(config->seed.instance, spec->uuid);
	assert_string_equal(config->seed.hostname, "full");
	assert_string_equal(config->seed.ssh_keys, "ssh-ed25519 AAAA me");
	assert_int_equal(spec->memory, LIMIT_MEMORY_MAX);
	assert_int_equal(config->memory, LIMIT_MEMORY_MAX << 10);
	assert_int_equal(config->vcpus, LIMIT_VCPUS);
	assert_int_equal(config->tsc_khz, 2400000);
	assert_string_equal(config->kernel, file);
	assert_string_equal(config->initrd, file);
	assert_string_equal(config->cmdline,
		"root=/dev/vdb \"quiet\" \303\244 console=ttyS0 net.ifnames=0");
	assert_int_equal(config->disks, LIMIT_DISKS);
	for (unsigned i = 0; i < LIMIT_DISKS; i++) {
		assert_string_equal(config->disk[i].file[0].name, file);
		assert_int_equal(config->disk[i].file[0].format, DISK_RAW);
		assert_int_equal(atoi(config->disk[i].serial + 9), i);
		assert_int_equal(spec->disk[i].readonly, i % 2 == 0);
		assert_int_equal(atoi(spec->disk[i].vdev + 4), i + 1);
	}
	assert_int_equal(config->nets, LIMIT_NETWORKS);
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++) {
		const struct net_forward *forward = config->net[i].forward;

		assert_int_equal(config->net[i].kind, NET_USER);
		assert_string_equal(config->net[i].mac, "00:16:3e:00:00:01");
		assert_int_equal(config->net[i].forwards, 1);
		assert_int_equal(config->net[i].allows, 2);
		assert_string_equal(config->net[i].allow[1], "debian.org");
		assert_true(!forward->udp && forward->host_addr == 0x7f000001 &&
			forward->host_port == 2222 && !forward->guest_addr &&
			forward->guest_port == 22);
	}
	assert_int_equal(spec->keep, 1u << END_CRASH | 1u << END_REBOOT);
	assert_true(spec->paused);
	assert_true(spec->uid == 1900000000 && spec->gid == spec->uid);
	/* 3 is the description; what is there twice here is one number each there. */
	assert_int_equal(launch.fds, files.count);
	assert_int_equal(launch.fds,
		3 + LIMIT_DISKS + 2); /* kernel, ramdisk, what goes behind it */
	for (unsigned i = 0; i < launch.fds; i++)
		assert_int_equal(launch.fd[i], LAUNCH_FD + 1 + i);
	/* Rights are the descriptor's. */
	for (unsigned i = 0; i < LIMIT_DISKS; i++)
		assert_int_equal(fcntl(files.fd[spec->disk[i].file[0].fd - LAUNCH_FD - 1],
					 F_GETFL) &
				O_ACCMODE,
			i % 2 ? O_RDWR : O_RDONLY);
	assert_true(spec->control > LAUNCH_FD && spec->status > LAUNCH_FD);
	assert_int_equal(spec->console, -1);
	launch_free(&launch.spec);
	spec_close(&files);
	domain_config_free(&guest.config);
}

/* As little as there may be: the kernel is the disk's. */
static void test_defaults(void **state)
{
	struct daemon daemon;
	struct guest guest;
	struct spec_files files;
	struct taken_launch launch;

	make_guest(&guest, &daemon,
		json_pack("{s:s, s:s, s:[{s:s, s:s}]}", "name", "small", "bootloader", "pygrub",
			"disks", "target", file, "vdev", "xvda"));
	hand_over(&guest, &files, &launch);
	assert_null(launch.config.kernel);
	assert_string_equal(launch.config.cmdline, "");
	assert_int_equal(launch.config.vcpus, 1);
	assert_int_equal(launch.config.tsc_khz, 0);
	assert_string_equal(launch.config.machine.engine, "auto");
	assert_int_equal(launch.config.nets, 0);
	assert_int_equal(launch.spec.keep, 0);
	assert_false(launch.spec.paused);
	launch_free(&launch.spec);
	spec_close(&files);
	domain_config_free(&guest.config);
}

/* A folder is open and no more, whoever the guest's owner is. */
static void test_shares(void **state)
{
	struct daemon daemon;
	struct guest guest;
	struct spec_files files;
	struct taken_launch launch;
	struct error err = {""};

	make_guest(&guest, &daemon,
		json_pack("{s:s, s:s, s:[{s:s, s:s}], s:[{s:s}, {s:s, s:b}]}", "name", "sharer",
			"bootloader", "pygrub", "disks", "target", file, "vdev", "xvda", "shares",
			"folder", "/", "folder", "/tmp", "readonly", 1));
	hand_over(&guest, &files, &launch);
	assert_int_equal(launch.config.shares, 2);
	assert_string_equal(launch.config.share[0].folder, "/");
	assert_null(launch.config.share[0].path);
	assert_false(launch.config.share[0].read_only);
	assert_true(launch.config.share[1].read_only);
	assert_int_equal(launch.config.owner.uid, geteuid());
	assert_true(fcntl(files.fd[launch.spec.share[1].fd - LAUNCH_FD - 1], F_GETFL) & O_PATH);
	launch_free(&launch.spec);
	spec_close(&files);
	free(guest.config.share[0].folder);
	guest.config.share[0].folder = strdup(file);
	assert_int_equal(spec_init(&files, &err), 0);
	assert_int_equal(spec_open(&guest, &files, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, file));
	spec_close(&files);
	domain_config_free(&guest.config);
}

static int set_up(void **state)
{
	int fd = mkstemp(file);

	return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
	return unlink(file);
}

/* With firmware a disk's name, and hdtype, say what it is in, and a network has its model; without, all are virtio's. */
static void drives_of(bool firmware, const char *hdtype, const char *const want[6])
{
	static const char *const vdevs[] = {"hda", "hdc", "sdb", "sdc", "xvda", "xvdb"};
	json_t *disks = json_array();
	struct daemon daemon;
	struct guest guest;
	struct spec_files files;
	struct taken_launch launch;

	for (unsigned i = 0; i < 6; i++)
		json_array_append_new(disks,
			json_pack("{s:s, s:s, s:b}", "target", file, "vdev", vdevs[i], "cdrom",
				i % 2));
	json_array_insert_new(disks, 1,
		json_pack("{s:s, s:s, s:b}", "format", "empty", "vdev", "hdb", "cdrom", 1));
	json_array_insert_new(disks, 3,
		json_pack("{s:s, s:s, s:b}", "format", "empty", "vdev", "sda", "cdrom", 1));
	make_guest(&guest, &daemon,
		json_pack("{s:s, s:s, s:s, s:o, s:s*, s:[{s:s}, {s:s}, {}]}", "name", "drives",
			"hdtype", hdtype, firmware ? "firmware" : "kernel",
			firmware ? "bios" : file, "disks", disks, "boot", firmware ? "dc" : NULL,
			"vifs", "model", "e1000", "model", "rtl8139"));
	hand_over(&guest, &files, &launch);
	assert_int_equal(launch.config.disks, 6);
	for (unsigned i = 0; i < 6; i++) {
		static const char *const names[] = {"virtio", "ide", "ahci"};

		assert_string_equal(names[launch.config.disk[i].bus], want[i]);
		assert_int_equal(launch.config.disk[i].cdrom, firmware && i % 2);
	}
	assert_int_equal(launch.config.nets, 3);
	assert_int_equal(launch.config.net[0].model, firmware ? NET_E1000 : NET_VIRTIO);
	assert_int_equal(launch.config.net[1].model, NET_VIRTIO);
	assert_int_equal(launch.config.net[2].model, NET_VIRTIO);
	assert_int_equal(launch.config.drives, firmware ? 2 : 0);
	if (firmware) {
		assert_int_equal(launch.config.drive[0].bus, DISK_IDE);
		assert_string_equal(launch.config.drive[0].vdev, "hdb");
		assert_int_equal(launch.config.drive[1].bus, DISK_AHCI);
		assert_string_equal(launch.config.drive[1].vdev, "sda");
	}
	launch_free(&launch.spec);
	spec_close(&files);
	domain_config_free(&guest.config);
}

static void test_drives(void **state)
{
	drives_of(true, "ide", (const char *[]){"ide", "ide", "ahci", "ahci", "virtio", "ide"});
	drives_of(true, "ahci", (const char *[]){"ahci", "ide", "ahci", "ahci", "virtio", "ide"});
	drives_of(false, "ahci",
		(const char *[]){"virtio", "virtio", "virtio", "virtio", "virtio", "virtio"});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field_comes_over),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_daemon_to_monitor),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_drives),
		cmocka_unit_test(test_shares),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
