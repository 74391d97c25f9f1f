/* SPDX-License-Identifier: Apache-2.0 */
/* Boot loaders' configurations: what they start when nobody chooses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootdisk/menu.h"
#include "bootdisk/version.h"
#include "menu_rig.h"

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
		rig_files = (struct rig_file[]){{cases[n].env ? "hd0,msdos1" : NULL,
							"/boot/grub/grubenv", cases[n].env},
			{NULL, NULL, NULL}};
		if (menu_parse_grub(&rig_disk, text, strlen(text), &menu, &err))
			fail_msg("%s", err.text);
		assert_int_equal(menu.items, 3);
		assert_int_equal(menu_default(&menu, &item, &err), 0);
		assert_non_null(item);
		/* A submenu's entries are known when it is opened. */
		assert_int_equal(menu.items, item->parent == MENU_TOP ? 3 : 5);
		if (cases[n].kernel) {
			assert_string_equal(item->kernel.path, cases[n].kernel);
			assert_string_equal(item->cmdline, cases[n].cmdline);
			assert_int_equal(item->ramdisks, strstr(item->kernel.path, "0-1") ? 2 : 1);
			assert_memory_equal(item->ramdisk[item->ramdisks - 1].path +
					strlen(item->ramdisk[item->ramdisks - 1].path) - 5,
				"amd64", 5);
		} else {
			assert_null(item->kernel.path);
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
		assert_int_equal(menu_default(&menu, &item, &err), 0);
		assert_string_equal(item->kernel.path, cases[n].kernel);
		assert_string_equal(item->cmdline, cases[n].cmdline);
		assert_int_equal(item->ramdisks, 1);
		assert_string_equal(item->ramdisk[0].path, cases[n].ramdisk);
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
		{"if true; then\nx=1\n", "line 3: expected 'fi'"},
		{"x=1\nfi\n", "line 2: 'fi' is not understood here"},
		{"for x y; do true; done\n", "line 1: expected for NAME in WORDS"},
		{"case $x in\nesac\n", "line 1: 'case' is not understood here"},
		{"function f {\nf\n}\nf\n", "line 2: nested too deep"},
		{"while true; do\nx=a\ndone\n", "it runs for too long"},
		{"until false; do\ndone\n", "it runs for too long"},
		{"x=a\nwhile true; do\nx=$x$x\ndone\n", "line 3: too long"},
		{"while true; do increment n\nset x$n=a\ndone\n", "more than 256 variables"},
		{"{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n{\n", "line 17: nested too deep"},
	};
	const struct menu_item *item;
	struct error err = {""};
	struct menu menu;
	char *long_text = malloc(20 * MENU_ITEMS_MAX + 20000);
	int r;

	rig_files = NULL;

	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		err.text[0] = 0;
		r = menu_parse_grub(&rig_disk, cases[n].text, strlen(cases[n].text), &menu, &err);
		if (!r) {
			r = menu_default(&menu, &item, &err);
			menu_free(&menu);
		}
		assert_int_not_equal(r, 0);
		if (!strstr(err.text, cases[n].says))
			fail_msg("'%s' is not in: %s", cases[n].says, err.text);
	}
	err.text[0] = 0;
	memset(long_text, 'a', 20000);
	assert_int_not_equal(menu_parse_grub(&rig_disk, long_text, 20000, &menu, &err), 0);
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
	assert_int_equal(menu_parse_grub(&rig_disk, "set default=3\nblscfg\n", 21, &menu, &err), 0);
	assert_int_equal(menu_default(&menu, &item, &err), 0);
	assert_null(item);
	assert_string_equal(menu.other, "blscfg");
	menu_free(&menu);
	assert_int_equal(menu_parse_grub(&rig_disk, "submenu a {\n}\n", 14, &menu, &err), 0);
	assert_int_equal(menu_default(&menu, &item, &err), 0);
	assert_null(item);
	menu_free(&menu);
}

/* GRUB's language, and what distributions make of it */

