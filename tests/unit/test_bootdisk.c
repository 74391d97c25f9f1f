/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel on a guest's disk: boot loaders' configurations, and file systems that mke2fs makes. */
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bootdisk/bootdisk.h"
#include "bootdisk/menu.h"

#define MIB (1u << 20)

/* As update-grub of Debian 12 writes it, in what matters. */
static const char debian[] =
	"if [ -s $prefix/grubenv ]; then\n"
	"  set have_grubenv=true\n"
	"  load_env\n"
	"fi\n"
	"if [ \"${next_entry}\" ] ; then\n"
	"   set default=\"${next_entry}\"\n"
	"   set next_entry=\n"
	"   save_env next_entry\n"
	"   set boot_once=true\n"
	"else\n"
	"   set default=\"%s\"\n"
	"fi\n"
	"\n"
	"if [ x\"${feature_menuentry_id}\" = xy ]; then\n"
	"  menuentry_id_option=\"--id\"\n"
	"else\n"
	"  menuentry_id_option=\"\"\n"
	"fi\n"
	"export menuentry_id_option\n"
	"function savedefault {\n"
	"  if [ -z \"${boot_once}\" ]; then\n"
	"    saved_entry=\"${chosen}\"\n"
	"    save_env saved_entry\n"
	"  fi\n"
	"}\n"
	"function gfxmode {\n"
	"\tset gfxpayload=\"${1}\"\n"
	"\tif [ \"${1}\" = \"keep\" ]; then set vt_handoff=vt.handoff=7; fi\n"
	"}\n"
	"### BEGIN /etc/grub.d/10_linux ###\n"
	"menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option "
	"'gnulinux-simple-0aa' {\n"
	"\tload_video\n"
	"\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi\n"
	"\tset root='hd0,gpt2'\n"
	"\tif [ x$feature_platform_search_hint = xy ]; then\n"
	"\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 0aa\n"
	"\telse\n"
	"\t  search --no-floppy --fs-uuid --set=root 0aa\n"
	"\tfi\n"
	"\techo\t'Loading Linux 6.1.0-2-amd64 ...'\n"
	"\tlinux\t/boot/vmlinuz-6.1.0-2-amd64 root=UUID=0aa ro  quiet $vt_handoff\n"
	"\techo\t'Loading initial ramdisk ...'\n"
	"\tinitrd\t/boot/initrd.img-6.1.0-2-amd64\n"
	"}\n"
	"submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-0aa' {\n"
	"\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-2-amd64' --class os $menuentry_id_option "
	"'gnulinux-6.1.0-2-amd64-advanced-0aa' {\n"
	"\t\tlinux\t/boot/vmlinuz-6.1.0-2-amd64 root=UUID=0aa ro  quiet\n"
	"\t\tinitrd\t/boot/initrd.img-6.1.0-2-amd64\n"
	"\t}\n"
	"\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-1-amd64' --class os $menuentry_id_option "
	"'gnulinux-6.1.0-1-amd64-advanced-0aa' {\n"
	"\t\tlinux\t($root)/vmlinuz-6.1.0-1-amd64 root=UUID=0aa ro dyndbg=\"file x +p\" single\n"
	"\t\tinitrd\t/microcode.cpio ($root)/initrd.img-6.1.0-1-amd64\n"
	"\t}\n"
	"}\n"
	"menuentry \"UEFI Firmware Settings\" { fwsetup; }\n";

static void test_grub(void **state)
{
	static const struct {
		const char *chosen, *env, *kernel, *cmdline;
	} cases[] = {
		{"0", NULL, "/boot/vmlinuz-6.1.0-2-amd64", "root=UUID=0aa ro quiet"},
		{"1", NULL, "/boot/vmlinuz-6.1.0-2-amd64", "root=UUID=0aa ro quiet"},
		{"1>1", NULL, "/vmlinuz-6.1.0-1-amd64",
			"root=UUID=0aa ro \"dyndbg=file x +p\" single"},
		{"gnulinux-advanced-0aa>gnulinux-6.1.0-1-amd64-advanced-0aa", NULL,
			"/vmlinuz-6.1.0-1-amd64", "root=UUID=0aa ro \"dyndbg=file x +p\" single"},
		{"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-1-amd64",
			NULL, "/vmlinuz-6.1.0-1-amd64",
			"root=UUID=0aa ro \"dyndbg=file x +p\" single"},
		{"${saved_entry}", NULL, "/boot/vmlinuz-6.1.0-2-amd64", "root=UUID=0aa ro quiet"},
		{"${saved_entry}", "# GRUB Environment Block\nsaved_entry=1>1\nnext_entry=2\n####",
			"/vmlinuz-6.1.0-1-amd64", "root=UUID=0aa ro \"dyndbg=file x +p\" single"},
		{"no such entry", NULL, "/boot/vmlinuz-6.1.0-2-amd64", "root=UUID=0aa ro quiet"},
		{"7>8>9", NULL, "/boot/vmlinuz-6.1.0-2-amd64", "root=UUID=0aa ro quiet"},
		{"2", NULL, NULL, NULL},
	};
	char text[sizeof debian + 256];

	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		const struct menu_item *item;
		struct error err = {""};
		struct menu menu;

		snprintf(text, sizeof text, debian, cases[n].chosen);
		if (menu_parse_grub(text, strlen(text), cases[n].env, &menu, &err))
			fail_msg("%s", err.text);
		assert_int_equal(menu.items, 5);
		item = menu_default(&menu);
		assert_non_null(item);
		if (cases[n].kernel) {
			assert_string_equal(item->kernel, cases[n].kernel);
			assert_string_equal(item->cmdline, cases[n].cmdline);
			assert_int_equal(item->ramdisks, strstr(item->kernel, "0-1") ? 2 : 1);
			assert_memory_equal(item->ramdisk[item->ramdisks - 1] +
					strlen(item->ramdisk[item->ramdisks - 1]) - 5,
				"amd64", 5);
		} else {
			assert_null(item->kernel);
		}
		menu_free(&menu);
	}
}

