/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a damaged disk to its kernel. The input is what is changed in a good image: a byte that chooses
 * one, then offset (2 bytes, and one that chooses which 64 KiB that are not all zero) and value (1 byte), again
 * and again.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bootdisk/bootdisk.h"
#include "seed/fat.h"

#define IMAGES 9u
#define IMAGE_SIZE (512u << 10)
#define LARGE_SIZE (16u << 20) /* XFS and btrfs make none that is smaller */
#define WINDOW (64u << 10)
#define CHANGES_MAX 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct {
	uint8_t *bytes;
	uint32_t size;
	uint32_t window[LARGE_SIZE / WINDOW];
	unsigned windows;
} images[IMAGES];
static int disk, kernel, ramdisk;

static bool read_file(void *ctx, uint64_t offset, void *buf, size_t len)
{
	return pread(*(int *)ctx, buf, len, (off_t)offset) == (ssize_t)len;
}

static void read_image(unsigned n, const char *path, uint32_t at, uint32_t size)
{
	int fd = open(path, O_RDONLY);

	images[n].size = size;
	images[n].bytes = calloc(1, size);
	if (!images[n].bytes || read(fd, images[n].bytes + at, size - at) != size - at)
		abort();
	close(fd);
}

static void find_windows(unsigned n)
{
	for (uint32_t at = 0; at < images[n].size; at += WINDOW)
		for (uint32_t i = 0; i < WINDOW; i++)
			if (images[n].bytes[at + i]) {
				images[n].window[images[n].windows++] = at;
				break;
			}
}

/* Its names and what is in the files are short. */
static void make_xfs(unsigned n, const char *options)
{
	char folder[] = "/tmp/dach-fuzz-XXXXXX", command[1024], path[64];

	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof path, "%s/image", folder);
	snprintf(command, sizeof command,
		"set -e; PATH=$PATH:/sbin:/usr/sbin; cd %s; head -c 20000 /dev/zero | tr '\\0' k >k; "
		"printf 'label a\\nkernel /l/v\\n' >c; truncate -s 16M image; "
		"{ printf '/\\n0 0\\nd--755 0 0\\nboot d--755 0 0\\nv ---644 0 0 k\\n'; "
		"for i in $(seq 40); do echo \"name-$i ---644 0 0 c\"; done; "
		"printf '$\\nextlinux.conf ---644 0 0 c\\nl l--777 0 0 /boot/../boot\\n$\\n'; } >proto; "
		"mkfs.xfs --unsupported -q -f %s -p proto image >log 2>&1",
		folder, options);
	if (system(command))
		abort();
	read_image(n, path, 0, LARGE_SIZE);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		abort();
}

static void make_btrfs(unsigned n)
{
	char folder[] = "/tmp/dach-fuzz-XXXXXX", command[1024], path[64];

	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof path, "%s/image", folder);
	snprintf(command, sizeof command,
		"set -e; PATH=$PATH:/sbin:/usr/sbin; cd %s; mkdir -p root/boot; cd root; ln -s boot/../boot l; "
		"head -c 20000 /dev/zero | tr '\\0' k >boot/v; printf 'label a\\nkernel /l/v\\n' >boot/extlinux.conf; "
		"for i in $(seq 40); do : >boot/name-$i; done; cd ..; truncate -s 16M image; "
		"mkfs.btrfs -q -f --mixed -n 4096 --rootdir root image >log 2>&1",
		folder);
	if (system(command))
		abort();
	read_image(n, path, 0, LARGE_SIZE);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		abort();
}

static void make_fat(unsigned n)
{
	static char text[20000];
	const struct fat_file files[] = {{"extlinux.conf", "label a\nkernel vmlinuz-1\n", 25},
		{"vmlinuz-1", text, sizeof text}};
	char path[] = "/tmp/dach-fuzz-XXXXXX";
	struct error err;
	int fd = mkostemp(path, O_CLOEXEC);

	memset(text, 'k', sizeof text);
	if (fd < 0 || fat_write(fd, "cidata", files, 2, &err) || ftruncate(fd, IMAGE_SIZE))
		abort();
	read_image(n, path, 0, IMAGE_SIZE);
	close(fd);
	unlink(path);
}