static const struct grub_case {
	const char *text;
	/* What the first entry with a kernel becomes; device NULL: the configuration's own. */
	const char *kernel, *cmdline, *ramdisks, *device;
} grub_cases[] = {
	/* Yocto writes no blank before the brace */
	{"serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1\ndefault=boot\ntimeout=0\n"
	 "menuentry 'boot'{\nlinux /bzImage console=ttyS0,115200n8 console=tty0\n}\n",
		"/bzImage", "console=ttyS0,115200n8 console=tty0", "", NULL},
	{"function f{\necho x\n}\nmenuentry \"x\" {linux /k;initrd /a /b}\n", "/k", "", "/a /b",
		NULL},
	/* SUSE: the first item is a submenu of what can be started by hand only */
	{"set default=\"${saved_entry}\"\nextra_cmdline=x\nif [ -n \"$extra_cmdline\" ]; then\n"
	 "  submenu \"Bootable snapshot #$snapshot_num\" {\n"
	 "    menuentry \"If OK, run 'snapper rollback $snapshot_num' and reboot.\" { true; }\n"
	 "  }\nfi\n"
	 "menuentry 'SLES' --class os $menuentry_id_option 'gnulinux-simple-U' {\n"
	 "\tlinux\t/vmlinuz-default root=UUID=U ${extra_cmdline} splash=silent\n"
	 "\tinitrd\t/initrd-default\n}\n",
		"/vmlinuz-default", "root=UUID=U x splash=silent", "/initrd-default", NULL},
	/* quotes, escapes, hidden line ends, comments, blanks of variables */
	{"a='1 2'\nb=\"\\\"$a\\\" \\$a\" # c\nset c=x\\ y#z\nmenuentry m { linux /k $a \"$a\" b=$b \\\n"
	 "\t${c} '$a' $\"t r\" # } {\n}\n",
		"/k", "1 2 \"1 2\" b=\"1 2\" $a x y#z $a \"t r\"", "", NULL},
	/* conditions */
	{"if [ a = b ]; then k=/1; elif test 3 -gt 2 -a ! \"\" = x; then k=/2; else k=/3; fi\n"
	 "menuentry m { linux $k; }",
		"/2", "", "", NULL},
	{"if [ a == b -o -z \"$z\" ]\nthen if ! [ -f /no ]; then k=/1; else k=/2; fi\nelse k=/3\nfi\n"
	 "menuentry m { linux $k }",
		"/1", "", "", NULL},
	{"if [ ! ( a != a -o 1 -le 0 ) ]; then k=/1; fi; if [ a = ]; then k=/2; fi\n"
	 "menuentry m { linux $k }",
		"/1", "", "", NULL},
	{"if [ \"${grub_platform}\" == \"pc\" -a x$feature_menuentry_id = xy ]; then k=/1; fi\n"
	 "menuentry m { linux16 $k }",
		"/1", "", "", NULL},
	/* loops and functions */
	{"for n in 1 2 3; do if [ $n = 2 ]; then continue; fi; l=$l$n; done\n"
	 "while [ \"$i\" != xxx ]; do i=x$i; done\nuntil [ $j -ge 3 ]; do increment j; done\n"
	 "function f { if [ $1 = a ]; then r=\"$#$2\"; return; fi; r=no; }\nf a 'b c'\n"
	 "menuentry m { linux /k $l $i $j $r }",
		"/k", "13 xxx 3 2b c", "", NULL},
	/* an A/B image takes its slot */
	{"set default=0\nset ORDER=\"A B\"\nset B_OK=1\nset A_OK=0\n"
	 "for SLOT in $ORDER; do\n"
	 "  if [ \"$SLOT\" == \"A\" ]; then INDEX=0; OK=$A_OK; fi\n"
	 "  if [ \"$SLOT\" == \"B\" ]; then INDEX=1; OK=$B_OK; fi\n"
	 "  if [ \"$OK\" -eq 1 ]; then set default=$INDEX; break; fi\ndone\n"
	 "regexp --set boothd '(.+),.+' $root\n"
	 "menuentry \"Slot A (OK=$A_OK)\" { linux (${boothd},gpt2)/bzImage rauc.slot=A }\n"
	 "menuentry \"Slot B (OK=$B_OK)\" { linux (${boothd},gpt4)/bzImage rauc.slot=B }\n",
		"/bzImage", "rauc.slot=B", "", "hd0,gpt4"},
	/* another partition, by its UUID, label or a file; one that is not there changes nothing */
	{"search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 u-2\n"
	 "search --fs-uuid --set=root nowhere\nmenuentry m { linux /k; initrd ($root)/i }",
		"/k", "", "/i", "hd0,msdos2"},
	{"search --label --set=b L2\nmenuentry m { linux ($b)/k }", "/k", "", "", "hd0,msdos2"},
	{"search.fs_label L2 root\nmenuentry m { linux /k }", "/k", "", "", "hd0,msdos2"},
	{"search -n -f /only/there -s root\nmenuentry m { linux /k }", "/k", "", "", "hd0,msdos2"},
	{"search --fs-uuid --set root u-2\nmenuentry m { linux /k }", "/k", "", "", "hd0,msdos2"},
	{"search --set u-2 --fs-uuid\nmenuentry m { linux /k }", "/k", "", "", "hd0,msdos2"},
	{"search --fs-uuid u-2 --set=v\nmenuentry m { linux ($v)/k }", "/k", "", "", "hd0,msdos2"},
	{"if search --file /no; then k=/1; else k=/2; fi\nmenuentry m { linux $k }", "/2", "", "",
		NULL},
	{"set root='(hd0,2)'\nmenuentry m { linux /k }", "/k", "", "", "hd0,2"},
	{"set root=(hd0,2)\nmenuentry m { linux ($root)/k }", "/k", "", "", "hd0,2"},
	/* other files */
	{"source $prefix/custom.cfg\nif [ -s $prefix/custom.cfg -a -d /boot ]; then x=b; fi\n"
	 "menuentry m { linux /k $x }",
		"/custom", "a", "", NULL},
	{"menuentry m { linux /k }\nconfigfile (hd0,msdos2)/other.cfg\nmenuentry n { linux /n }",
		"/second", "", "", NULL},
	{"menuentry m { configfile (hd0,msdos2)/other.cfg }", "/second", "", "", NULL},
	/* no entry, only commands */
	{"set root=hd0,msdos1\nlinux /k a=b\ninitrd /i\nboot\n", "/k", "a=b", "/i", NULL},
	/* RHEL 8: kernelopts of grubenv, an empty word is none */
	{"load_env -f ${config_directory}/rhel\nset default=\"${saved_entry}\"\nset tuned_params=\"\"\n"
	 "menuentry 'other' --id x { linux /x }\n"
	 "menuentry 'RHEL (4.18.0-80)' --class kernel --unrestricted --users $grub_users --id 8e15-4.18.0-80 {\n"
	 "\t linux /vmlinuz-4.18.0-80 $kernelopts $tuned_params\n"
	 "\t initrd /initramfs-4.18.0-80.img $tuned_initrd\n}\n",
		"/vmlinuz-4.18.0-80",
		"root=/dev/mapper/rhel-root ro crashkernel=auto rd.lvm.lv=rhel/root",
		"/initramfs-4.18.0-80.img", NULL},
	/* a grubenv that nothing loads */
	{"default=\"${always}\"\nmenuentry a { linux /a }\nmenuentry b { linux /b }", "/b", "", "",
		NULL},
	{"load_env --file $prefix/rhel kernelopts\nmenuentry a { linux /k x$saved_entry }", "/k",
		"x", "", NULL},
};

