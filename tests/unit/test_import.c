/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of other programs: what they are, what is in them, and what they must not reach. */
#include "bootdisk_rig.h"

#include "image/convert.h"
#include "image/import.h"
#include "image/ova.h"
#include "image/source.h"
#include "image/store.h"

static unsigned last_progress;

static bool progress(void *ctx, unsigned permille)
{
	assert_in_range(permille, last_progress, 1000);
	last_progress = permille;
	return true;
}

static const struct convert_watch watch = {.progress = progress};

static void converts(const char *word)
{
	struct image_source *source = calloc(1, sizeof *source);
	struct error err = {""};

	last_progress = 0;
	unlink("out.qcow2");
	if (source_open(word, source, &err) ||
		source_convert(source, "out.qcow2", DISK_QCOW2, &watch, &err))
		fail_msg("%s: %s", word, err.text);
	assert_int_equal(last_progress, 1000);
	source_free(source);
	free(source);
	shell("qemu-img compare -q -f raw -F qcow2 disk.raw out.qcow2; qemu-img check -q out.qcow2");
}

static void refuses_word(const char *word, const char *says)
{
	struct image_source *source = calloc(1, sizeof *source);
	struct error err = {""};
	int r = source_open(word, source, &err);

	unlink("out.qcow2");
	if (!r) {
		r = source_convert(source, "out.qcow2", DISK_QCOW2, NULL, &err);
		source_free(source);
	}
	assert_int_not_equal(r, 0);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	assert_int_not_equal(access("out.qcow2", F_OK), 0);
	free(source);
}

/* Data, a hole, data at the end. */
static void make_raw(void)
{
	shell("truncate -s 9M disk.raw; head -c 300000 /dev/urandom | dd of=disk.raw conv=notrunc status=none;"
	      "head -c 100000 /dev/urandom | dd of=disk.raw bs=1 seek=9337184 conv=notrunc status=none");
}

static void test_formats(void **state)
{
	static const char *const kinds[] = {"-O qcow2 -c", "-O vmdk",
		"-O vmdk -o subformat=streamOptimized", "-O vdi", "-O vhdx",
		"-O vpc -o force_size=on", "-O vpc -o subformat=fixed,force_size=on", "-O qed",
		"-O raw"};
	char command[256];

	make_raw();
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		snprintf(command, sizeof command, "qemu-img convert -f raw %s disk.raw 'a, b.img'",
			kinds[i]);
		shell(command);
		converts("a, b.img");
	}
	converts("disk.raw");
	/* In pieces, which a text names. */
	shell("qemu-img convert -f raw -O vmdk -o subformat=twoGbMaxExtentSparse disk.raw pieces.vmdk");
	converts("pieces.vmdk");
}

/* What it names outside is not read, whatever it is. */
static void test_reach(void **state)
{
	make_raw();
	shell("mkdir in; echo secret >secret; truncate -s 1M secret;"
	      "printf '# Disk DescriptorFile\\nversion=1\\nCID=1\\nparentCID=ffffffff\\ncreateType=\"monolithicFlat\"\\n"
	      "RW 2048 FLAT \"../secret\" 0\\n' >in/a.vmdk");
	refuses_word("in/a.vmdk",
		"in/a.vmdk: names '../secret', and only files in its own folder are read");
	shell("sed -i 's|../secret|s|' in/a.vmdk; cp secret in/s; cp secret disk.raw");
	converts("in/a.vmdk");
	/* A link beside it leads out; the wall is around what it leads to, which is no matter of names. */
	shell("cd in; qemu-img create -q -f qed -b ../secret -F raw b.qed");
	refuses_word("in/b.qed", "ermission denied");
	shell("cd in; qemu-img create -q -f qcow2 -b ../secret -F raw c.img");
	refuses_word("in/c.img", "in/c.img: stands on in/../secret, which it names itself");
	shell("qemu-img create -q -f vmdk b.vmdk 1M; cd in; qemu-img create -q -f vmdk -b ../b.vmdk -F vmdk d.vmdk");
	refuses_word("in/d.vmdk", "ermission denied");
	shell("head -c 3000 /dev/urandom >in/e.img; printf KDMV | dd of=in/e.img conv=notrunc status=none");
	refuses_word("in/e.img", "qemu-img: ");
}

