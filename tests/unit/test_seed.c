/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's cloud-init is told, and disks as they were downloaded. */
#include "bootdisk_rig.h"

#include <jansson.h>

#include "bootdisk/volume.h"
#include "image/guess.h"
#include "image/keep.h"
#include "image/layer.h"
#include "seed/seed.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGh0 me@here"

static void test_hostnames(void **state)
{
	static const char *const good[] = {"a", "web-1", "web.example.org", "0", "A-b"};
	static const char *const bad[] = {"", "-a", "a-", "a.", ".a", "a..b", "a-.b", "a b", "a_b",
		"a\nb", "\xc3\xa4", "a/b",
		"0123456789012345678901234567890123456789012345678901234567890123"};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(seed_check_hostname(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!seed_check_hostname(bad[i], NULL))
			fail_msg("%s", bad[i]);
}

static void test_keys(void **state)
{
	static const char *const good[] = {KEY, "# mine\n\n" KEY "\r\n" KEY "\n",
		"ecdsa-sha2-nistp256 AA", "sk-ssh-ed25519@openssh.com AA x"};
	static const char *const bad[] = {"", "\n", "# only this\n", "hello", "ssh-ed25519",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", KEY "\nrm -rf /\n",
		"ssh-rsa AA\033[2J"};
	struct error err = {""};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_int_equal(seed_check_keys("k", good[i], NULL), 0);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!seed_check_keys("k", bad[i], NULL))
			fail_msg("%s", bad[i]);
	seed_check_keys("k", bad[5], &err);
	assert_string_equal(err.text,
		"k: a private key, which stays here; the public one, in a file that ends in .pub, is needed");
}

/* The text of a file on the disk, the caller's to free. */
static char *text_of(int fd, const char *path)
{
	struct disk_bytes bytes = {read_file, &fd, DISK_SIZE(fd)};
	struct partition where = {.size = bytes.size};
	struct volume *volume;
	char *text = NULL;
	size_t size;

	assert_int_equal(volume_open(&bytes, "seed", &where, &volume, NULL), 0);
	volume_read(volume, path, MIB, &text, &size, NULL);
	volume_close(volume);
	return text;
}

static void test_texts(void **state)
{
	const struct seed seed = {.instance = "i-1",
		.hostname = "web",
		.ssh_keys = "# a\n" KEY "\n" KEY "2",
		.password = "a: \"b\" #c\\",
		.user_data = "#!/bin/sh\n",
		.user_data_size = 10,
		.network = "version: 2\n",
		.network_size = 11};
	char *text;
	json_t *json;
	int fd;

	assert_int_equal(seed_make(&seed, &fd, NULL), 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	text = text_of(fd, "/meta-data");
	json = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(json, "instance-id")), "i-1");
	assert_string_equal(json_string_value(json_object_get(json, "local-hostname")), "web");
	assert_int_equal(json_array_size(json_object_get(json, "public-keys")), 2);
	assert_string_equal(json_string_value(
				    json_array_get(json_object_get(json, "public-keys"), 1)),
		KEY "2");
	json_decref(json);
	free(text);
	text = text_of(fd, "/vendor-data");
	assert_int_equal(strncmp(text, "#cloud-config\n{", 15), 0);
	json = json_loads(text + 14, 0, NULL);
	assert_true(json_is_false(json_object_get(json, "disable_root")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_object_get(json,
										     "chpasswd"),
								     "list"),
				    0)),
		"root:a: \"b\" #c\\");
	json_decref(json);
	free(text);
	text = text_of(fd, "/user-data");
	assert_string_equal(text, "#!/bin/sh\n");
	free(text);
	text = text_of(fd, "/network-config");
	assert_string_equal(text, "version: 2\n");
	free(text);
	close(fd);
}

static void test_least(void **state)
{
	char *text;
	int fd;

	assert_int_equal(seed_make(&(struct seed){.instance = "i"}, &fd, NULL), 0);
	text = text_of(fd, "/user-data");
	assert_string_equal(text, "#cloud-config\n{}\n");
	free(text);
	assert_null(text_of(fd, "/network-config"));
	close(fd);
	assert_int_not_equal(seed_make(&(struct seed){.instance = "i",
					       .user_data = "",
					       .user_data_size = 9u << 20},
				     &fd, NULL),
		0);
}

/* Downloads */

static void test_guess(void **state)
{
	static const struct {
		unsigned at;
		const char *magic;
		size_t size;
		enum guess kind;
	} cases[] = {{0, "QFI\xfb", 4, GUESS_QCOW2}, {0, "KDMV", 4, GUESS_VMDK},
		{0, "# Disk DescriptorFile\n", 22, GUESS_VMDK}, {0, "vhdxfile", 8, GUESS_VHDX},
		{0, "conectix", 8, GUESS_VHD}, {64, "\x7f\x10\xda\xbe", 4, GUESS_VDI},
		{0, "QED\0", 4, GUESS_QED}, {257, "ustar", 5, GUESS_OVA},
		{0, "\x1f\x8b\x08", 3, GUESS_PACKED}, {0, "QFI", 3, GUESS_RAW}};
	uint8_t head[512], tail[512] = "conectix";

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memset(head, 0, sizeof head);
		memcpy(head + cases[i].at, cases[i].magic, cases[i].size);
		assert_int_equal(guess_bytes(head, sizeof head, NULL), cases[i].kind);
		/* Cut off, it is none. */
		assert_int_equal(guess_bytes(head, cases[i].at + cases[i].size - 1, NULL),
			cases[i].kind == GUESS_VMDK && cases[i].size == 22 ? GUESS_VMDK
									   : GUESS_RAW);
	}
	memset(head, 0, sizeof head);
	assert_int_equal(guess_bytes(head, sizeof head, tail), GUESS_VHD);
	assert_int_equal(guess_bytes(head, 0, NULL), GUESS_RAW);
}