static const struct rig_file grub_files[] = {
	{"hd0,msdos1", "/boot/grub/custom.cfg", "menuentry c { linux /custom a }\n"},
	{"hd0,msdos1", "/boot/grub/rhel",
		"# GRUB Environment Block\nsaved_entry=8e15-4.18.0-80\n"
		"kernelopts=root=/dev/mapper/rhel-root ro crashkernel=auto rd.lvm.lv=rhel/root\n####"},
	{"hd0,msdos1", "/boot/grub/grubenv", "always=1\n"},
	{"hd0,msdos2", NULL, "u-2 L2"},
	{"hd0,msdos2", "/only/there", ""},
	{"hd0,msdos2", "/other.cfg",
		"menuentry first { linux /first }\nmenuentry second { linux /second }\ndefault=second\n"},
	{NULL, NULL, NULL},
};

/* The default of a menu, which goes. */
static void starts(struct menu *menu, const char *kernel, const char *cmdline, const char *ramdisks,
	const char *device)
{
	const struct menu_item *item;
	struct error err = {""};
	char all[512] = "";

	if (menu_default(menu, &item, &err))
		fail_msg("%s: %s", kernel, err.text);
	assert_non_null(item);
	assert_non_null(item->kernel.path);
	assert_string_equal(item->kernel.path, kernel);
	assert_string_equal(item->cmdline ? item->cmdline : "", cmdline);
	for (unsigned i = 0; i < item->ramdisks; i++)
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "",
			item->ramdisk[i].path);
	assert_string_equal(all, ramdisks);
	assert_string_equal(item->kernel.device ? item->kernel.device : rig_disk.device,
		device ? device : rig_disk.device);
	menu_free(menu);
}

