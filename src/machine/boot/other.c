/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is that is no kernel: people hand over one for the other. */
#include <string.h>

#include "machine/boot/boot.h"

#define ISO_OFFSET 0x8001u

static const struct file_kind {
	uint32_t offset, size;
	const char *magic, *name;
} kinds[] = {
	{0, 4, "\x02\x21\x4c\x18", "compressed by lz4: unpack it first"},
	{0, 4, "\x04\x22\x4d\x18", "compressed by lz4: unpack it first"},
	{0, 3, "BZh", "compressed by bzip2: unpack it first"},
	{0, 4, "\x89LZO", "compressed by lzop: unpack it first"},
	{0, 3, "\x5d\0\0", "compressed by lzma: unpack it first"},
	{56, 4, "ARMd", "a kernel for ARM64"},
	{56, 4, "RSC\x05", "a kernel for RISC-V"},
	{0x24, 4, "\x18\x28\x6f\x01", "a kernel for ARM"},
	{0, 4, "\x27\x05\x19\x56", "an image for U-Boot"},
	{0, 4, "\xd0\x0d\xfe\xed", "a device tree, or an image for U-Boot"},
	{0, 6, "070701", "an initial RAM disk, or another archive of cpio"},
	{0, 2, "#!", "a script"},
	{0, 8, "!<arch>\n", "a package of Debian, or another archive of ar"},
	{0, 4, "\xed\xab\xee\xdb", "a package of RPM"},
	{257, 5, "ustar", "an archive of tar"},
	{0, 4, "PK\x03\x04", "an archive of zip"},
	{0, 4, "QFI\xfb", "a disk image (qcow2)"},
	{0, 4, "KDMV", "a disk image (VMDK)"},
	{0, 8, "vhdxfile", "a disk image (VHDX)"},
	{0, 8, "conectix", "a disk image (VHD)"},
	{0, 4, "hsqs", "a file system (squashfs)"},
	{0, 4, "XFSB", "a file system (XFS)"},
	{1080, 2, "\x53\xef", "a file system (ext2, ext3 or ext4)"},
	{512, 8, "EFI PART", "a disk with partitions"},
	{510, 2, "\x55\xaa", "a disk with partitions, or a boot sector"},
};

const char *boot_other(const struct boot_image *image)
{
	char iso[5];

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const struct file_kind *kind = &kinds[i];

		if (kind->offset + kind->size <= image->head_size &&
			!memcmp(image->head + kind->offset, kind->magic, kind->size))
			return kind->name;
	}
	if (image->head_size >= 2 && !memcmp(image->head, "MZ", 2))
		return "an EFI program, or one of Windows or DOS";
	if (image->size > ISO_OFFSET + sizeof iso &&
		!boot_image_read(image, ISO_OFFSET, iso, sizeof iso, NULL) &&
		!memcmp(iso, "CD001", sizeof iso))
		return "the image of a CD (ISO 9660)";
	return NULL;
}