/* As xen-create-image writes it. */
static const char legacy[] = "default         %s\n"
			     "timeout         2\n"
			     "### BEGIN AUTOMAGIC KERNELS LIST\n"
			     "# kopt=root=/dev/xvda2 ro elevator=noop\n"
			     "title           Debian GNU/Linux 12\n"
			     "root            (hd0,0)\n"
			     "kernel          /boot/vmlinuz-6.1 root=/dev/xvda2 ro elevator=noop\n"
			     "initrd          /boot/initrd.img-6.1\n"
			     "\n"
			     "title           Debian GNU/Linux 12 (Default Kernel)\r\n"
			     "root            (hd0,0)\n"
			     "kernel=--no-mem-option  (hd0,0)/vmlinuz\troot=/dev/xvda2 x=y\n"
			     "initrd          (hd0,0)/initrd.img\n";

static void test_legacy(void **state)
{
	static const struct {
		const char *chosen, *kernel, *cmdline, *ramdisk;
	} cases[] = {
		{"0", "/boot/vmlinuz-6.1", "root=/dev/xvda2 ro elevator=noop",
			"/boot/initrd.img-6.1"},
		{"saved", "/boot/vmlinuz-6.1", "root=/dev/xvda2 ro elevator=noop",
			"/boot/initrd.img-6.1"},
		{"1", "/vmlinuz", "root=/dev/xvda2 x=y", "/initrd.img"},
		{"99999999999999999999", "/boot/vmlinuz-6.1", "root=/dev/xvda2 ro elevator=noop",
			"/boot/initrd.img-6.1"},
	};
	char text[sizeof legacy + 64];

	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		const struct menu_item *item;
		struct error err = {""};
		struct menu menu;

		snprintf(text, sizeof text, legacy, cases[n].chosen);
		assert_int_equal(menu_parse_legacy(text, strlen(text), &menu, &err), 0);
		assert_int_equal(menu.items, 2);
		item = menu_default(&menu);
		assert_string_equal(item->kernel, cases[n].kernel);
		assert_string_equal(item->cmdline, cases[n].cmdline);
		assert_int_equal(item->ramdisks, 1);
		assert_string_equal(item->ramdisk[0], cases[n].ramdisk);
		menu_free(&menu);
	}
}

static void test_bad_menus(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"}\n", "line 1: } without {"},
		{"menuentry a {\n", "the file ends within an entry"},
		{"\nset x='abc\n", "a quote that does not end"},
		{"menuentry a {\nmenuentry b {\n}\n}\n", "line 2: an entry within an entry"},
		{"{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n", "line 17: nested too deep"},
	};
	const struct menu_item *item;
	struct error err = {""};
	struct menu menu;
	char *long_text = malloc(20 * MENU_ITEMS_MAX + 20000);

	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		err.text[0] = 0;
		assert_int_not_equal(menu_parse_grub(cases[n].text, strlen(cases[n].text), NULL,
					     &menu, &err),
			0);
		if (!strstr(err.text, cases[n].says))
			fail_msg("'%s' is not in: %s", cases[n].says, err.text);
	}
	err.text[0] = 0;
	memset(long_text, 'a', 20000);
	assert_int_not_equal(menu_parse_grub(long_text, 20000, NULL, &menu, &err), 0);
	assert_string_equal(err.text, "line 1: too long");
	err.text[0] = 0;
	assert_int_not_equal(menu_parse_legacy(long_text, 20000, &menu, &err), 0);
	*long_text = 0;
	for (unsigned n = 0; n <= MENU_ITEMS_MAX; n++)
		strcat(long_text, "title a\n");
	err.text[0] = 0;
	assert_int_not_equal(menu_parse_legacy(long_text, strlen(long_text), &menu, &err), 0);
	assert_non_null(strstr(err.text, "line 513: more than 512 entries"));
	free(long_text);
	/* Nothing to start. */
	assert_int_equal(menu_parse_grub("set default=3\nblscfg\n", 21, NULL, &menu, &err), 0);
	assert_null(menu_default(&menu));
	menu_free(&menu);
	assert_int_equal(menu_parse_grub("submenu a {\n}\n", 14, NULL, &menu, &err), 0);
	item = menu_default(&menu);
	assert_null(item);
	menu_free(&menu);
}

