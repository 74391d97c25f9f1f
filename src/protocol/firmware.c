/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/firmware.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

const char *const firmware_words[] =
	{[FIRMWARE_NONE] = "none", [FIRMWARE_BIOS] = "bios", [FIRMWARE_UEFI] = "uefi", NULL};

int firmware_parse(const char *name, enum firmware *firmware, struct error *err)
{
	/* What Xen had before SeaBIOS does what that does. */
	static const struct {
		const char *name;
		enum firmware firmware;
	} names[] = {{"bios", FIRMWARE_BIOS}, {"seabios", FIRMWARE_BIOS},
		{"rombios", FIRMWARE_BIOS}, {"uefi", FIRMWARE_UEFI}, {"ovmf", FIRMWARE_UEFI}};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i].name)) {
			*firmware = names[i].firmware;
			return 0;
		}
	return error_set(err, EINVAL, "firmware: '%.200s' is not known; 'bios' and 'uefi' are",
		name);
}

int firmware_find(enum firmware firmware, struct firmware_files *files, struct error *err)
{
	/* Debian's and Fedora's, then where others have them. */
	static const struct {
		enum firmware firmware;
		struct firmware_files files;
	} places[] = {{FIRMWARE_BIOS, {"/usr/share/seabios/bios-256k.bin", NULL}},
		{FIRMWARE_BIOS, {"/usr/share/qemu/bios-256k.bin", NULL}},
		{FIRMWARE_BIOS, {"/usr/lib/xen/boot/seabios.bin", NULL}},
		{FIRMWARE_UEFI,
			{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"}},
		{FIRMWARE_UEFI,
			{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}},
		{FIRMWARE_UEFI,
			{"/usr/share/edk2/x64/OVMF_CODE.4m.fd",
				"/usr/share/edk2/x64/OVMF_VARS.4m.fd"}}};

	for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
		const struct firmware_files *found = &places[i].files;

		if (places[i].firmware == firmware && !access(found->code, R_OK) &&
			(!found->variables || !access(found->variables, R_OK))) {
			*files = *found;
			return 0;
		}
	}
	return firmware == FIRMWARE_UEFI
		? error_set(err, ENOENT,
			  "firmware: /usr/share/OVMF/OVMF_CODE_4M.fd is missing: install the package ovmf")
		: error_set(err, ENOENT,
			  "firmware: /usr/share/seabios/bios-256k.bin is missing: install the package seabios");
}

int firmware_check_boot(const char *order, struct error *err)
{
	if (strlen(order) > FIRMWARE_BOOT_MAX || order[strspn(order, "acdn")])
		return error_set(err, EINVAL,
			"boot: '%.64s' is no order: letters c (disks), d (CDs) and n (network)",
			order);
	return 0;
}