/* A file system made of what the commands leave in root, behind so many bytes. */
static void make(unsigned n, const char *options, const char *commands, unsigned at)
{
	char folder[] = "/tmp/dach-fuzz-XXXXXX", command[2048], path[64];

	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof path, "%s/image", folder);
	snprintf(command, sizeof command,
		"set -e; PATH=$PATH:/sbin:/usr/sbin; cd %s; mkdir -p root/boot/grub; cd root/boot; "
		"head -c 20000 /dev/zero | tr '\\0' k >vmlinuz-1; echo r >initrd-1; cd ..; "
		"ln -s boot/vmlinuz-1 vmlinuz; ln -s "
		"/boot/../boot/../boot/../boot/../boot/../boot/../boot/../boot/initrd-1 initrd.img; "
		"%s; cd ..; mke2fs -q %s -b 1024 -N 32 -d root image %u >/dev/null",
		folder, commands, options, (IMAGE_SIZE - at) >> 10);
	if (system(command))
		abort();
	read_image(n, path, at, IMAGE_SIZE);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		abort();
}

/* A table of partitions with one entry: the type, first sector and sectors. */
static void put_table(uint8_t *table, uint8_t type, uint32_t start, uint32_t sectors)
{
	table[446 + 4] = type;
	memcpy(table + 446 + 8, &start, 4);
	memcpy(table + 446 + 12, &sectors, 4);
	table[510] = 0x55;
	table[511] = 0xaa;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char grub[] =
		"printf 'menuentry a {\\nlinux /vmlinuz a=b\\ninitrd /initrd.img\\n}' "
		">boot/grub/grub.cfg";
	static const char bls[] =
		"mkdir -p boot/loader/entries; echo 'load_env; blscfg' >boot/grub/grub.cfg; "
		"echo saved_entry=a-1 >boot/grub/grubenv; for i in 1 2 3; do printf "
		"'linux /boot/vmlinuz-1\\ninitrd /boot/initrd-1\\n' >boot/loader/entries/a-$i.conf; done";
	static const char extlinux[] =
		"printf 'label a\\nkernel vmlinuz-1\\ninitrd initrd-1' >boot/extlinux.conf";

	make(0, "-t ext2", grub, 0);
	make(1, "-t ext4 -O ^has_journal", grub, 0);
	make(2, "-t ext4 -O ^has_journal,inline_data,64bit", grub, 0);
	make(3, "-t ext4 -O ^has_journal,dir_index", bls, 0);
	/* In a logical partition */
	make(4, "-t ext2", extlinux, 4096);
	put_table(images[4].bytes, 0x05, 2, 1000);
	put_table(images[4].bytes + 1024, 0x83, 6, (IMAGE_SIZE - 4096) / 512);
	make_fat(5);
	make_xfs(6, "-m crc=1");
	make_xfs(7, "-m crc=0 -n ftype=0 -b size=1024");
	make_btrfs(8);
	for (unsigned n = 0; n < IMAGES; n++)
		find_windows(n);
	disk = memfd_create("disk", 0);
	kernel = memfd_create("kernel", 0);
	ramdisk = memfd_create("ramdisk", 0);
	return 0;
}

static void restore(unsigned n, uint32_t offset, uint32_t len)
{
	if (pwrite(disk, images[n].bytes + offset, len, offset) != len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned last = IMAGES;
	struct bootdisk_found found;
	struct error err = {""};
	uint32_t at[CHANGES_MAX];
	unsigned n, count = 0;
	int r;

	if (!size)
		return 0;
	n = *data++ % IMAGES;
	size--;
	if (n != last)
		restore(n, 0, images[n].size);
	last = n;
	for (; size >= 4 && count < CHANGES_MAX; data += 4, size -= 4) {
		at[count] =
			images[n].window[data[2] % images[n].windows] + (data[0] | data[1] << 8);
		if (pwrite(disk, data + 3, 1, at[count++]) != 1)
			abort();
	}
	r = bootdisk_load(&(struct disk_bytes){read_file, &disk, images[n].size}, "disk", true,
		1 << 20, kernel, ramdisk, &found, &err);
	if ((r != 0) != (err.text[0] != 0) || (!count && r))
		abort();
	while (count--)
		restore(n, at[count], 1);
	return 0;
}
