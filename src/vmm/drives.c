/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/drives.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ata/ahci.h"
#include "ata/ide.h"

#define DRIVES_MAX (AHCI_PORTS > IDE_DRIVES ? AHCI_PORTS : IDE_DRIVES)

/* The drives of one controller, while they are put together. */
struct drives {
	enum disk_bus bus;
	const char *name;   /* for messages */
	const char *number; /* how many there are, likewise */
	unsigned max, count;
	struct ata_drive_config drive[DRIVES_MAX];
	char serial[DRIVES_MAX][LIMIT_SERIAL + 1];
};

static bool is_free(const struct drives *drives, unsigned n)
{
	return !drives->drive[n].image;
}

/* By its name, or the first that is free. max: there is none. */
static unsigned choose_drive(const struct drives *drives, const char *vdev)
{
	unsigned n = 0;

	if ((!strncmp(vdev, "hd", 2) || !strncmp(vdev, "sd", 2)) && vdev[2] >= 'a' &&
		vdev[2] < (char)('a' + drives->max) && !vdev[3] && is_free(drives, vdev[2] - 'a'))
		return vdev[2] - 'a';
	while (n < drives->max && !is_free(drives, n))
		n++;
	return n;
}

static int collect(struct drives *drives, struct devices *devices, const struct vmm_config *config,
	struct error *err)
{
	for (unsigned i = 0; i < config->disks; i++) {
		const struct disk_spec *spec = &config->disk[i];
		unsigned n;

		if (spec->bus != drives->bus)
			continue;
		n = choose_drive(drives, spec->vdev);
		if (!config->firmware)
			return error_set(err, EINVAL, "%s: an %s drive needs firmware",
				spec->file[0].name, drives->name);
		if (n == drives->max)
			return error_set(err, EINVAL, "%s: there are %s %s drives at most",
				spec->file[0].name, drives->number, drives->name);
		snprintf(drives->serial[n], sizeof drives->serial[n], DISK_SERIAL, i);
		drives->drive[n] = (struct ata_drive_config){devices->disk[i], spec->cdrom,
			*spec->serial ? spec->serial : drives->serial[n]};
		devices->drive[i] = n;
		drives->count++;
	}
	return 0;
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
	if (!r && ide.count)
		r = ide_create(machine_pci(machine), machine_io(machine), machine_memory(machine),
			&owner, ide.drive, &devices->ide, err);
	if (!r && ahci.count)
		r = ahci_create(machine_pci(machine), machine_memory(machine), ahci.drive,
			&devices->ahci, err);
	return r;
}

void drives_destroy(struct devices *devices)
{
	ide_destroy(devices->ide);
	ahci_destroy(devices->ahci);
}