static void test_grub_language(void **state)
{
	rig_files = grub_files;
	for (size_t n = 0; n < sizeof grub_cases / sizeof *grub_cases; n++) {
		const struct grub_case *c = &grub_cases[n];
		struct error err = {""};
		struct menu menu;

		if (menu_parse_grub(&rig_disk, c->text, strlen(c->text), &menu, &err))
			fail_msg("%s\n%s", err.text, c->text);
		starts(&menu, c->kernel, c->cmdline, c->ramdisks, c->device);
	}
}

/* An entry for the next start alone, and what a configuration saves. */
static void test_saved(void **state)
{
	static const char header[] = "# GRUB Environment Block\n";
	char text[sizeof debian + 256], env[MENU_SAVED_SIZE + 1];
	static struct rig_file files[] = {
		{"hd0,msdos1", "/boot/grub/grubenv", NULL},
		{NULL, NULL, NULL},
	};
	static const char counts[] =
		"load_env\nfunction save { saved_entry=\"${chosen}\"; save_env saved_entry; }\n"
		"decrement boot_counter\nname='a\\b'\nsave_env boot_counter name\n"
		"save_env -f /boot/grub/other boot_counter\n"
		"menuentry 'no kernel' { save; chainloader +1 }\n"
		"menuentry b --id two { save; linux /k }\n";
	struct error err = {""};
	struct menu menu;
	size_t used;

	rig_files = files;
	memset(env, '#', sizeof env - 1);
	env[MENU_SAVED_SIZE] = 0;
	used = (size_t)sprintf(env, "%ssaved_entry=0\nnext_entry=1>1\nrest=x\n", header);
	env[used] = '#';
	files[0].text = env;
	snprintf(text, sizeof text, debian, "${saved_entry}");
	assert_int_equal(menu_parse_grub(&rig_disk, text, strlen(text), &menu, &err), 0);
	assert_non_null(menu.saved);
	assert_true(menu.saved->changed);
	assert_string_equal(menu.saved->path, "/boot/grub/grubenv");
	assert_string_equal(menu.saved->device, "hd0,msdos1");
	used = (size_t)sprintf(env, "%ssaved_entry=0\nnext_entry=\nrest=x\n", header);
	memset(env + used, '#', MENU_SAVED_SIZE - used);
	assert_memory_equal(menu.saved->bytes, env, MENU_SAVED_SIZE);
	starts(&menu, "/vmlinuz-6.1.0-1-amd64", "root=UUID=0aa ro \"dyndbg=file x +p\" single",
		"/microcode.cpio /initrd.img-6.1.0-1-amd64", NULL);
	/* Once it has been saved, there is nothing to save. */
	assert_int_equal(menu_parse_grub(&rig_disk, text, strlen(text), &menu, &err), 0);
	assert_true(!menu.saved || !menu.saved->changed);
	starts(&menu, "/boot/vmlinuz-6.1.0-2-amd64", "root=UUID=0aa ro quiet",
		"/boot/initrd.img-6.1.0-2-amd64", "hd0,gpt2");
	/* Only what is started saves; values have escapes, and take the place of older ones. */
	used = (size_t)sprintf(env, "%sboot_counter=3\nsaved_entry=0\nrest=x\n", header);
	memset(env + used, '#', MENU_SAVED_SIZE - used);
	assert_int_equal(menu_parse_grub(&rig_disk, counts, strlen(counts), &menu, &err), 0);
	assert_int_equal(menu_default(&menu, &(const struct menu_item *){NULL}, &err), 0);
	used = (size_t)sprintf(env, "%sboot_counter=2\nsaved_entry=two\nrest=x\nname=a\\\\b\n",
		header);
	memset(env + used, '#', MENU_SAVED_SIZE - used);
	assert_memory_equal(menu.saved->bytes, env, MENU_SAVED_SIZE);
	menu_free(&menu);
	/* What has no room stays as it was. */
	used = (size_t)sprintf(env, "%sboot_counter=3\nfill=", header);
	memset(env + used, 'x', MENU_SAVED_SIZE - used);
	env[MENU_SAVED_SIZE - 1] = '\n';
	assert_int_equal(menu_parse_grub(&rig_disk, counts, strlen(counts), &menu, &err), 0);
	env[strlen(header) + 13] = '2';
	assert_memory_equal(menu.saved->bytes, env, MENU_SAVED_SIZE);
	menu_free(&menu);
}

