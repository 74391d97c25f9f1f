/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "domain/boot.h"
#include "domain/vdev.h"
#include "protocol/disk.h"

#define NAMES "61-dach-names.rules"
#define KEEP "62-dach-keep.rules"
#define FOLDER "etc/udev/rules.d"
#define OVERLAY "what belongs behind it"
#define PROGRAM_MAX (16u << 20)

/* One member of an archive (Linux Documentation/driver-api/early-userspace/buffer-format.rst). */
static void member_bytes(FILE *out, unsigned mode, const char *name, const void *bytes, size_t size)
{
	static const char zeroes[4];
	size_t name_size = strlen(name) + 1;

	fprintf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 0, mode, 0, 0, 1,
		0, (unsigned)size, 0, 0, 0, 0, (unsigned)name_size, 0);
	fwrite(name, 1, name_size, out);
	fwrite(zeroes, 1, -(110 + name_size) & 3, out);
	fwrite(bytes, 1, size, out);
	fwrite(zeroes, 1, -size & 3, out);
}

static void member(FILE *out, unsigned mode, const char *name, const char *text)
{
	member_bytes(out, mode, name, text, strlen(text));
}

/* A link for each disk, and for the partitions of whole ones. */
static unsigned names(const struct domain_config *config, FILE *out)
{
	char name[VDEV_NAME_MAX];
	unsigned n = 0, written = 0;
	struct vdev vdev;

	for (unsigned i = 0; i < config->disks; i++) {
		if (!domain_disk_has_medium(&config->disk[i]))
			continue;
		if (!vdev_parse(config->disk[i].vdev, &vdev)) {
			vdev_name(&vdev, name);
			fprintf(out,
				"KERNEL==\"vd*[!0-9]\", SUBSYSTEM==\"block\", "
				"ATTR{serial}==\"" DISK_SERIAL "\", SYMLINK+=\"%s\"\n",
				n, name);
			if (!vdev.partition)
				fprintf(out,
					"KERNEL==\"vd*[0-9]\", SUBSYSTEM==\"block\", "
					"ATTRS{serial}==\"" DISK_SERIAL "\", SYMLINK+=\"%s%%n\"\n",
					n, name);
			written++;
		}
		n++;
	}
	return written;
}

/*
 * The rules must outlive the ramdisk: a rule beside them copies them to /run, which the real system
 * inherits. Only the shell and cat are in every ramdisk.
 */
static const char keep[] =
	"KERNEL==\"vd*\", SUBSYSTEM==\"block\", RUN+=\"/bin/sh -c 'mkdir -p /run/udev/rules.d; "
	"cat /" FOLDER "/" NAMES " >/run/udev/rules.d/" NAMES "'\"\n";

int domain_boot_overlay(const struct domain_config *config, char **bytes, size_t *size,
	struct error *err)
{
	char *rules = NULL;
	size_t rules_size;
	FILE *out = open_memstream(&rules, &rules_size);
	unsigned written = out ? names(config, out) : 0;
	bool good = out && !fclose(out);

	*bytes = NULL;
	*size = 0;
	if (good && written) {
		out = open_memstream(bytes, size);
		if (out) {
			member(out, S_IFDIR | 0755, "etc", "");
			member(out, S_IFDIR | 0755, "etc/udev", "");
			member(out, S_IFDIR | 0755, FOLDER, "");
			member(out, S_IFREG | 0644, FOLDER "/" NAMES, rules);
			member(out, S_IFREG | 0644, FOLDER "/" KEEP, keep);
			member(out, 0, "TRAILER!!!", "");
		}
		good = out && !fclose(out);
	}
	free(rules);
	if (good)
		return 0;
	free(*bytes);
	*bytes = NULL;
	*size = 0;
	return error_nomem(err);
}

int domain_boot_program(int program, const char *name, int *overlay, struct error *err)
{
	char *bytes = NULL;
	size_t size;
	FILE *out = NULL;
	int r = io_read_file(program, PROGRAM_MAX, &bytes, &size), fd = -1;

	*overlay = -1;
	if (r)
		return error_set(err, -r, "%s: %s", name, strerror(-r));
	fd = memfd_create("overlay", MFD_CLOEXEC);
	out = fd < 0 ? NULL : fdopen(fd, "w");
	if (out) {
		member_bytes(out, S_IFREG | 0755, name, bytes, size);
		member(out, 0, "TRAILER!!!", "");
		if (!fflush(out) && !ferror(out))
			*overlay = dup(fd);
		fclose(out);
	} else if (fd >= 0) {
		close(fd);
	}
	free(bytes);
	return *overlay < 0
		? error_set(err, errno, "%s: no file in memory: %s", name, strerror(errno))
		: 0;
}

static int copy(int from, int to, uint64_t size, const char *name, struct error *err)
{
	off_t at = 0;

	while ((uint64_t)at < size) {
		ssize_t sent = sendfile(to, from, &at, size - at);

		if (sent < 0 && errno != EINTR)
			return error_set(err, errno, "%s: %s", name, strerror(errno));
		if (!sent)
			return error_set(err, EIO, "%s: became shorter meanwhile", name);
	}
	return 0;
}

/* An open file, or none (-1). */
static int check_ramdisk(int ramdisk, const char *name, uint64_t *size, struct error *err)
{
	struct stat st;

	*size = 0;
	if (ramdisk < 0)
		return 0;
	if (fstat(ramdisk, &st))
		return error_set(err, errno, "%s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, EINVAL, "%s: not a regular file", name);
	*size = (uint64_t)st.st_size;
	if (*size > BOOT_RAMDISK_MAX)
		return error_set(err, E2BIG, "%s: more than a GiB; is this a ramdisk?", name);
	return 0;
}

int domain_boot_join(int *ramdisk, const char *name, int overlay, struct error *err)
{
	uint64_t before, size;
	int fd = -1, r = check_ramdisk(*ramdisk, name, &before, err);

	if (!r)
		r = check_ramdisk(overlay, OVERLAY, &size, err);
	if (!r) {
		fd = memfd_create("ramdisk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0)
			r = error_set(err, errno, "initial ramdisk: %s", strerror(errno));
	}
	if (!r)
		r = copy(*ramdisk, fd, before, name, err);
	if (!r && lseek(fd, (before + 3) & ~3ull, SEEK_SET) < 0)
		r = error_set(err, errno, "initial ramdisk: %s", strerror(errno));
	if (!r)
		r = copy(overlay, fd, size, OVERLAY, err);
	if (!r && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		r = error_set(err, errno, "initial ramdisk: %s", strerror(errno));
	if (r) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (*ramdisk >= 0)
		close(*ramdisk);
	*ramdisk = fd;
	return 0;
}
