/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel on a guest's disk, in file systems that mke2fs makes. */
#include "bootdisk_rig.h"

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

/* A disk of parts that begin at multiples of 10 MiB and are 8 MiB, part-1.img and so on. */

static void put_parts(unsigned count)
{
	char command[128];

	shell("rm -f disk.img; truncate -s 40M disk.img");
	for (unsigned n = 1; n <= count; n++) {
		snprintf(command, sizeof command,
			"dd if=part-%u.img of=disk.img bs=1M seek=%u conv=notrunc status=none", n,
			10 * n);
		shell(command);
	}
}

static void put_table(const uint8_t *table, size_t size, off_t at)
{
	int disk = open("disk.img", O_RDWR);

	assert_int_equal(pwrite(disk, table, size, at), size);
	close(disk);
}

static void put_gpt(unsigned count)
{
	uint8_t table[3 * 512] = {0};

	table[510] = 0x55;
	table[511] = 0xaa;
	table[446 + 4] = 0xee;
	memcpy(table + 512, "EFI PART", 8);
	put(table + 512 + 72, 2, 8);
	put(table + 512 + 80, 4, 4);
	put(table + 512 + 84, 128, 4);
	for (unsigned n = 0; n < count; n++) {
		uint8_t *entry = table + 1024 + 128 * n;

		memset(entry, 0x11, 16);
		put(entry + 32, 20480 * (n + 1), 8);
		put(entry + 40, 20480 * (n + 1) + 16383, 8);
	}
	put_table(table, sizeof table, 0);
}

static void put_entry(uint8_t *entry, uint8_t type, uint32_t start, uint32_t sectors)
{
	entry[4] = type;
	put(entry + 8, start, 4);
	put(entry + 12, sectors, 4);
}

/* The parts as logical partitions, 5 and up. */
static void put_logical(unsigned count)
{
	uint8_t table[512] = {[510] = 0x55, [511] = 0xaa};

	put_entry(table + 446 + 16, 0x0f, 10240, 71680);
	put_table(table, sizeof table, 0);
	for (unsigned n = 0; n < count; n++) {
		memset(table, 0, 510);
		put_entry(table + 446, 0x83, 10240, 16384);
		if (n + 1 < count)
			put_entry(table + 462, 0x05, 20480 * (n + 1), 20480);
		put_table(table, sizeof table, (off_t)(10240 + 20480 * n) * 512);
	}
}

/* The kernel on another partition than what names it. */
static void test_other_partition(void **state)
{
	shell("mkdir -p one/grub two; echo -n TWO >two/bzImage; echo -n RAM >two/initrd;"
	      "printf 'menuentry A {\\nlinux (hd0,gpt2)/bzImage slot=A\\n}\\n' >one/grub/grub.cfg;"
	      "mke2fs -q -t ext4 -d one part-1.img 8M;"
	      "mke2fs -q -t ext4 -L SYSTEM -U 01234567-89ab-cdef-0123-456789abcdef -d two part-2.img 8M");
	put_parts(2);
	put_gpt(2);
	boots("TWO", "", "slot=A");
	shell("printf 'search --fs-uuid --set=root 01234567-89AB-cdef-0123-456789abcdef\\n"
	      "menuentry A {\\nlinux /bzImage u\\ninitrd /initrd\\n}\\n' >one/grub/grub.cfg;"
	      "mke2fs -q -F -t ext4 -d one part-1.img 8M");
	put_parts(2);
	put_gpt(2);
	boots("TWO", "RAM", "u");
	put_parts(2);
	put_logical(2);
	boots("TWO", "RAM", "u");
	/* Where the device is another, the kernel may be beside its configuration. */
	shell("echo -n ONE >one/bzImage; printf 'set root=hd1,msdos1\\nmenuentry A {\\nlinux /bzImage o\\n}\\n' "
	      ">one/grub/grub.cfg; mke2fs -q -F -t ext4 -d one part-1.img 8M");
	put_parts(2);
	put_logical(2);
	boots("ONE", "", "o");
	shell("printf 'search --label SYSTEM --set=root\\nmenuentry A {\\nlinux ($root)/bzImage l\\n}\\n' "
	      ">one/grub/grub.cfg; mke2fs -q -F -t ext4 -d one part-1.img 8M");
	put_parts(2);
	put_logical(2);
	boots("TWO", "", "l");
}