static void parses(const char *word, const char *name, enum disk_format format)
{
	struct error err = {""};
	struct disk_spec spec;

	if (keep_parse(word, NULL, &spec, &err))
		fail_msg("%s", err.text);
	assert_string_equal(spec.file[0].name, name);
	assert_int_equal(spec.file[0].format, format);
	disk_spec_free(&spec);
}

static void parses_not(const char *word, const char *says)
{
	struct error err = {""};
	struct disk_spec spec;

	assert_int_not_equal(keep_parse(word, NULL, &spec, &err), 0);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
}

static void test_what_is_run(void **state)
{
	shell("truncate -s 1M a.img a.raw b none; mkdir folder up; echo KDMV >v.vmdk; printf '\\037\\213\\010' >p.img");
	assert_int_equal(layer_create("q.qcow2", "a.img", DISK_RAW, 0, NULL), 0);
	shell("cp q.qcow2 q.img; cp q.qcow2 up/up.qcow2");
	assert_int_equal(layer_create("far.qcow2", "up/up2", DISK_RAW, 0, NULL) != 0, 1);
	shell("truncate -s 1M up/up2; qemu-img create -q -f qcow2 plain.img 1M");
	assert_int_equal(layer_create("far.qcow2", "up/up2", DISK_RAW, 0, NULL), 0);
	assert_true(keep_is_file("a.img"));
	assert_true(keep_is_file("./b"));
	assert_true(keep_is_file("b,format=raw") == false);
	assert_true(keep_is_file("./b,format=raw"));
	assert_false(keep_is_file("b"));
	assert_false(keep_is_file("./folder"));
	assert_false(keep_is_file("gone.qcow2"));
	parses("a.img", "a.img", DISK_RAW);
	parses("q.qcow2", "q.qcow2", DISK_QCOW2);
	parses("plain.img", "plain.img", DISK_QCOW2);
	parses("plain.img,format=raw", "plain.img", DISK_RAW);
	/* One that names what is below it itself. */
	parses_not("q.img", "q.img: stands on a.img, which it names itself");
	parses("q.img,format=qcow2", "q.img", DISK_QCOW2);
	parses_not("far.qcow2",
		"far.qcow2: stands on up/up2, which it names itself and lies in another folder");
	parses_not("v.vmdk", "qemu-img: ");
	parses_not("p.img", "p.img: is packed; unpack it first");
}

static struct keep keeps(const char *word, const char *overlay, uint64_t size, bool fresh)
{
	struct error err = {""};
	struct disk_spec spec;
	struct keep keep;

	assert_int_equal(keep_parse(word, NULL, &spec, NULL), 0);
	if (keep_open(&spec, overlay, size, &keep, &err))
		fail_msg("%s", err.text);
	assert_int_equal(keep.fresh, fresh);
	assert_int_equal(strlen(keep.instance), 36);
	disk_spec_free(&spec);
	return keep;
}

static void keeps_not(const char *word, const char *overlay, uint64_t size, const char *says)
{
	struct error err = {""};
	struct disk_spec spec;
	struct keep keep;

	assert_int_equal(keep_parse(word, NULL, &spec, NULL), 0);
	assert_int_not_equal(keep_open(&spec, overlay, size, &keep, &err), 0);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	disk_spec_free(&spec);
}

static void test_keep(void **state)
{
	struct keep first, again, other;
	uint64_t size;

	shell("mkdir d; truncate -s 1M d/a.img b.raw");
	first = keeps("d/a.img", NULL, 0, true);
	assert_string_equal(first.overlay, "d/a.overlay.qcow2");
	again = keeps("d/a.img", NULL, 0, false);
	assert_string_equal(again.instance, first.instance);
	/* Another overlay is another guest. */
	other = keeps("d/a.img", "other.qcow2", 4 << 20, true);
	assert_string_not_equal(other.instance, first.instance);
	assert_int_equal(layer_size("other.qcow2", DISK_QCOW2, &size, NULL), 0);
	assert_int_equal(size, 4 << 20);
	keeps_not("b.raw", "other.qcow2", 0, "other.qcow2: is there, and does not stand on b.raw");
	keeps_not("b.raw", "new.qcow2", 512, "b.raw: is larger than that");
	keeps_not("d/a.img", NULL, 4 << 20, "is there already; 'dach image resize");
	/* The folder may move, the download may not change. */
	shell("mv d e");
	again = keeps("e/a.img", NULL, 0, false);
	assert_string_equal(again.instance, first.instance);
	shell("rm e/a.overlay.id");
	again = keeps("e/a.img", NULL, 0, false);
	assert_string_not_equal(again.instance, first.instance);
	shell("truncate -s 2M e/a.img");
	keeps_not("e/a.img", NULL, 0,
		"e/a.img: has changed since e/a.overlay.qcow2 was made, which stands on it");
	shell("truncate -s 1M e/a.img; echo nonsense >e/a.overlay.id");
	keeps_not("e/a.img", NULL, 0, "e/a.overlay.id: not what dach run wrote");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostnames),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_least),
		cmocka_unit_test(test_guess),
		cmocka_unit_test_setup_teardown(test_what_is_run, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_keep, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
