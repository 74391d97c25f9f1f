/* SPDX-License-Identifier: Apache-2.0 */
#include "bootdisk/newest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bootdisk/version.h"

/* The newest so far: its whole name, and where in it the version begins. */
struct newest_name {
	char name[256];
	size_t version;
};

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len >= n && !strcmp(name + len - n, end);
}

static bool take_name(void *to, const char *name)
{
	static const char *const prefixes[] = {"vmlinuz-", "kernel-", "bzImage-", "vmlinux-"};
	static const char *const not_those[] = {".old", ".bak", ".hmac", ".sig", ".signed", "~",
		".dpkg-tmp", ".dpkg-new", ".dpkg-bak", ".rpmsave", ".rpmnew"};
	struct newest_name *best = to;
	size_t version = 0;

	for (size_t i = 0; !version && i < sizeof prefixes / sizeof *prefixes; i++)
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			version = strlen(prefixes[i]);
	for (size_t i = 0; i < sizeof not_those / sizeof *not_those; i++)
		if (ends_with(name, not_those[i]))
			return true;
	if (!version || strlen(name) >= sizeof best->name)
		return true;
	/* A rescue system is not what is to be started. */
	if (*best->name && strstr(name, "rescue"))
		return true;
	if (!*best->name || strstr(best->name, "rescue") ||
		version_compare(name + version, best->name + best->version) > 0) {
		strcpy(best->name, name);
		best->version = version;
	}
	return true;
}

static void find_ramdisk(struct volume *volume, const char *folder, const char *version,
	char path[NEWEST_PATH_MAX])
{
	static const char *const forms[][2] = {{"initrd.img-", ""}, {"initramfs-", ".img"},
		{"initrd-", ""}, {"initramfs-", ""}, {"initrd-", ".img"}, {"initrd.img-", ".img"},
		{"initramfs-genkernel-x86_64-", ""}, {"initramfs-genkernel-", ""}};

	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		snprintf(path, NEWEST_PATH_MAX, "%s/%s%s%s", folder, forms[i][0], version,
			forms[i][1]);
		if (volume_look(volume, path, NULL) == VOLUME_FILE)
			return;
	}
	*path = 0;
}

int newest_find(struct volume *volume, struct newest *newest, struct error *err)
{
	static const char *const links[][2] = {{"/vmlinuz", "/initrd.img"},
		{"/boot/vmlinuz", "/boot/initrd.img"}};
	static const char *const folders[] = {"/boot", ""};

	for (unsigned i = 0; i < 2; i++) {
		int r = volume_find(volume, links[i][0], err);

		if (r == -ENOENT)
			continue;
		snprintf(newest->kernel, sizeof newest->kernel, "%s", links[i][0]);
		*newest->ramdisk = 0;
		if (!r)
			r = volume_find(volume, links[i][1], err);
		if (!r)
			snprintf(newest->ramdisk, sizeof newest->ramdisk, "%s", links[i][1]);
		return r == -ENOENT ? 0 : r;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct newest_name best = {.name = ""};

		volume_list(volume, *folders[i] ? folders[i] : "/", take_name, &best);
		if (!*best.name)
			continue;
		snprintf(newest->kernel, sizeof newest->kernel, "%s/%s", folders[i], best.name);
		find_ramdisk(volume, folders[i], best.name + best.version, newest->ramdisk);
		return 0;
	}
	return -ENOENT;
}
