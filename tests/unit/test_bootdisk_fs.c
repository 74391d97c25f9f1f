/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel on file systems other than ext4, as their own tools make them. */
#include "bootdisk_rig.h"

#include "bootdisk/volume.h"
#include "seed/fat.h"

/* A file of that name is what another is, and the listing of its folder has so many names. */
static bool count_name(void *to, const char *name)
{
	++*(unsigned *)to;
	return true;
}

static struct volume *open_whole(int *fd)
{
	static struct disk_bytes bytes;
	struct partition where = {.number = 0};
	struct volume *volume;
	struct error err = {""};

	*fd = open("disk.img", O_RDONLY);
	bytes = (struct disk_bytes){read_file, fd, DISK_SIZE(*fd)};
	where.size = bytes.size;
	if (volume_open(&bytes, "disk", &where, &volume, &err))
		fail_msg("%s", err.text);
	return volume;
}

static void same(const char *path, const char *as)
{
	int fd, to = memfd_create("copy", 0), file = open(as, O_RDONLY);
	struct volume *volume = open_whole(&fd);
	struct error err = {""};
	uint64_t size;
	char *a, *b;

	if (volume_copy(volume, path, 64 * MIB, to, 0, &size, &err))
		fail_msg("%s: %s", path, err.text);
	assert_int_equal(size, DISK_SIZE(file));
	a = malloc(size);
	b = malloc(size);
	assert_int_equal(pread(file, a, size, 0), size);
	assert_int_equal(pread(to, b, size, 0), size);
	assert_memory_equal(a, b, size);
	free(a);
	free(b);
	volume_close(volume);
	close(file);
	close(to);
	close(fd);
}

static void lists(const char *path, unsigned names)
{
	unsigned count = 0;
	int fd;
	struct volume *volume = open_whole(&fd);

	volume_list(volume, path, count_name, &count);
	assert_int_equal(count, names);
	volume_close(volume);
	close(fd);
}

/* With entries of the Boot Loader Specification, as systemd-boot's users have them. */
static void make_fat(const char *options, unsigned mib)
{
	char command[1024];

	snprintf(command, sizeof command,
		"rm -f disk.img; truncate -s %uM disk.img; mkfs.fat %s disk.img >/dev/null;"
		"export MTOOLS_SKIP_CHECK=1; mmd -i disk.img ::loader ::loader/entries ::many ::0123456789abcdef;"
		"mcopy -i disk.img a.conf ::loader/entries; mcopy -i disk.img big ::0123456789abcdef/linux;"
		"mcopy -i disk.img big ::'A long name, which has more than two parts.img'; mcopy -i disk.img initrd ::;"
		"for i in $(seq 300); do echo $i; done >n; split -l 1 -a 3 n many-; mcopy -i disk.img many-* ::many; rm many-*",
		mib, options);
	shell(command);
}

static void test_fat(void **state)
{
	static const struct {
		const char *options;
		unsigned mib;
	} kinds[] = {{"-F 12", 8}, {"-F 16", 32}, {"-F 32", 64}, {"-F 32 -s 1", 64},
		{"-F 12 -S 4096", 16}};

	shell("printf 'title t\\nlinux /0123456789ABCDEF/Linux\\ninitrd /initrd\\noptions x\\n' >a.conf;"
	      "printf KERNEL >linux; printf RAM >initrd; head -c 1234567 /dev/urandom >big");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		make_fat(kinds[i].options, kinds[i].mib);
		same("/0123456789abcdef/linux", "big");
		same("/a LONG name, which has more than two parts.IMG", "big");
		same("/many/../loader/./entries/A.CONF", "a.conf");
		lists("/", 5);
		lists("/many", 300);
		shell("MTOOLS_SKIP_CHECK=1 mcopy -o -i disk.img linux ::0123456789abcdef/linux");
		boots("KERNEL", "RAM", "x");
	}
}