static void test_ova(void **state)
{
	static const char *const makers[] = {"$OVF.ovf disk.vmdk", "disk.vmdk $OVF.ovf"};
	char command[1024];

	make_raw();
	shell("qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk; cat >a.ovf <<'OVF'\n"
	      "<?xml version=\"1.0\"?><Envelope><References><File ovf:href=\"disk.vmdk\" ovf:id=\"file1\"/></References>\n"
	      "<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>"
	      "<rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>\n"
	      "<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType>"
	      "<rasd:VirtualQuantity>2048</rasd:VirtualQuantity></Item></Envelope>\nOVF\n");
	for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
		struct ova ova;
		struct error err = {""};
		int fd;

		snprintf(command, sizeof command, "OVF=a; tar --format=ustar -cf a.ova %s",
			makers[i]);
		shell(command);
		fd = open("a.ova", O_RDONLY);
		if (ova_read(fd, "a.ova", &ova, &err))
			fail_msg("%s", err.text);
		close(fd);
		assert_int_equal(ova.vcpus, 2);
		assert_int_equal(ova.memory, 2048ull << 20);
		converts("a.ova");
	}
	shell("tar --format=ustar -cf none.ova a.ovf; cp disk.vmdk disk2.vmdk;"
	      "tar --format=ustar -cf two.ova a.ovf disk.vmdk disk2.vmdk; gzip -k disk.vmdk;"
	      "tar --format=ustar -cf packed.ova a.ovf disk.vmdk.gz; head -c 20000 a.ova >cut.ova");
	shell("rm out.qcow2");
	refuses_word("none.ova", "none.ova: an archive without a disk in it");
	refuses_word("two.ova", "two.ova: has 2 disks: take them out by tar and import each");
	refuses_word("packed.ova", "packed.ova: its disk is packed (disk.vmdk.gz)");
	refuses_word("cut.ova", "cut.ova: ends within its disk");
}

static void test_description(void **state)
{
	struct ova ova = {.vcpus = 0};

	ova_read_description(
		"<ovf:Item><ResourceType>4</ResourceType><AllocationUnits>GigaBytes</AllocationUnits>"
		"<VirtualQuantity> 3</VirtualQuantity></ovf:Item><Item><rasd:ResourceType>3</rasd:ResourceType>"
		"<rasd:VirtualQuantity>99999999999999999999</rasd:VirtualQuantity></Item>",
		&ova);
	assert_int_equal(ova.memory, 3ull << 30);
	assert_int_equal(ova.vcpus, 0);
	ova_read_description("Item>ResourceType>3", &ova);
	ova_read_description("Item>ResourceTypeItem>", &ova);
	ova_read_description("", &ova);
}

static void test_import(void **state)
{
	struct image image;
	struct error err = {""};

	make_raw();
	setenv("DACH_IMAGES", folder, 1);
	shell("qemu-img convert -f raw -O vdi disk.raw 'My disk (1).vdi'");
	last_progress = 0;
	if (import_image("My disk (1).vdi", NULL, &watch, &image, &err))
		fail_msg("%s", err.text);
	assert_string_equal(image.name, "My-disk--1-");
	assert_int_equal(image.size, 9 * MIB);
	assert_int_equal(image.format, DISK_QCOW2);
	shell("qemu-img compare -q -f raw -F qcow2 disk.raw My-disk--1-/disk.qcow2");
	assert_int_equal(import_image("disk.raw", "My-disk--1-", &watch, &image, &err), -EEXIST);
	assert_int_equal(image_clone("My-disk--1-", "other", NULL, NULL), 0);
	assert_int_equal(image_delete("My-disk--1-", NULL), 0);
	assert_int_equal(image_delete("other", NULL), 0);
	/* Nothing is left of what fails. */
	shell("printf KDMV >bad.vmdk");
	assert_int_not_equal(import_image("bad.vmdk", NULL, NULL, &image, NULL), 0);
	shell("test -z \"$(find . -name '.bad*' -o -name bad)\"");
	unsetenv("DACH_IMAGES");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_formats, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_reach, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_ova, make_folder, remove_folder),
		cmocka_unit_test(test_description),
		cmocka_unit_test_setup_teardown(test_import, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