/* What is not understood is remembered, where it is. */
static void test_not_understood(void **state)
{
	static const char text[] = "frobnicate\nmenuentry 'UEFI Firmware Settings' { fwsetup }\n";
	const struct menu_item *item;
	struct error err = {""};
	struct menu menu;

	assert_int_equal(menu_parse_grub(&rig_disk, text, strlen(text), &menu, &err), 0);
	assert_int_equal(menu_default(&menu, &item, &err), 0);
	assert_string_equal(item->title, "UEFI Firmware Settings");
	assert_null(item->kernel.path);
	assert_string_equal(item->other, "fwsetup");
	assert_string_equal(menu.other, "frobnicate");
	menu_free(&menu);
}

/* Fedora: what grub2-mkconfig writes, in what matters */
static const char fedora[] =
	"if [ -f ${config_directory}/grubenv ]; then\n"
	"  load_env -f ${config_directory}/grubenv\n"
	"elif [ -s $prefix/grubenv ]; then\n"
	"  load_env\n"
	"fi\n"
	"if [ \"${next_entry}\" ] ; then\n"
	"   set default=\"${next_entry}\"\n"
	"   set next_entry=\n"
	"   save_env next_entry\n"
	"   set boot_once=true\n"
	"else\n"
	"   set default=\"${saved_entry}\"\n"
	"fi\n"
	"if [ -z \"${kernelopts}\" ]; then\n"
	"  set kernelopts=\"root=UUID=0bb ro \"\n"
	"fi\n"
	"insmod blscfg\n"
	"blscfg\n"
	"if [ \"${boot_success}\" = \"1\" -o \"${boot_indeterminate}\" = \"1\" ]; then\n"
	"  set menu_hide_ok=1\n"
	"else\n"
	"  set menu_hide_ok=0 \n"
	"fi\n"
	"if [ \"$grub_platform\" = \"efi\" ]; then\n"
	"\tmenuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' { fwsetup }\n"
	"fi\n";

#define ENTRY(version)                                                                           \
	"title Fedora Linux (" version ")\nversion " version "\nlinux /vmlinuz-" version         \
	"\ninitrd /initramfs-" version ".img $tuned_initrd\noptions $kernelopts $tuned_params\n" \
	"grub_users $grub_users\n"