/* What our own writer makes, by our own reader and by others'. */
static void test_fat_writer(void **state)
{
	static char large[300000];
	const struct fat_file files[] = {{"meta-data", "a", 1}, {"user-data", "", 0},
		{"a-name-of-26-characters.cfg", "", 0}, {"network-config", large, sizeof large}};
	struct fat_file own[4];
	struct error err = {""};
	int fd = open("disk.img", O_RDWR | O_CREAT, 0600);

	memset(large, 'x', sizeof large - 7);
	memcpy(own, files, sizeof own);
	assert_int_not_equal(fat_write(fd, "cidata", own, 4, &err), 0);
	own[2].name++;
	err.text[0] = 0;
	if (fat_write(fd, "cidata", own, 4, &err))
		fail_msg("%s", err.text);
	close(fd);
	shell("fsck.fat -n disk.img >log 2>&1 || { cat log; false; };"
	      "mcopy -i disk.img ::network-config ::meta-data .; test $(cat meta-data) = a;"
	      "test \"$(blkid -p -s LABEL -o value disk.img)\" = cidata");
	same("/network-config", "network-config");
	lists("/", 4);
	assert_int_equal(open("network-config", O_RDONLY) < 0, 0);
	own[0] = (struct fat_file){"a", large, FAT_DATA_MAX + 1};
	assert_int_not_equal(fat_write(-1, "cidata", own, 1, &err), 0);
}

/* Version 4 and 5, and what else decides how inodes and folders look. */
static void test_xfs(void **state)
{
	static const char *const options[] = {"-m crc=1", "-m crc=0", "-m crc=0 -n ftype=0",
		"-m crc=1 -i size=512 -b size=1024", "-n size=16384",
		"-m crc=1,bigtime=1 -i nrext64=1", "-m crc=0 -i size=256 -b size=512 -n size=4096"};
	char command[2048];

	shell("mkdir -p root/boot/grub2 root/boot/many; head -c 1234567 /dev/urandom >root/big; printf K >root/vmlinuz-1;"
	      "printf R >root/i; long=$(printf '%300s' | tr ' ' /);"
	      "printf 'menuentry a {\\nlinux /l/vmlinuz-1 q\\ninitrd /rel\\n}\\n' >root/boot/grub2/grub.cfg;"
	      "for i in $(seq 400); do : >root/boot/many/file-number-$i; done;"
	      "{ printf '/\\n0 0\\nd--755 0 0\\nbig ---644 0 0 root/big\\nvmlinuz-1 ---644 0 0 root/vmlinuz-1\\n'"
	      "; printf 'i ---644 0 0 root/i\\nl l--777 0 0 /boot/..%s\\nrel l--777 0 0 boot/../i\\n' $long"
	      "; printf 'boot d--755 0 0\\ngrub2 d--755 0 0\\ngrub.cfg ---644 0 0 root/boot/grub2/grub.cfg\\n$\\n'"
	      "; printf 'many d--755 0 0\\n'; for i in $(seq 400); do "
	      "printf \"file-number-$i ---644 0 0 root/boot/many/file-number-$i\\n\"; done"
	      "; printf '$\\n$\\n$\\n'; } >proto");
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		snprintf(command, sizeof command,
			"rm -f disk.img; truncate -s 320M disk.img; mkfs.xfs -q -f %s -p proto disk.img 2>log || "
			"{ cat log; false; }",
			options[i]);
		shell(command);
		same("/big", "root/big");
		same("/boot/../boot/./many/../../big", "root/big");
		lists("/boot/many", 400);
		lists("/", 6);
		boots("K", "R", "q");
	}
}

/* A folder in so many pieces that it needs a tree of them. */
static void test_xfs_pieces(void **state)
{
	shell("head -c 70000 /dev/urandom >big; : >e; { printf '/\n0 0\nd--755 0 0\nmany d--755 0 0\n';"
	      "for i in $(seq 6000); do echo \"file-number-$i ---644 0 0 e\"; done;"
	      "printf 'last ---644 0 0 big\n$\n$\n'; } >proto; truncate -s 320M disk.img;"
	      "mkfs.xfs -q -f -b size=1024 -p proto disk.img; PATH=$PATH:/usr/sbin;"
	      "xfs_db -r -c 'path /many' -c 'print core.format' disk.img | grep -q btree");
	lists("/many", 6001);
	same("/many/last", "big");
}

