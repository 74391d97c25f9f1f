/* SPDX-License-Identifier: Apache-2.0 */
/* Which drives disks and CDs have: the same, whatever lies in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vmm/drives.h"

static struct vmm_config config;
static struct devices devices;
static struct disk_file file[LIMIT_DISKS];

/* An empty drive, or a disk. */
static void add(enum disk_bus bus, const char *vdev, bool empty, bool cdrom)
{
	struct disk_spec *disk = &config.disk[config.disks];
	struct drive_spec *drive = &config.drive[config.drives];

	if (empty) {
		config.drives++;
		drive->bus = bus;
		drive->vdev = (char *)vdev;
		return;
	}
	config.disks++;
	disk->bus = bus;
	disk->vdev = (char *)vdev;
	disk->cdrom = cdrom;
	disk->file = &file[config.disks - 1];
	disk->file->name = (char *)vdev;
}

static void begin(void)
{
	memset(&config, 0, sizeof config);
	memset(&devices, 0, sizeof devices);
	config.firmware = FIRMWARE_BIOS;
}

/* The bay of that name; its disk, if there is one, is in it. */
static const struct bay *bay_of(const char *vdev)
{
	const struct bay *found = NULL;

	for (unsigned i = 0; i < devices.bays; i++)
		if (!strcmp(devices.bay[i].vdev, vdev))
			found = &devices.bay[i];
	assert_non_null(found);
	for (unsigned i = 0; i < config.disks; i++)
		if (!strcmp(config.disk[i].vdev, vdev))
			assert_ptr_equal(drives_of_disk(&devices, i), found);
	return found;
}

static void whatever_lies_in_them(void **state)
{
	static const char *const vdev[] = {"xvdaa", "xvdd", "xvdc", "hda"};
	static const unsigned ide[] = {3, 2, 1, 0}, ahci[] = {3, 2, 1, 0};

	(void)state;
	/* A bit for each drive that is empty, but hda, which is a disk's. Without their first letters none says a place. */
	for (unsigned set = 0; set < 16; set++) {
		begin();
		for (unsigned i = 0; i < 4; i++) {
			add(DISK_IDE, vdev[i], set >> i & 1 && i < 3, i < 3);
			add(DISK_AHCI, vdev[i] + 1, set >> i & 1, true);
		}
		assert_int_equal(drives_choose(&devices, &config, NULL), 0);
		assert_int_equal(devices.bays, 8);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(bay_of(vdev[i])->number, ide[i]);
			assert_int_equal(bay_of(vdev[i])->cdrom, i < 3);
			assert_int_equal(bay_of(vdev[i] + 1)->number, ahci[i]);
			assert_int_equal(bay_of(vdev[i] + 1)->bus, DISK_AHCI);
		}
	}
}

/* Who has a place by his name has it, though he comes last. */
static void named_places(void **state)
{
	(void)state;
	begin();
	add(DISK_AHCI, "xvda", false, false);
	add(DISK_AHCI, "sda", true, true);
	add(DISK_AHCI, "sdc", false, true);
	add(DISK_AHCI, "sdg", false, false);
	assert_int_equal(drives_choose(&devices, &config, NULL), 0);
	assert_int_equal(bay_of("sda")->number, 0);
	assert_int_equal(bay_of("sdc")->number, 2);
	assert_int_equal(bay_of("sdg")->number, 1);
	assert_int_equal(bay_of("xvda")->number, 3);
}

static void refused(void **state)
{
	struct error err = {""};

	(void)state;
	begin();
	for (unsigned i = 0; i < 5; i++)
		add(DISK_IDE, "xvda", i == 2, true);
	assert_int_not_equal(drives_choose(&devices, &config, &err), 0);
	assert_string_equal(err.text, "xvda: there are four IDE drives at most");
	begin();
	err.text[0] = 0;
	config.firmware = 0;
	add(DISK_AHCI, "sda", true, true);
	assert_int_not_equal(drives_choose(&devices, &config, &err), 0);
	assert_string_equal(err.text, "sda: an AHCI drive needs firmware");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_lies_in_them),
		cmocka_unit_test(named_places),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests_name("drives", tests, NULL, NULL);
}