static void test_bls(void **state)
{
	static const struct {
		const char *env, *kernel, *cmdline;
	} cases[] = {
		{NULL, "/vmlinuz-6.10.3-200.fc40.x86_64", "root=UUID=0bb ro"},
		{"saved_entry=0c-6.8.5-301.fc40.x86_64\nkernelopts=root=/dev/vda3 quiet\n",
			"/vmlinuz-6.8.5-301.fc40.x86_64", "root=/dev/vda3 quiet"},
		{"saved_entry=0c-0-rescue\n", "/vmlinuz-0-rescue", "root=UUID=0bb ro"},
		{"saved_entry=1\n", "/vmlinuz-6.8.5-301.fc40.x86_64", "root=UUID=0bb ro"},
		{"saved_entry=gone\n", "/vmlinuz-6.10.3-200.fc40.x86_64", "root=UUID=0bb ro"},
	};
	static struct rig_file files[] = {
		{"hd0,msdos1", "/loader/entries/0c-6.8.5-301.fc40.x86_64.conf",
			ENTRY("6.8.5-301.fc40.x86_64")},
		{"hd0,msdos1", "/loader/entries/0c-6.10.3-200.fc40.x86_64.conf",
			ENTRY("6.10.3-200.fc40.x86_64")},
		{"hd0,msdos1", "/loader/entries/0c-0-rescue.conf", ENTRY("0-rescue")},
		{"hd0,msdos1", "/loader/entries/readme", "linux /no\n"},
		{"hd0,msdos1", "/boot/grub/grubenv", ""},
		{NULL, NULL, NULL},
	};
	struct error err = {""};
	struct menu menu;
	char ramdisk[128];

	rig_files = files;
	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		files[4].text = cases[n].env ? cases[n].env : "";
		if (menu_parse_grub(&rig_disk, fedora, strlen(fedora), &menu, &err))
			fail_msg("%s", err.text);
		assert_int_equal(menu.items, 3);
		snprintf(ramdisk, sizeof ramdisk, "/initramfs-%s.img", cases[n].kernel + 9);
		starts(&menu, cases[n].kernel, cases[n].cmdline, ramdisk, NULL);
	}
}

/* Entries alone, as systemd-boot takes them; /boot may be no file system of its own. */
static void test_bls_alone(void **state)
{
	static const struct rig_file files[] = {
		{"hd0,msdos1", "/boot/loader/entries/a-1.conf",
			"linux /k-1\noptions a\noptions b\n"},
		{"hd0,msdos1", "/boot/loader/entries/a-2.conf",
			"linux /boot/k-2\ninitrd /boot/u\r\ninitrd /boot/i-2\n# x\noptions c"},
		{"hd0,msdos1", "/boot/loader/entries/b.conf", "title b\nefi /shell.efi\n"},
		{"hd0,msdos1", "/boot/loader/entries/.conf", "linux /no\n"},
		{"hd0,msdos1", "/boot/k-1", ""},
		{"hd0,msdos1", "/boot/k-2", ""},
		{"hd0,msdos1", "/boot/loader/loader.conf", "timeout 3\ndefault a-1*\n"},
		{NULL, NULL, NULL},
	};
	struct menu_disk disk = rig_disk;
	struct error err = {""};
	struct menu menu;

	disk.folder = "/boot/loader";
	rig_files = files;
	assert_int_equal(menu_parse_bls(&disk, &menu, &err), 0);
	assert_int_equal(menu.items, 3);
	starts(&menu, "/boot/k-1", "a b", "", NULL);
	/* Without a loader.conf: the first with a kernel, as they are sorted. */
	rig_files = files + 1;
	disk.folder = "/boot/loader/";
	assert_int_equal(menu_parse_bls(&disk, &menu, &err), 0);
	menu_free(&menu);
}

