/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/drives.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ata/ahci.h"
#include "ata/ide.h"

#define DRIVES_MAX (AHCI_PORTS > IDE_DRIVES ? AHCI_PORTS : IDE_DRIVES)

_Static_assert(AHCI_PORTS + IDE_DRIVES == LIMIT_DRIVES, "a bay for each drive");

/* What wants a drive: one of the guest's disks, or nothing as yet. */
struct want {
	const char *vdev, *name; /* name: for messages */
	bool cdrom;
	int disk; /* its number, or -1 */
};

/* The drives of one controller, while they are chosen. */
struct drives {
	enum disk_bus bus;
	const char *name;   /* for messages */
	const char *number; /* how many there are, likewise */
	unsigned max;
	struct want want[LIMIT_DISKS + LIMIT_DRIVES]; /* in the order in which they choose */
	unsigned wants;
	bool taken[DRIVES_MAX];
};

/* The drive that a name says. max: it says none. */
static unsigned named_drive(const struct drives *drives, const char *vdev)
{
	if ((!strncmp(vdev, "hd", 2) || !strncmp(vdev, "sd", 2)) && vdev[2] >= 'a' &&
		vdev[2] < (char)('a' + drives->max) && !vdev[3])
		return vdev[2] - 'a';
	return drives->max;
}

/* Those whose names say a drive, then by their names. */
static bool chooses_first(const struct drives *drives, const struct want *a, const struct want *b)
{
	const bool named = named_drive(drives, a->vdev) < drives->max;
	const size_t length = strlen(a->vdev), other = strlen(b->vdev);

	if (named != (named_drive(drives, b->vdev) < drives->max))
		return named;
	return length == other ? strcmp(a->vdev, b->vdev) < 0 : length < other;
}

static void add_want(struct drives *drives, const struct want *want)
{
	unsigned n = drives->wants++;

	for (; n && chooses_first(drives, want, &drives->want[n - 1]); n--)
		drives->want[n] = drives->want[n - 1];
	drives->want[n] = *want;
}

/*
 * Disks and empty drives alike: a CD that comes or goes while the guest runs makes one of the other, and who goes on from
 * the guest's state is to have the same drives.
 */
static void list_wants(struct drives *drives, const struct vmm_config *config)
{
	for (unsigned i = 0; i < config->disks; i++) {
		const struct disk_spec *spec = &config->disk[i];

		if (spec->bus == drives->bus)
			add_want(drives,
				&(struct want){spec->vdev, spec->file[0].name, spec->cdrom,
					(int)i});
	}
	for (unsigned i = 0; i < config->drives; i++) {
		const char *vdev = config->drive[i].vdev;

		if (config->drive[i].bus == drives->bus)
			add_want(drives, &(struct want){vdev, vdev, true, -1});
	}
}

/* By its name, or the first that is free. max: there is none. */
static unsigned choose_drive(const struct drives *drives, const char *vdev)
{
	unsigned n = named_drive(drives, vdev);

	if (n < drives->max && !drives->taken[n])
		return n;
	for (n = 0; n < drives->max && drives->taken[n];)
		n++;
	return n;
}

static int add_bay(struct drives *drives, struct devices *devices, const struct want *want,
	struct error *err)
{
	const unsigned n = choose_drive(drives, want->vdev);
	struct bay *bay = &devices->bay[devices->bays];

	if (n == drives->max)
		return error_set(err, EINVAL, "%s: there are %s %s drives at most", want->name,
			drives->number, drives->name);
	drives->taken[n] = true;
	bay->bus = drives->bus;
	bay->number = n;
	bay->cdrom = want->cdrom;
	snprintf(bay->vdev, sizeof bay->vdev, "%s", want->vdev);
	if (want->disk >= 0)
		devices->in_bay[want->disk] = devices->bays;
	devices->bays++;
	return 0;
}

static int choose_drives(struct drives *drives, struct devices *devices,
	const struct vmm_config *config, struct error *err)
{
	int r = 0;

	list_wants(drives, config);
	if (drives->wants && !config->firmware)
		return error_set(err, EINVAL, "%s: an %s drive needs firmware",
			drives->want[0].name, drives->name);
	for (unsigned i = 0; i < drives->wants && !r; i++)
		r = add_bay(drives, devices, &drives->want[i], err);
	return r;
}

int drives_choose(struct devices *devices, const struct vmm_config *config, struct error *err)
{
	struct drives ide = {.bus = DISK_IDE, .name = "IDE", .number = "four", .max = IDE_DRIVES};
	struct drives ahci = {.bus = DISK_AHCI, .name = "AHCI", .number = "six", .max = AHCI_PORTS};
	int r = choose_drives(&ide, devices, config, err);

	return r ? r : choose_drives(&ahci, devices, config, err);
}

/* What a controller is made with. */
struct drive_configs {
	bool any;
	struct ata_drive_config drive[DRIVES_MAX];
	char serial[DRIVES_MAX][LIMIT_SERIAL + 1];
};

static void fill_configs(struct drive_configs *to, enum disk_bus bus, const struct devices *devices,
	const struct vmm_config *config)
{
	for (unsigned i = 0; i < devices->bays; i++)
		if (devices->bay[i].bus == bus) {
			to->any = true;
			to->drive[devices->bay[i].number].cdrom = devices->bay[i].cdrom;
		}
	for (unsigned i = 0; i < config->disks; i++) {
		const struct disk_spec *spec = &config->disk[i];
		unsigned n;

		if (spec->bus != bus)
			continue;
		n = devices->bay[devices->in_bay[i]].number;
		snprintf(to->serial[n], sizeof to->serial[n], DISK_SERIAL, i);
		to->drive[n].image = devices->disk[i];
		to->drive[n].serial = *spec->serial ? spec->serial : to->serial[n];
	}
}

int drives_create(struct devices *devices, const struct vmm_config *config, struct machine *machine,
	struct error *err)
{
	const struct ide_owner owner = {machine, machine_irq};
	struct drive_configs ide = {0}, ahci = {0};
	int r = drives_choose(devices, config, err);

	if (!r) {
		fill_configs(&ide, DISK_IDE, devices, config);
		fill_configs(&ahci, DISK_AHCI, devices, config);
	}
	if (ide.any)
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