/* Disks */

static char folder[64];

static int make_folder(void **state)
{
	snprintf(folder, sizeof folder, "/tmp/dach-test-XXXXXX");
	return mkdtemp(folder) && !chdir(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", folder);
	return chdir("/") || system(command);
}

static void shell(const char *command)
{
	char whole[2048];

	snprintf(whole, sizeof whole, "set -e; PATH=$PATH:/sbin:/usr/sbin; %s", command);
	assert_int_equal(system(whole), 0);
}

/* disk.img's kernel is what starts so; its sentence holds that. */
static void boots(const char *kernel, const char *ramdisk, const char *cmdline)
{
	struct bootdisk_found found;
	struct error err = {""};
	char bytes[64] = "";
	int disk = open("disk.img", O_RDONLY);
	int files[2] = {memfd_create("k", 0), memfd_create("r", 0)};

	/* What was there before goes. */
	assert_int_equal(pwrite(files[0], "older and longer", 16, 0), 16);
	if (bootdisk_load(disk, "disk", 64 * MIB, files[0], files[1], &found, &err))
		fail_msg("%s", err.text);
	assert_true(pread(files[0], bytes, sizeof bytes - 1, 0) >= 0);
	assert_string_equal(bytes, kernel);
	memset(bytes, 0, sizeof bytes);
	assert_true(pread(files[1], bytes, sizeof bytes - 1, 0) >= 0);
	assert_memory_equal(bytes, ramdisk, strlen(ramdisk) + 1);
	assert_int_equal(found.ramdisk_size > 0, *ramdisk != 0);
	assert_string_equal(found.cmdline, cmdline);
	close(disk);
	close(files[0]);
	close(files[1]);
}

static void refuses(const char *says)
{
	struct bootdisk_found found;
	struct error err = {""};
	int disk = open("disk.img", O_RDONLY);
	int files[2] = {memfd_create("k", 0), memfd_create("r", 0)};

	assert_int_not_equal(bootdisk_load(disk, "disk", MIB / 2, files[0], files[1], &found, &err),
		0);
	if (!strstr(err.text, says))
		fail_msg("'%s' is not in: %s", says, err.text);
	close(disk);
	close(files[0]);
	close(files[1]);
}

static void test_whole_disk(void **state)
{
	shell("mkdir -p root/boot/grub; printf NEW >root/boot/vmlinuz-2; printf RAM >root/boot/initrd-2;"
	      "ln -s boot/vmlinuz-2 root/vmlinuz; ln -s /boot/initrd-2 root/initrd.img;"
	      "mke2fs -q -t ext4 -d root disk.img 8M");
	boots("NEW", "RAM", "root=/dev/vda ro");
	shell("printf 'title a\\nkernel /boot/vmlinuz-2 x\\n' >root/boot/grub/menu.lst;"
	      "mke2fs -q -F -t ext2 -d root disk.img 8M");
	boots("NEW", "", "x");
	shell("printf 'menuentry b {\\nlinux /vmlinuz y\\ninitrd /initrd.img\\n}\\n' "
	      ">root/boot/grub/grub.cfg; mke2fs -q -F -t ext3 -b 1024 -d root disk.img 8M");
	boots("NEW", "RAM", "y");
	/* The file system's own features make no difference. */
	shell("mke2fs -q -F -t ext4 -O inline_data,metadata_csum,64bit,bigalloc -d root disk.img 32M "
	      "2>/dev/null");
	boots("NEW", "RAM", "y");
	shell("rm root/vmlinuz; mke2fs -q -F -t ext4 -d root disk.img 8M");
	refuses("disk: /boot/grub/grub.cfg names /vmlinuz, which is not there");
	shell("ln -s vmlinuz root/vmlinuz; mke2fs -q -F -t ext4 -d root disk.img 8M");
	refuses("disk: /vmlinuz cannot be read: ");
	shell("rm root/vmlinuz; mkdir root/vmlinuz; mke2fs -q -F -t ext4 -d root disk.img 8M");
	refuses("disk: /vmlinuz is not a regular file");
	shell("rmdir root/vmlinuz; truncate -s 1M root/vmlinuz; mke2fs -q -F -t ext4 -d root disk.img 8M");
	refuses("disk: /vmlinuz is larger than 512 KiB");
	shell("echo '}' >root/boot/grub/grub.cfg; mke2fs -q -F -t ext4 -d root disk.img 8M");
	refuses("disk: /boot/grub/grub.cfg, line 1: } without {");
}

/* Relative and absolute ones, some too long for an inode, on the way and at its end. */
static void test_links(void **state)
{
	shell("mkdir -p root/a/b; printf NEW >root/a/b/k; ln -s a/../a/b root/c;"
	      "long=$(printf '%80s' | tr ' ' /); ln -s /c${long}k root/a/l; ln -s a/b/../l root/vmlinuz;"
	      "mke2fs -q -t ext4 -d root disk.img 8M");
	boots("NEW", "", "root=/dev/vda ro");
	/* What one says of its length is not believed. */
	shell("debugfs -w -R 'set_inode_field /a/l size 2818572358' disk.img 2>/dev/null");
	refuses("disk: /vmlinuz cannot be read: ");
	shell("rm root/vmlinuz; ln -s /d root/vmlinuz; ln -s vmlinuz root/d;"
	      "mke2fs -q -F -t ext4 -d root disk.img 8M");
	refuses("disk: /vmlinuz cannot be read: ");
}

static void put(uint8_t *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static void test_partitions(void **state)
{
	uint8_t table[3 * 512] = {0};
	int disk;

	shell("mkdir -p part/grub; printf PART >part/vmlinuz-3;"
	      "printf 'menuentry b {\\nlinux ($root)/vmlinuz-3 z\\n}\\n' >part/grub/grub.cfg;"
	      "mke2fs -q -t ext4 -d part part.img 8M; truncate -s 20M disk.img;"
	      "dd if=/dev/zero of=disk.img bs=1M count=20 status=none;"
	      "dd if=part.img of=disk.img bs=1M seek=10 conv=notrunc status=none");
	table[510] = 0x55;
	table[511] = 0xaa;
	table[446 + 4] = 0x82;
	put(table + 446 + 8, 2048, 4);
	put(table + 446 + 12, 2048, 4);
	table[462 + 4] = 0x83;
	put(table + 462 + 8, 20480, 4);
	put(table + 462 + 12, 0xffffffff, 4);
	disk = open("disk.img", O_RDWR);
	assert_int_equal(pwrite(disk, table, sizeof table, 0), sizeof table);
	boots("PART", "", "z");

	memset(table + 446, 0, 64);
	table[446 + 4] = 0xee;
	memcpy(table + 512, "EFI PART", 8);
	put(table + 512 + 72, 2, 8);
	put(table + 512 + 80, 128, 4);
	put(table + 512 + 84, 128, 4);
	memset(table + 1024 + 128, 0x11, 16);
	put(table + 1024 + 128 + 32, 20480, 8);
	put(table + 1024 + 128 + 40, 20480 + 16383, 8);
	assert_int_equal(pwrite(disk, table, sizeof table, 0), sizeof table);
	boots("PART", "", "z");
	close(disk);
	/* Without a boot loader: its root is by the partition's number. */
	shell("rm -r part/grub; mv part/vmlinuz-3 part/vmlinuz; mke2fs -q -F -t ext4 -d part part.img 8M;"
	      "dd if=part.img of=disk.img bs=1M seek=10 conv=notrunc status=none");
	boots("PART", "", "root=/dev/vda2 ro");
}

static void test_others(void **state)
{
	shell("truncate -s 0 disk.img");
	refuses("disk: no kernel can be taken from it: no ext2, ext3 or ext4 file system is on it");
	shell("truncate -s 8M disk.img; printf XFSB | dd of=disk.img conv=notrunc status=none");
	refuses("disk: no kernel can be taken from it: it is XFS, and ext2, ext3 and ext4 are read");
	shell("mke2fs -q -F -t ext4 disk.img 8M");
	refuses("disk: no kernel on it: neither");
	/* A file system that says that it has more than fits. */
	shell("printf '\\377\\377\\377\\377' | dd of=disk.img bs=1 seek=1028 conv=notrunc status=none");
	refuses("disk: ");
	shell("printf '\\10\\0\\0\\0' | dd of=disk.img bs=1 seek=1056 conv=notrunc status=none");
	refuses("disk: its file system is too large, or damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grub),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_bad_menus),
		cmocka_unit_test_setup_teardown(test_whole_disk, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_links, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_partitions, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_others, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
