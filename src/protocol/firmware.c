/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/firmware.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *const firmware_words[] = {[FIRMWARE_NONE] = "none", [FIRMWARE_BIOS] = "bios", NULL};

int firmware_parse(const char *name, enum firmware *firmware, struct error *err)
{
	/* What Xen had before SeaBIOS does what that does. */
	static const char *const bios[] = {"bios", "seabios", "rombios"};

	for (unsigned i = 0; i < sizeof bios / sizeof *bios; i++)
		if (!strcmp(name, bios[i])) {
			*firmware = FIRMWARE_BIOS;
			return 0;
		}
	if (!strcmp(name, "uefi") || !strcmp(name, "ovmf"))
		return error_set(err, EINVAL,
			"firmware: there is no UEFI yet; 'bios' starts disks that have a boot loader for it");
	return error_set(err, EINVAL, "firmware: '%.200s' is not known; 'bios' is", name);
}

int firmware_file(enum firmware firmware, const char **path, struct error *err)
{
	/* Debian's and Fedora's, then where others have it. */
	static const char *const bios[] = {"/usr/share/seabios/bios-256k.bin",
		"/usr/share/qemu/bios-256k.bin", "/usr/lib/xen/boot/seabios.bin"};

	for (unsigned i = 0; firmware == FIRMWARE_BIOS && i < sizeof bios / sizeof *bios; i++)
		if (!access(bios[i], R_OK)) {
			*path = bios[i];
			return 0;
		}
	return error_set(err, ENOENT, "firmware: %s is missing: install the package seabios",
		bios[0]);
}

int firmware_check_boot(const char *order, struct error *err)
{
	if (strlen(order) > FIRMWARE_BOOT_MAX || order[strspn(order, "acdn")])
		return error_set(err, EINVAL,
			"boot: '%.64s' is no order: letters c (disks), d (CDs) and n (network)",
			order);
	return 0;
}