/*
 * A packed extent in the place of the one of 128 KiB that is there: in the items, ram_bytes to type, and behind
 * an address that is anything disk_num_bytes, offset and num_bytes.
 */
static void pack_extent(const char *plain, const char *packed, uint8_t how)
{
	const uint8_t first[13] = {[2] = 2, [12] = 1}, second[24] = {[2] = 2, [18] = 2};
	static uint8_t old[128 << 10], data[128 << 10];
	int fd = open("disk.img", O_RDWR), from = open(plain, O_RDONLY),
	    by = open(packed, O_RDONLY);
	const size_t whole = DISK_SIZE(fd);
	uint8_t *image = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *at, *bytes;
	ssize_t size = read(by, data, sizeof data);
	uint64_t sectors = (uint64_t)(size + 4095) / 4096 * 4096;
	unsigned items = 0;

	assert_true(image != MAP_FAILED && size > 0 && sectors < 128 << 10);
	assert_int_equal(read(from, old, sizeof old), sizeof old);
	bytes = memmem(image, whole, old, sizeof old);
	assert_non_null(bytes);
	memset(bytes, 0xee, sizeof old); /* what is behind it is not looked at */
	memcpy(bytes, data, (size_t)size);
	for (at = image; (at = memmem(at, (size_t)(image + whole - at), first, sizeof first)); at++)
		if (!memcmp(at + 21, second, sizeof second)) {
			at[8] = how;
			memcpy(at + 21, &sectors, sizeof sectors);
			items++;
		}
	assert_true(items > 0);
	munmap(image, whole);
	close(fd);
	close(from);
	close(by);
}

static void test_btrfs(void **state)
{
	static const char *const options[] = {"", "-n 4096", "-n 65536", "-m dup -d dup"};
	char command[1024];

	shell("mkdir -p root/boot/grub root/boot/many; head -c 3234567 /dev/urandom >root/big; printf K >root/vmlinuz-1;"
	      "printf R >root/i; long=$(printf '%300s' | tr ' ' /); ln -s /boot/..$long root/l; ln -s boot/../i root/rel;"
	      "printf 'menuentry a {\\nlinux /l/vmlinuz-1 q\\ninitrd /rel\\n}\\n' >root/boot/grub/grub.cfg;"
	      "for i in $(seq 1500); do : >root/boot/many/file-number-$i; done");
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		snprintf(command, sizeof command,
			"rm -f disk.img; truncate -s 128M disk.img; mkfs.btrfs -q -f %s --rootdir root disk.img >log 2>&1 || "
			"{ cat log; false; }",
			options[i]);
		shell(command);
		same("/big", "root/big");
		same("/boot/../boot/./many/../../big", "root/big");
		lists("/boot/many", 1500);
		lists("/", 6);
		boots("K", "R", "q");
	}
}

static void test_btrfs_packed(void **state)
{
	static const struct {
		const char *command;
		uint8_t how;
	} ways[] = {{"zstd -q -f one/plain -o packed", 3},
		{"python3 -c 'import zlib; open(\"packed\", \"wb\").write(zlib.compress(open(\"one/plain\", "
		 "\"rb\").read()))'",
			1},
		{"head -c 5000 /dev/zero >packed", 2}, {"head -c 5000 /dev/urandom >packed", 3}};
	int fd;

	shell("mkdir one; head -c 131072 /dev/urandom | od | head -c 131072 >one/plain");
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		struct error err = {""};
		struct volume *volume;
		uint64_t size;

		shell("rm -f disk.img; truncate -s 128M disk.img;"
		      "mkfs.btrfs -q -f --rootdir one disk.img >/dev/null");
		shell(ways[i].command);
		pack_extent("one/plain", "packed", ways[i].how);
		if (i < 2) {
			same("/plain", "one/plain");
			continue;
		}
		volume = open_whole(&fd);
		assert_int_not_equal(volume_copy(volume, "/plain", MIB, -1, 0, &size, &err), 0);
		assert_string_equal(err.text,
			i == 2 ? "disk: /plain cannot be read: it is packed by LZO, which is not read"
			       : "disk: /plain cannot be read: a packed extent (zstd) is damaged");
		volume_close(volume);
		close(fd);
	}
}