/* A chain of logical partitions that leads in a circle ends. */
static void test_logical_circle(void **state)
{
	uint8_t table[512] = {[510] = 0x55, [511] = 0xaa};

	shell("truncate -s 40M disk.img");
	put_entry(table + 446, 0x05, 10240, 71680);
	put_table(table, sizeof table, 0);
	put_entry(table + 446, 0x83, 1, 100);
	put_entry(table + 462, 0x05, 1, 100);
	put_table(table, sizeof table, 10240 * 512);
	put_table(table, sizeof table, 10241 * 512);
	refuses("disk: no kernel can be taken from it: no ext2");
}

/* What a configuration names and cannot be had, by its name. */
static void test_refused_devices(void **state)
{
	static const struct {
		const char *config, *says;
	} cases[] = {
		{"menuentry A {\\nlinux (lvm/vg-root)/vmlinuz\\n}\\n",
			"disk: /grub/grub.cfg names (lvm/vg-root)/vmlinuz: that is a logical volume (LVM), "
			"which is not read"},
		{"menuentry A {\\nloopback loop0 /k.squashfs\\nlinux (loop0)/vmlinuz\\n}\\n",
			"names (loop0)/vmlinuz: that is a file system in a file (loopback), which is not read"},
		{"menuentry A {\\nlinux (hd0,gpt2)/vmlinuz\\n}\\n",
			"names (hd0,gpt2)/vmlinuz: that is JFS, which is not read"},
		{"menuentry A {\\nlinux (hd0,gpt3)/vmlinuz\\n}\\n",
			"names (hd0,gpt3)/vmlinuz, which is not there"},
		{"menuentry U {\\nfwsetup\\n}\\n",
			"/grub/grub.cfg: its default, 'U', names no Linux kernel ('fwsetup' in it is not "
			"understood)"},
		{"blscfg\\n", "/grub/grub.cfg has no entry ('blscfg' in it is not understood)"},
	};
	char command[512];

	shell("mkdir -p one/grub; truncate -s 8M part-2.img;"
	      "printf JFS1 | dd of=part-2.img bs=1 seek=32768 conv=notrunc status=none");
	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		snprintf(command, sizeof command,
			"printf '%s' >one/grub/grub.cfg; mke2fs -q -F -t ext4 -d one part-1.img 8M",
			cases[n].config);
		shell(command);
		put_parts(2);
		put_gpt(2);
		refuses(cases[n].says);
	}
}

/* Fedora with /boot of its own: grubenv names the entry and has the kernel's words. */
static void test_bls(void **state)
{
	shell("mkdir -p root/loader/entries root/grub2; cd root; for v in 6.8.5-301 6.10.3-200; do"
	      " printf K$v >vmlinuz-$v; printf R$v >initramfs-$v.img;"
	      " printf \"title F ($v)\\nversion $v\\nlinux /vmlinuz-$v\\n"
	      "initrd /initramfs-$v.img \\$tuned_initrd\\noptions \\$kernelopts\\n\" >loader/entries/0c-$v.conf;"
	      "done; printf 'load_env\\nset default=\"${saved_entry}\"\\ninsmod blscfg\\nblscfg\\n' "
	      ">grub2/grub.cfg;"
	      "printf '# GRUB Environment Block\\nkernelopts=root=/dev/vda2 ro\\n' >grub2/grubenv; cd ..;"
	      "mke2fs -q -t ext4 -d root disk.img 8M");
	boots("K6.10.3-200", "R6.10.3-200", "root=/dev/vda2 ro");
	shell("echo saved_entry=0c-6.8.5-301 >>root/grub2/grubenv; mke2fs -q -F -t ext4 -d root disk.img 8M");
	boots("K6.8.5-301", "R6.8.5-301", "root=/dev/vda2 ro");
	/* The entries suffice. */
	shell("rm -r root/grub2; mkdir root/boot; mv root/loader root/vmlinuz* root/initramfs* root/boot;"
	      "sed -i 's/[$]kernelopts/a=b/' root/boot/loader/entries/*;"
	      "mke2fs -q -F -t ext4 -d root disk.img 8M");
	boots("K6.10.3-200", "R6.10.3-200", "a=b");
}

