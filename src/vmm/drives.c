/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/drives.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ata/ahci.h"
#include "ata/ide.h"

#define DRIVES_MAX (AHCI_PORTS > IDE_DRIVES ? AHCI_PORTS : IDE_DRIVES)

_Static_assert(AHCI_PORTS + IDE_DRIVES == LIMIT_DRIVES, "a bay for each drive");

/* The drives of one controller, while they are put together. */
struct drives {
	enum disk_bus bus;
	const char *name;   /* for messages */
	const char *number; /* how many there are, likewise */
	unsigned max;
	bool any, taken[DRIVES_MAX];
	struct ata_drive_config drive[DRIVES_MAX];
	char serial[DRIVES_MAX][LIMIT_SERIAL + 1];
};

/* By its name, or the first that is free. max: there is none. */
static unsigned choose_drive(const struct drives *drives, const char *vdev)
{
	unsigned n = 0;

	if ((!strncmp(vdev, "hd", 2) || !strncmp(vdev, "sd", 2)) && vdev[2] >= 'a' &&
		vdev[2] < (char)('a' + drives->max) && !vdev[3] && !drives->taken[vdev[2] - 'a'])
		return vdev[2] - 'a';
	while (n < drives->max && drives->taken[n])
		n++;
	return n;
}

/* A bay for a drive, which is for messages called name. */
static int add_bay(struct drives *drives, struct devices *devices, const char *name,
	const char *vdev, bool cdrom, struct error *err)
{
	const unsigned n = choose_drive(drives, vdev);
	struct bay *bay = &devices->bay[devices->bays];

	if (n == drives->max)
		return error_set(err, EINVAL, "%s: there are %s %s drives at most", name,
			drives->number, drives->name);
	drives->any = drives->taken[n] = true;
	drives->drive[n].cdrom = cdrom;
	bay->bus = drives->bus;
	bay->number = n;
	bay->cdrom = cdrom;
	snprintf(bay->vdev, sizeof bay->vdev, "%s", vdev);
	devices->bays++;
	return 0;
}

static int collect(struct drives *drives, struct devices *devices, const struct vmm_config *config,
	struct error *err)
{
	int r = 0;

	for (unsigned i = 0; i < config->disks && !r; i++) {
		const struct disk_spec *spec = &config->disk[i];
		unsigned n;

		if (spec->bus != drives->bus)
			continue;
		if (!config->firmware)
			return error_set(err, EINVAL, "%s: an %s drive needs firmware",
				spec->file[0].name, drives->name);
		devices->in_bay[i] = devices->bays;
		r = add_bay(drives, devices, spec->file[0].name, spec->vdev, spec->cdrom, err);
		if (r)
			break;
		n = devices->bay[devices->in_bay[i]].number;
		snprintf(drives->serial[n], sizeof drives->serial[n], DISK_SERIAL, i);
		drives->drive[n].image = devices->disk[i];
		drives->drive[n].serial = *spec->serial ? spec->serial : drives->serial[n];
	}
	for (unsigned i = 0; i < config->drives && !r; i++)
		if (config->drive[i].bus == drives->bus)
			r = add_bay(drives, devices, config->drive[i].vdev, config->drive[i].vdev,
				true, err);
	return r;
}

int drives_create(struct devices *devices, const struct vmm_config *config, struct machine *machine,
	struct error *err)
{
	const struct ide_owner owner = {machine, machine_irq};
	struct drives ide = {.bus = DISK_IDE, .name = "IDE", .number = "four", .max = IDE_DRIVES};
	struct drives ahci = {.bus = DISK_AHCI, .name = "AHCI", .number = "six", .max = AHCI_PORTS};
	int r = collect(&ide, devices, config, err);

	if (!r)
		r = collect(&ahci, devices, config, err);
	if (!r && ide.any)
		r = ide_create(machine_pci(machine), machine_io(machine), machine_memory(machine),
			&owner, ide.drive, &devices->ide, err);
	if (!r && ahci.any)
		r = ahci_create(machine_pci(machine), machine_memory(machine), ahci.drive,
			&devices->ahci, err);
	for (unsigned i = 0; i < devices->bays && !r; i++) {
		struct bay *bay = &devices->bay[i];

		bay->drive = bay->bus == DISK_IDE ? ide_drive(devices->ide, bay->number)
						  : ahci_drive(devices->ahci, bay->number);
	}
	return r;
}

void drives_destroy(struct devices *devices)
{
	ide_destroy(devices->ide);
	ahci_destroy(devices->ahci);
}

const struct bay *drives_of_disk(const struct devices *devices, unsigned n)
{
	return devices->blk[n] ? NULL : &devices->bay[devices->in_bay[n]];
}

const struct bay *drives_find_cd(const struct devices *devices, const char *vdev)
{
	for (unsigned i = 0; i < devices->bays; i++)
		if (devices->bay[i].cdrom && *vdev && !strcmp(devices->bay[i].vdev, vdev))
			return &devices->bay[i];
	return NULL;
}

bool drives_is_filled(const struct devices *devices, const struct bay *bay)
{
	for (unsigned i = 0; i < devices->disks; i++)
		if (drives_of_disk(devices, i) == bay)
			return true;
	return false;
}
