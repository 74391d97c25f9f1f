/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/vdev.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Block majors under which the names were known, and the extended form (xen-vbd-interface(7)). */
#define MAJOR_XVD 202u
#define MAJOR_HD 3u
#define MAJOR_HD_SECOND 22u
#define MAJOR_SD 8u
#define EXTENDED (1u << 28)

static const struct {
	const char *prefix;
	enum vdev_bus bus;
	unsigned disks, partitions;
} buses[] = {
	{"xvd", VDEV_XVD, VDEV_DISKS_MAX, 255},
	{"vd", VDEV_XVD, VDEV_DISKS_MAX, 255},
	{"hd", VDEV_HD, 4, 63},
	{"sd", VDEV_SD, 16, 15},
};

/* Decimal digits without a sign or superfluous zero, below max. */
static bool number(const char **at, unsigned max, unsigned *value)
{
	const char *c = *at;

	if (!isdigit((unsigned char)*c) || (c[0] == '0' && isdigit((unsigned char)c[1])))
		return false;
	for (*value = 0; isdigit((unsigned char)*c); c++) {
		*value = *value * 10 + (*c - '0');
		if (*value > max)
			return false;
	}
	*at = c;
	return true;
}

/* a to z, aa, ab, ...: 0, ..., 25, 26, 27 */
static bool letters(const char **at, unsigned max, unsigned *value)
{
	unsigned n = 0;
	const char *c = *at;

	while (*c >= 'a' && *c <= 'z') {
		n = n * 26 + (*c++ - 'a') + 1;
		if (n > max)
			return false;
	}
	if (c == *at)
		return false;
	*value = n - 1;
	*at = c;
	return true;
}

static int from_number(unsigned long number_, struct vdev *vdev)
{
	unsigned major = number_ >> 8, minor = number_ & 255;

	if (number_ >= EXTENDED && number_ < 2ul * EXTENDED)
		*vdev = (struct vdev){VDEV_XVD, (number_ >> 8) & (VDEV_DISKS_MAX - 1), minor};
	else if (!major) /* NetBSD's files only count their disks */
		*vdev = (struct vdev){VDEV_XVD, minor, 0};
	else if (major == MAJOR_XVD)
		*vdev = (struct vdev){VDEV_XVD, minor >> 4, minor & 15};
	else if (major == MAJOR_SD)
		*vdev = (struct vdev){VDEV_SD, minor >> 4, minor & 15};
	else if ((major == MAJOR_HD || major == MAJOR_HD_SECOND) && minor < 128)
		*vdev = (struct vdev){VDEV_HD, (major == MAJOR_HD ? 0 : 2) + (minor >> 6),
			minor & 63};
	else
		return -EINVAL;
	return 0;
}

int vdev_parse(const char *text, struct vdev *vdev)
{
	const char *at = text + (strncmp(text, "/dev/", 5) ? 0 : 5);
	unsigned long value;
	char *end;

	if (strlen(text) >= VDEV_NAME_MAX)
		return -EINVAL;
	if (isdigit((unsigned char)at[0])) {
		value = strtoul(at, &end, 0);
		return *end ? -EINVAL : from_number(value, vdev);
	}
	memset(vdev, 0, sizeof *vdev);
	if (at[0] == 'd' && isdigit((unsigned char)at[1])) {
		at++;
		if (!number(&at, VDEV_DISKS_MAX - 1, &vdev->disk))
			return -EINVAL;
		if (*at == 'p' && (at++, !number(&at, 255, &vdev->partition)))
			return -EINVAL;
		return *at ? -EINVAL : 0;
	}
	for (unsigned n = 0; n < sizeof buses / sizeof *buses; n++) {
		size_t len = strlen(buses[n].prefix);

		if (strncmp(at, buses[n].prefix, len))
			continue;
		at += len;
		vdev->bus = buses[n].bus;
		if (!letters(&at, buses[n].disks, &vdev->disk))
			return -EINVAL;
		if (*at && (*at == '0' || !number(&at, buses[n].partitions, &vdev->partition)))
			return -EINVAL;
		return *at ? -EINVAL : 0;
	}
	return -EINVAL;
}

size_t vdev_letters(unsigned disk, char *to)
{
	char reversed[8];
	size_t n = 0, len;

	for (disk++; disk; disk = (disk - 1) / 26)
		reversed[n++] = 'a' + (disk - 1) % 26;
	for (len = 0; n; len++)
		to[len] = reversed[--n];
	to[len] = 0;
	return len;
}

char *vdev_name(const struct vdev *vdev, char name[VDEV_NAME_MAX])
{
	static const char *const prefix[] = {"xvd", "hd", "sd"};
	char disk[8];

	vdev_letters(vdev->disk, disk);
	if (vdev->partition)
		snprintf(name, VDEV_NAME_MAX, "%s%s%u", prefix[vdev->bus], disk, vdev->partition);
	else
		snprintf(name, VDEV_NAME_MAX, "%s%s", prefix[vdev->bus], disk);
	return name;
}

unsigned vdev_number(const struct vdev *vdev)
{
	unsigned disk = vdev->disk, part = vdev->partition;

	switch (vdev->bus) {
	case VDEV_HD:
		return (disk < 2 ? MAJOR_HD : MAJOR_HD_SECOND) << 8 | (disk & 1) << 6 | part;
	case VDEV_SD:
		return MAJOR_SD << 8 | disk << 4 | part;
	default:
		if (disk > 15 || part > 15)
			return EXTENDED | disk << 8 | part;
		return MAJOR_XVD << 8 | disk << 4 | part;
	}
}
