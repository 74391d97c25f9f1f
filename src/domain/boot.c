/* SPDX-License-Identifier: Apache-2.0 */
#include "domain/boot.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/vdev.h"

#define CONSOLE "console="
#define SERIAL_PORT "ttyS0"
#define CARD_NAMES "net.ifnames="

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

struct disk_names {
	const char *const *vdev;
	unsigned disks;
};

/* The disk here that a vdev is, and the partition on it. */
static bool find_disk(const struct disk_names *names, const struct vdev *wanted, unsigned *disk,
	unsigned *partition)
{
	struct vdev vdev;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < names->disks; i++) {
			/* First whoever has this very name, then the disk that it is a part of. */
			if (names->vdev[i] && !vdev_parse(names->vdev[i], &vdev) &&
				vdev.bus == wanted->bus && vdev.disk == wanted->disk &&
				vdev.partition == (pass ? 0 : wanted->partition)) {
				*disk = i;
				*partition = pass ? wanted->partition : 0;
				return true;
			}
		}
	}
	return false;
}

/*
 * The name behind /dev/ at *at, if it is a vdev of the configuration: writes the name here and
 * moves *at behind it. vda and sda are names that a Linux guest may mean as they are: only names
 * that an entry has count, and /dev/vda is taken for what it is.
 */
static bool take_device(const struct disk_names *names, const char **at, FILE *out)
{
	char name[VDEV_NAME_MAX], letters[VDEV_NAME_MAX];
	unsigned disk, partition;
	struct vdev vdev;
	size_t size = 0;

	while (is_name((*at)[size]))
		size++;
	if (!size || size >= sizeof name || !strncmp(*at, "vd", 2) || isdigit((unsigned char)**at))
		return false;
	memcpy(name, *at, size);
	name[size] = 0;
	if (vdev_parse(name, &vdev) || !find_disk(names, &vdev, &disk, &partition))
		return false;
	vdev_letters(disk, letters);
	fprintf(out, partition ? "/dev/vd%s%u" : "/dev/vd%s", letters, partition);
	*at += size;
	return true;
}

static bool starts(const char *at, const char *word)
{
	return !strncmp(at, word, strlen(word));
}

/* Who writes vda knows where he is. */
static bool is_xen(const struct disk_names *names)
{
	struct vdev vdev;

	for (unsigned i = 0; i < names->disks; i++)
		if (names->vdev[i] && !vdev_parse(names->vdev[i], &vdev) && vdev.bus == VDEV_XVD &&
			!starts(names->vdev[i], "vd") && !starts(names->vdev[i], "/dev/vd"))
			return true;
	return false;
}

/* console=hvc0 or xvc0, with or without what follows a comma. */
static bool take_console(const char **at, FILE *out)
{
	const char *name = *at + strlen(CONSOLE);

	if (!starts(name, "hvc0") && !starts(name, "xvc0"))
		return false;
	if (is_name(name[4]))
		return false;
	*at = name + 4;
	fputs(CONSOLE SERIAL_PORT, out);
	return true;
}

unsigned domain_boot_vdevs(const struct domain_config *config, const char *vdev[DOMAIN_DISKS_MAX])
{
	unsigned n = 0;

	for (unsigned i = 0; i < config->disks; i++)
		if (domain_disk_has_medium(&config->disk[i]))
			vdev[n++] = config->disk[i].vdev;
	return n;
}

int domain_boot_cmdline(const char *given, const char *const *vdev, unsigned disks, char **cmdline,
	struct error *err)
{
	const struct disk_names names = {vdev, disks};
	const char *at = given;
	bool console = false, cards = !is_xen(&names), begins = true;
	size_t size = 0;
	FILE *out;

	*cmdline = NULL;
	out = open_memstream(cmdline, &size);
	if (!out)
		return error_nomem(err);
	while (*at) {
		bool is_console = begins && starts(at, CONSOLE);

		console |= is_console;
		cards |= begins && starts(at, CARD_NAMES);
		begins = *at == ' ';
		if (is_console && take_console(&at, out))
			continue;
		if (starts(at, "/dev/")) {
			const char *name = at + 5;

			if (take_device(&names, &name, out)) {
				at = name;
				continue;
			}
		}
		fputc(*at++, out);
	}
	if (!console)
		fprintf(out, "%s" CONSOLE SERIAL_PORT, *given ? " " : "");
	if (!cards)
		fputs(" " CARD_NAMES "0", out);
	if (fclose(out)) {
		free(*cmdline);
		*cmdline = NULL;
		return error_nomem(err);
	}
	if (size > DOMAIN_CMDLINE_MAX) {
		free(*cmdline);
		*cmdline = NULL;
		return error_set(err, E2BIG, "the command line is longer than %u bytes",
			DOMAIN_CMDLINE_MAX);
	}
	return 0;
}