static void test_syslinux(void **state)
{
	static const struct {
		const char *text, *kernel, *cmdline, *ramdisks;
	} cases[] = {
		/* Alpine */
		{"DEFAULT menu.c32\nPROMPT 0\nMENU TITLE Alpine/Linux Boot Menu\nTIMEOUT 30\n"
		 "LABEL lts\n  MENU LABEL Linux lts\n  LINUX vmlinuz-lts\n  INITRD initramfs-lts\n"
		 "  APPEND root=UUID=U quiet\n\nMENU SEPARATOR\n"
		 "LABEL virt\n  MENU DEFAULT\n  MENU LABEL Linux virt\n  LINUX vmlinuz-virt\n"
		 "  INITRD initramfs-virt\n"
		 "  APPEND root=UUID=U modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4\n",
			"/boot/vmlinuz-virt",
			"root=UUID=U modules=sd-mod,usb-storage,ext4 quiet rootfstype=ext4",
			"/boot/initramfs-virt"},
		/* a label that is a number is no place in the list; what is in help is text */
		{"append global\ndefault 1\r\nlabel 0\r\nkernel /a\r\nlabel 1\r\ntext help\nkernel /no\n"
		 "endtext\nkernel /b\nappend x initrd=/i,j y\n",
			"/b", "x initrd=/i,j y", "/i /boot/j"},
		{"append global\nlabel a\nlocalboot 0\nlabel b\nkernel chain.c32\nlabel c\nkernel ../k\n",
			"/boot/../k", "global", ""},
		{"DEFAULT linux\nONTIMEOUT rescue\nLABEL linux\nLINUX /a\nAPPEND -\nLABEL Rescue\nLINUX /r\n",
			"/r", "", ""},
		{"default /vmlinuz initrd=/i root=/dev/sda1\n", "/vmlinuz",
			"initrd=/i root=/dev/sda1", "/i"},
		{"include more.cfg\nmenu include more.cfg More\ndefault in\n", "/in", "", ""},
	};
	static const struct rig_file files[] = {
		{"hd0,msdos1", "/boot/more.cfg", "include more.cfg\nlabel in\nlinux /in\n"},
		{"hd0,msdos1", "/boot/once.cfg", "label in\nlinux /in\n"},
		{NULL, NULL, NULL},
	};
	struct menu_disk disk = rig_disk;
	const struct menu_item *item;
	struct error err = {""};
	struct menu menu;

	disk.folder = "/boot";
	rig_files = files;
	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		char text[1024], *more;

		snprintf(text, sizeof text, "%s", cases[n].text);
		while ((more = strstr(text, "more.cfg")))
			memcpy(more, "once.cfg", 8);
		if (menu_parse_syslinux(&disk, text, strlen(text), &menu, &err))
			fail_msg("%s", err.text);
		starts(&menu, cases[n].kernel, cases[n].cmdline, cases[n].ramdisks, NULL);
	}
	/* Files that name themselves end. */
	assert_int_not_equal(menu_parse_syslinux(&disk, "include more.cfg\n", 17, &menu, &err), 0);
	assert_string_equal(err.text, "line 1: more than 16 files");
	assert_int_equal(menu_parse_syslinux(&disk, "label a\nlocalboot 0\n", 20, &menu, &err), 0);
	assert_int_equal(menu_default(&menu, &item, &err), 0);
	assert_string_equal(item->other, "localboot");
	menu_free(&menu);
}

static void test_versions(void **state)
{
	static const char *const rising[] = {"", "~rc1", "a", "0-rescue", "1.0~rc1", "1.0",
		"1.0^git1", "1.0.1", "4.18.0-80.el8", "4.18.0-305.el8", "5.9", "5.10",
		"6.1.0-9-amd64", "6.1.0-10-amd64", "6.8.5-301.fc40.x86_64",
		"6.10.3-200.fc40.x86_64"};

	for (size_t i = 1; i < sizeof rising / sizeof *rising; i++)
		for (size_t k = 1; k < i; k++) {
			if (version_compare(rising[k], rising[i]) >= 0 ||
				version_compare(rising[i], rising[k]) <= 0)
				fail_msg("%s and %s", rising[k], rising[i]);
		}
	assert_int_equal(version_compare("1.01", "1.1"), 0);
	assert_int_equal(version_compare("1..0", "1.0"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grub),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_bad_menus),
		cmocka_unit_test(test_grub_language),
		cmocka_unit_test(test_saved),
		cmocka_unit_test(test_not_understood),
		cmocka_unit_test(test_bls),
		cmocka_unit_test(test_bls_alone),
		cmocka_unit_test(test_syslinux),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
