/* SPDX-License-Identifier: Apache-2.0 */
/* From which devices a firmware is to start, as it wants to be told (machine/firmware/fw_cfg.h). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "ata/ahci.h"
#include "ata/ide.h"
#include "machine/firmware/fw_cfg.h"
#include "virtio/blk.h"
#include "net/nic.h"
#include "vmm/drives.h"
#include "vmm/internal.h"

#define DEFAULT_ORDER "cdn"

struct boot_paths {
	char text[FW_CFG_BOOT_ORDER_MAX];
	size_t used; /* more than fits: something is missing */
};

__attribute__((format(printf, 2, 3))) static void put(struct boot_paths *paths, const char *format,
	...)
{
	const size_t room = paths->used < sizeof paths->text ? sizeof paths->text - paths->used : 0;
	va_list args;

	va_start(args, format);
	paths->used += vsnprintf(paths->text + sizeof paths->text - room, room, format, args);
	va_end(args);
}

static void put_drive(struct boot_paths *paths, const struct devices *devices,
	const struct bay *bay)
{
	/* OVMF knows AHCI by this name. */
	if (bay->bus == DISK_AHCI)
		put(paths, "/pci@i0cf8/pci8086,2922@%x/drive@%u/disk@0\n", ahci_slot(devices->ahci),
			bay->number);
	else
		put(paths, "/pci@i0cf8/ide@%x,%x/drive@%u/disk@%u\n", IDE_SLOT, IDE_FUNCTION,
			bay->number / 2, bay->number % 2);
}

static void put_disks(struct boot_paths *paths, const struct vmm *vmm, bool cds)
{
	const struct devices *devices = &vmm->devices;

	for (unsigned i = 0; i < vmm->config.disks; i++)
		if (vmm->config.disk[i].cdrom != cds)
			continue;
		else if (devices->blk[i])
			put(paths, "/pci@i0cf8/scsi@%x/disk@0,0\n",
				virtio_blk_slot(devices->blk[i]));
		else
			put_drive(paths, devices, drives_of_disk(devices, i));
	/* Empty ones last: a CD may lie in them when the guest starts again. */
	for (unsigned i = 0; i < devices->bays && cds; i++)
		if (devices->bay[i].cdrom && !drives_is_filled(devices, &devices->bay[i]))
			put_drive(paths, devices, &devices->bay[i]);
}

static void put_networks(struct boot_paths *paths, const struct devices *devices)
{
	for (unsigned i = 0; i < LIMIT_NETWORKS; i++)
		if (devices->nic[i])
			put(paths, "/pci@i0cf8/ethernet@%x/ethernet-phy@0\n",
				nic_slot(devices->nic[i]));
}

int boot_order_tell(struct vmm *vmm, struct error *err)
{
	const char *letter =
		vmm->config.boot && *vmm->config.boot ? vmm->config.boot : DEFAULT_ORDER;
	struct boot_paths paths = {"", 0};

	for (; *letter; letter++)
		if (*letter == 'n')
			put_networks(&paths, &vmm->devices);
		else if (*letter != 'a')
			put_disks(&paths, vmm, *letter == 'd');
	if (paths.used >= sizeof paths.text)
		return error_set(err, E2BIG,
			"more disks and networks than a firmware can be told of");
	/* Lines, without an end behind the last one. */
	if (paths.used)
		paths.text[paths.used - 1] = 0;
	return machine_set_boot_order(vmm->machine, paths.text, err);
}
