/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a damaged disk to its kernel. The input is what is changed in a good image: a byte that chooses
 * one, then offset (3 bytes; most fall where the tables are) and value (1 byte), again and again.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bootdisk/bootdisk.h"

#define IMAGES 3u
#define IMAGE_SIZE (512u << 10)
#define CHANGES_MAX 256u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static uint8_t image[IMAGES][IMAGE_SIZE];
static int disk, kernel, ramdisk;

static void make(unsigned n, const char *options)
{
	char folder[] = "/tmp/dach-fuzz-XXXXXX", command[1024], path[64];
	int fd;

	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof path, "%s/image", folder);
	snprintf(command, sizeof command,
		"set -e; PATH=$PATH:/sbin:/usr/sbin; cd %s; mkdir -p root/boot/grub; cd root/boot; "
		"head -c 20000 /dev/zero | tr '\\0' k >vmlinuz-1; echo r >initrd-1; cd ..; "
		"ln -s boot/vmlinuz-1 vmlinuz; ln -s "
		"/boot/../boot/../boot/../boot/../boot/../boot/../boot/../boot/initrd-1 initrd.img; "
		"printf 'menuentry a {\\nlinux /vmlinuz a=b\\ninitrd /initrd.img\\n}' "
		">boot/grub/grub.cfg; cd ..; mke2fs -q %s -b 1024 -N 32 -d root image 512 >/dev/null",
		folder, options);
	if (system(command))
		abort();
	fd = open(path, O_RDONLY);
	if (read(fd, image[n], IMAGE_SIZE) != IMAGE_SIZE)
		abort();
	close(fd);
	snprintf(command, sizeof command, "rm -rf %s", folder);
	if (system(command))
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	make(0, "-t ext2");
	make(1, "-t ext4 -O ^has_journal");
	make(2, "-t ext4 -O ^has_journal,inline_data,64bit");
	disk = memfd_create("disk", 0);
	kernel = memfd_create("kernel", 0);
	ramdisk = memfd_create("ramdisk", 0);
	return 0;
}

static void restore(unsigned n, uint32_t offset, uint32_t len)
{
	if (pwrite(disk, image[n] + offset, len, offset) != len)
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
		restore(n, 0, IMAGE_SIZE);
	last = n;
	for (; size >= 4 && count < CHANGES_MAX; data += 4, size -= 4) {
		at[count] = (data[0] | data[1] << 8 | (data[2] & 0x80 ? data[2] : 0) << 16) %
			IMAGE_SIZE;
		if (pwrite(disk, data + 3, 1, at[count++]) != 1)
			abort();
	}
	r = bootdisk_load(disk, "disk", 1 << 20, kernel, ramdisk, &found, &err);
	if ((r != 0) != (err.text[0] != 0) || (!count && r))
		abort();
	while (count--)
		restore(n, at[count], 1);
	return 0;
}
