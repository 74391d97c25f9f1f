/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that share what they had in common. What is the disk of the first becomes a layer, which nobody
 * writes to any more; both images have an empty disk on top of it. Layers are hard links: each folder has all
 * that its disk stands on, and an image can be deleted whoever has been cloned from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/block.h"
#include "block/create.h"
#include "image/layer.h"
#include "image/store.h"
#include "image/tree.h"

#define ROOM (PATH_MAX + 64)

static int fail(const char *path, struct error *err)
{
	return error_set(err, errno, "%s: %s", path, strerror(errno));
}

static unsigned count_layers(const struct image *image)
{
	enum disk_format format;
	char path[ROOM];
	unsigned n = 0;

	while (image_layer(image, n, path, sizeof path, &format))
		n++;
	return n;
}

/* Nothing has been written to it since it was made, and it is as large as what is below. */
static bool is_fresh(const struct image *image, unsigned layers)
{
	enum disk_format format;
	char layer[ROOM];
	struct stat st;
	uint64_t size;

	return image->format == DISK_QCOW2 && layers && !stat(image->disk, &st) &&
		(uint64_t)st.st_size <= qcow2_new_size(image->size) &&
		image_layer(image, layers - 1, layer, sizeof layer, &format) &&
		!layer_size(layer, format, &size, NULL) && size == image->size;
}

/* An empty disk in the folder over its last layer, in the place of what it had. */
static int put_top(const char *folder, const char *layer, enum disk_format format,
	struct error *err)
{
	const char *slash = strrchr(layer, '/');
	char fresh[ROOM], top[ROOM];
	int r;

	snprintf(fresh, sizeof fresh, "%s/disk.new", folder);
	snprintf(top, sizeof top, "%s/disk.qcow2", folder);
	unlink(fresh);
	r = layer_create(fresh, slash + 1, format, 0, err);
	if (!r && rename(fresh, top))
		r = fail(top, err);
	return r;
}

/* Its disk becomes its last layer, unless there is nothing in it. layer, format: what is the last then. */
static int freeze(const struct image *image, unsigned *layers, struct error *err)
{
	char layer[ROOM];
	int r;

	if (is_fresh(image, *layers))
		return 0;
	if (*layers == IMAGE_LAYERS_MAX)
		return error_set(err, EINVAL,
			"%s: has been cloned %u times, each time with changes; no more layers",
			image->name, *layers);
	snprintf(layer, sizeof layer, "%s/layer%u.%s", image->path, *layers,
		disk_format_name(image->format));
	if (link(image->disk, layer))
		return fail(layer, err);
	r = put_top(image->path, layer, image->format, err);
	if (r) {
		unlink(layer);
		return r;
	}
	if (image->format == DISK_RAW && unlink(image->disk))
		return fail(image->disk, err);
	++*layers;
	return 0;
}

static int link_file(const char *from, const char *folder, bool needed, struct error *err)
{
	char to[ROOM];

	snprintf(to, sizeof to, "%s%s", folder, strrchr(from, '/'));
	return link(from, to) && (needed || errno != ENOENT) ? fail(to, err) : 0;
}

static int fill(const struct image *image, unsigned layers, const char *folder, struct error *err)
{
	static const char *const beside[] = {"image.conf", "vmlinuz", "initrd.img", "run.img",
		"password", "start.json"};
	enum disk_format format = DISK_RAW;
	char path[ROOM];
	int r = 0;

	for (size_t i = 0; !r && i < sizeof beside / sizeof *beside; i++) {
		snprintf(path, sizeof path, "%s/%s", image->path, beside[i]);
		r = link_file(path, folder, i == 0, err);
	}
	for (unsigned n = 0; !r && n < layers; n++) {
		image_layer(image, n, path, sizeof path, &format);
		r = link_file(path, folder, true, err);
	}
	return r ? r : put_top(folder, path, format, err);
}

/* Others that clone it are waited for, and have changed it then. */
static int lock_folder(const char *name, struct image *image, int *folder, struct error *err)
{
	int r = image_find(name, image, err);

	if (r)
		return r;
	*folder = open(image->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*folder < 0 || flock(*folder, LOCK_EX))
		return fail(image->path, err);
	return image_find(name, image, err);
}

/* Nobody writes to the disk until it is closed; guests that only read it do so as they like. */
static int hold_disk(const struct image *image, struct block_device **disk, struct error *err)
{
	struct disk_spec spec;
	int r = disk_spec_of_file(image->disk, true, &spec, err);

	if (r)
		return r;
	r = block_open(&spec, disk, err);
	disk_spec_free(&spec);
	return r;
}

int image_clone(const char *name, const char *clone, char *path, struct error *err)
{
	struct image *image = malloc(sizeof *image);
	struct block_device *disk = NULL;
	char folder[ROOM], work[ROOM + 8];
	unsigned layers;
	int r, lock = -1;

	if (!image)
		return error_nomem(err);
	r = image_check_name("image", clone, err);
	if (!r)
		r = lock_folder(name, image, &lock, err);
	if (!r)
		r = hold_disk(image, &disk, err);
	if (r)
		goto out;
	snprintf(folder, sizeof folder, "%.*s/%s", (int)(strrchr(image->path, '/') - image->path),
		image->path, clone);
	snprintf(work, sizeof work, "%s.clone", folder);
	if (strlen(folder) >= PATH_MAX)
		r = error_set(err, ENAMETOOLONG, "%s: path too long", folder);
	else if (!access(folder, F_OK))
		r = error_set(err, EEXIST, "there is an image '%s' already", clone);
	else if (mkdir(work, 0700))
		r = fail(work, err);
	if (r)
		goto out;
	layers = count_layers(image);
	r = freeze(image, &layers, err);
	if (!r)
		r = fill(image, layers, work, err);
	if (!r && rename(work, folder))
		r = fail(folder, err);
	if (r)
		tree_remove(work);
	else if (path)
		strcpy(path, folder);
out:
	block_close(disk);
	if (lock >= 0)
		close(lock);
	free(image);
	return r;
}