/* Starts disk.img's kernel, and writes what its boot loader saves. */
static void boots_and_saves(bool writable, const char *kernel, bool saves)
{
	struct bootdisk_found found;
	struct error err = {""};
	char bytes[64] = "";
	int disk = open("disk.img", O_RDWR);
	int files[2] = {memfd_create("k", 0), memfd_create("r", 0)};

	if (bootdisk_load(&(struct disk_bytes){read_file, &disk, DISK_SIZE(disk)}, "disk", writable,
		    64 * MIB, files[0], files[1], &found, &err))
		fail_msg("%s", err.text);
	assert_true(pread(files[0], bytes, sizeof bytes - 1, 0) >= 0);
	assert_string_equal(bytes, kernel);
	assert_int_equal(found.saved.size, saves ? 1024 : 0);
	assert_int_equal(found.saved.offset % 512, 0);
	assert_int_equal(pwrite(disk, found.saved.bytes, found.saved.size,
				 (off_t)found.saved.offset),
		found.saved.size);
	close(disk);
	close(files[0]);
	close(files[1]);
}

/* Where the default is not there, what the configuration falls back to is. */
static void test_fallback(void **state)
{
	static const char *const configs[] = {
		"fallback=\"7 c 1\"\\nmenuentry a { linux /gone }\\nmenuentry b { linux /k x }\\n"
		"menuentry c { linux /gone2 }\\n",
		"menuentry a { linux /gone }\\nmenuentry b { linux /k x }\\nfallback=c\\n",
	};
	char command[512];

	shell("mkdir -p root/boot/grub; printf K >root/k");
	for (unsigned n = 0; n < 2; n++) {
		snprintf(command, sizeof command,
			"printf '%s' >root/boot/grub/grub.cfg; mke2fs -q -F -t ext4 -d root disk.img 8M",
			configs[n]);
		shell(command);
		if (n)
			refuses("/boot/grub/grub.cfg names /gone, which is not there");
		else
			boots("K", "", "x");
	}
	shell("rm root/boot/grub/grub.cfg; printf 'default 0\\nfallback 1\\ntitle a\\nkernel /gone\\ntitle b\\n"
	      "kernel /k y\\n' >root/boot/grub/menu.lst; mke2fs -q -F -t ext4 -d root disk.img 8M");
	boots("K", "", "y");
}

/* grub-reboot's entry is started once. */
static void test_once(void **state)
{
	static const char *const features[] = {"-b 4096", "-b 1024"};
	char command[256];

	shell("mkdir -p one two/grub; cd two; printf A >a; printf B >b; (echo '# GRUB Environment Block';"
	      "echo next_entry=1; head -c 2000 /dev/zero | tr '\\0' '#') | head -c 1024 >grub/grubenv;"
	      "printf 'load_env\\nif [ \"$next_entry\" ]; then\\nset default=\"$next_entry\"\\nset next_entry=\\n"
	      "save_env next_entry\\nfi\\nmenuentry a { linux /a }\\nmenuentry b { linux /b }\\n' >grub/grub.cfg;"
	      "cd ..; mke2fs -q -t ext4 -d one part-1.img 8M");
	for (unsigned n = 0; n < 2; n++) {
		snprintf(command, sizeof command, "mke2fs -q -F -t ext4 %s -d two part-2.img 8M",
			features[n]);
		shell(command);
		put_parts(2);
		put_gpt(2);
		boots_and_saves(false, "A", false);
		boots_and_saves(true, "B", true);
		boots_and_saves(true, "A", false);
		shell("dd if=disk.img of=part-2.img bs=1M skip=20 count=8 status=none; e2fsck -fn part-2.img "
		      ">/dev/null 2>&1");
	}
	/* What lies in an inode is not written over. */
	shell("mke2fs -q -F -t ext4 -b 4096 -I 2048 -O ^has_journal,inline_data -d two disk.img 8M");
	boots_and_saves(true, "A", false);
}

