/* SPDX-License-Identifier: Apache-2.0 */
#include "image/import.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image/source.h"
#include "image/tree.h"
#include "image/work.h"

/* "/srv/Web Server 1.vmdk" is the image Web-Server-1. */
void import_name(const char *file, char name[IMAGE_NAME_MAX + 1])
{
	static const char *const archives[] = {".tgz", ".gz", ".zst", ".tar"};
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	size_t len = strlen(base) - strlen(source_ending(base)), n = 0;

	for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
		const size_t more = strlen(archives[i]);

		if (len > more && !strncmp(base + len - more, archives[i], more))
			len -= more;
	}
	for (size_t i = 0; i < len && n < IMAGE_NAME_MAX; i++) {
		bool good = isalnum((unsigned char)base[i]) || (n && strchr("-_.", base[i]));

		if (good || n)
			name[n++] = good ? base[i] : '-';
	}
	name[n] = 0;
}

static int describe(const char *work, const char *name, const struct image_source *source,
	struct error *err)
{
	time_t now = time(NULL);
	char created[32], machine[64] = "";
	struct tm tm;

	strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	if (source->ova.vcpus)
		snprintf(machine, sizeof machine, "vcpus %u\n", source->ova.vcpus);
	if (source->ova.memory)
		snprintf(machine + strlen(machine), sizeof machine - strlen(machine),
			"memory %" PRIu64 "\n", source->ova.memory >> 20);
	return tree_write(work, "image.conf", 0644, err,
		"dist imported\nhostname %s\ncreated %s\n%s", name, created, machine);
}

/* In its work folder, which gets its final name when all is there. */
static int make(const struct image_source *source, const char *work, const char *final,
	const char *name, const struct convert_watch *watch, struct error *err)
{
	char disk[PATH_MAX + 16];
	int r;

	snprintf(disk, sizeof disk, "%s/disk.qcow2", work);
	r = source_convert(source, disk, DISK_QCOW2, watch, err);
	if (!r)
		r = describe(work, name, source, err);
	if (!r && (chmod(work, 0755) || rename(work, final)))
		r = error_set(err, errno, "%s: %s", final, strerror(errno));
	return r;
}

int import_image(const char *file, const char *name, const struct convert_watch *watch,
	struct image *image, struct error *err)
{
	char own[IMAGE_NAME_MAX + 1], dir[PATH_MAX], final[PATH_MAX + IMAGE_NAME_MAX + 2];
	struct image_source *source = calloc(1, sizeof *source);
	char work[PATH_MAX] = "";
	int lock = -1, r;

	if (!source)
		return error_nomem(err);
	r = source_open(file, source, err);
	if (r) {
		free(source);
		return r;
	}
	import_name(source->spec.file[0].name, own);
	name = name ? name : own;
	r = image_check_name("image", name, err);
	if (!r)
		r = image_store_dir(dir, sizeof dir, err);
	if (!r)
		r = tree_make(dir, err);
	if (r)
		goto out;
	work_sweep(dir);
	snprintf(final, sizeof final, "%s/%s", dir, name);
	if (!access(final, F_OK))
		r = error_set(err, EEXIST, "there is an image '%s' already (%s)", name, final);
	else
		r = lock = work_make(dir, name, work, sizeof work, err);
	if (r >= 0)
		r = make(source, work, final, name, watch, err);
	if (r && *work)
		tree_remove(work);
	if (!r)
		r = image_find(final, image, err);
	if (lock >= 0)
		close(lock);
out:
	source_free(source);
	free(source);
	return r;
}