static void test_btrfs_damaged(void **state)
{
	shell("mkdir one; printf K >one/vmlinuz; truncate -s 128M disk.img; mkfs.btrfs -q -f --rootdir one disk.img >/dev/null");
	boots("K", "", "root=/dev/vda ro");
	shell("printf '\\2' | dd of=disk.img bs=1 seek=$((65536 + 136)) conv=notrunc status=none");
	refuses("disk: its file system cannot be read: it is btrfs over several disks");
	shell("printf '\\1' | dd of=disk.img bs=1 seek=$((65536 + 136)) conv=notrunc status=none;"
	      "printf '\\7' | dd of=disk.img bs=1 seek=$((65536 + 198)) conv=notrunc status=none");
	refuses("disk: its file system cannot be read: a tree in it is damaged");
}

static void test_hostile(void **state)
{
	shell("truncate -s 320M disk.img; mkfs.xfs -q -f disk.img; printf K >k;"
	      "printf '/\\n0 0\\nd--755 0 0\\nvmlinuz ---644 0 0 k\\n$\\n' >proto; mkfs.xfs -q -f -p proto disk.img");
	boots("K", "", "root=/dev/vda ro");
	/* A feature that nobody knows, a block size of 3, groups of no blocks. */
	shell("cp --sparse=always disk.img good; printf '\\200' | dd of=disk.img bs=1 seek=216 conv=notrunc status=none");
	refuses("disk: its file system cannot be read: it is XFS with a feature that is not known");
	shell("cp good disk.img; printf '\\0\\0\\0\\3' | dd of=disk.img bs=1 seek=4 conv=notrunc status=none");
	refuses("its superblock is damaged");
	shell("cp good disk.img; printf '\\0\\0\\0\\0' | dd of=disk.img bs=1 seek=84 conv=notrunc status=none");
	refuses("its superblock is damaged");
	shell("cp good disk.img; printf '\\0\\0\\0\\0' | dd of=disk.img bs=1 seek=60 conv=notrunc status=none");
	refuses("disk: ");
	shell("rm disk.img; truncate -s 32M disk.img; mkfs.fat -F 16 disk.img >/dev/null; mcopy -i disk.img k ::vmlinuz");
	boots("K", "", "root=/dev/vda ro");
	shell("printf '\\3' | dd of=disk.img bs=1 seek=13 conv=notrunc status=none");
	refuses("disk: its file system cannot be read: its FAT is damaged");
	/* Its first cluster leads to itself: it is read for as long as it says that it is. */
	shell("rm disk.img; truncate -s 32M disk.img; mkfs.fat -F 16 -s 1 disk.img >/dev/null;"
	      "head -c 2000 /dev/zero >long; mcopy -i disk.img long ::vmlinuz;"
	      "printf '\\2\\0' | dd of=disk.img bs=1 seek=$((512 * $(od -An -tu2 -j14 -N2 disk.img) + 4)) conv=notrunc status=none");
	same("/vmlinuz", "long");
	/* Its first cluster leads nowhere. */
	shell("printf '\\0\\0' | dd of=disk.img bs=1 seek=$((512 * $(od -An -tu2 -j14 -N2 disk.img) + 4)) conv=notrunc status=none");
	refuses("disk: /vmlinuz cannot be read: its chain of clusters ends too early");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fat, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_fat_writer, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_xfs, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_xfs_pieces, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_btrfs, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_btrfs_packed, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_btrfs_damaged, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_hostile, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