static void test_extlinux(void **state)
{
	shell("mkdir -p root/boot root/etc; printf K >root/boot/vmlinuz-virt; printf R >root/boot/initramfs-virt;"
	      "printf 'DEFAULT menu.c32\\nLABEL virt\\n  LINUX vmlinuz-virt\\n  INITRD initramfs-virt\\n"
	      "  APPEND root=UUID=U modules=ext4\\n' >root/boot/extlinux.conf;"
	      "mke2fs -q -t ext4 -d root disk.img 8M");
	boots("K", "R", "root=UUID=U modules=ext4");
	/* Without it: by the kernel's name */
	shell("rm root/boot/extlinux.conf; mke2fs -q -F -t ext4 -d root disk.img 8M");
	boots("K", "R", "root=/dev/vda ro");
}

/* No configuration: the newest, with the ramdisk of its version, and the root that has a system. */
static void test_newest(void **state)
{
	shell("mkdir -p one two/etc; cd one; for v in 6.1.0-9-amd64 6.1.0-10-amd64 6.1.0-10-amd64.old; do"
	      " printf $v >vmlinuz-$v; printf R$v >initrd.img-$v; done; printf x >vmlinuz-9-rescue; cd ..;"
	      "mke2fs -q -t ext4 -d one part-1.img 8M; mke2fs -q -t ext4 -d two part-2.img 8M");
	put_parts(2);
	put_gpt(2);
	boots("6.1.0-10-amd64", "R6.1.0-10-amd64", "root=/dev/vda2 ro");
	shell("rm one/initrd*; mke2fs -q -F -t ext4 -d one part-1.img 8M;"
	      "mkdir two/boot; printf 6.2 >two/boot/vmlinuz-6.2; printf R >two/boot/initramfs-6.2.img;"
	      "mke2fs -q -F -t ext4 -d two part-2.img 8M");
	put_parts(2);
	put_gpt(2);
	boots("6.1.0-10-amd64", "", "root=/dev/vda2 ro");
	/* A configuration on a later partition counts more than a kernel on an earlier. */
	shell("mkdir two/boot/grub; echo 'menuentry a { linux /boot/vmlinuz-6.2 z }' >two/boot/grub/grub.cfg;"
	      "mke2fs -q -F -t ext4 -d two part-2.img 8M");
	put_parts(2);
	put_gpt(2);
	boots("6.2", "", "z");
}

static void test_others(void **state)
{
	shell("truncate -s 0 disk.img");
	refuses("disk: no kernel can be taken from it: no ext2 to ext4, XFS, btrfs or FAT file system is on it");
	shell("truncate -s 8M disk.img; printf JFS1 | dd of=disk.img bs=1 seek=32768 conv=notrunc status=none");
	refuses("disk: no kernel can be taken from it: it is JFS, and ext2 to ext4, XFS, btrfs and FAT are read");
	shell("printf XFSB | dd of=disk.img conv=notrunc status=none");
	refuses("disk: its file system cannot be read: its version of XFS is not known");
	shell("mke2fs -q -F -t ext4 disk.img 8M");
	refuses("disk: no kernel on it: neither");
	/* A file system that says that it has more than fits. */
	shell("printf '\\377\\377\\377\\377' | dd of=disk.img bs=1 seek=1028 conv=notrunc status=none");
	refuses("disk: ");
	shell("printf '\\10\\0\\0\\0' | dd of=disk.img bs=1 seek=1056 conv=notrunc status=none");
	refuses("disk: its file system cannot be read: it is too large, or damaged");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole_disk, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_links, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_partitions, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_other_partition, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_logical_circle, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_refused_devices, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_bls, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_fallback, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_once, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_extlinux, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_newest, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_others, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
