/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "image/layer.h"
#include "image/tree.h"

#define SYSTEM_STORE "/var/lib/dach/images"

int image_check_name(const char *what, const char *name, struct error *err)
{
	size_t len = strlen(name);

	if (!len || len > IMAGE_NAME_MAX || !isalnum((unsigned char)name[0]))
		goto bad;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
			goto bad;
	return 0;
bad:
	return error_set(err, EINVAL,
		"%s '%s': up to %d letters, digits, '-', '_' and '.', first a letter or digit",
		what, name, IMAGE_NAME_MAX);
}

/* The images that all users of the host see. */
static const char *system_store(void)
{
	const char *dir = getenv("DACH_IMAGES");

	return dir && dir[0] == '/' ? dir : SYSTEM_STORE;
}

int image_store_dir(char *dir, size_t size, struct error *err)
{
	/* In a user's container root is no root: then the system's folder is not ours to write. */
	if (strcmp(system_store(), SYSTEM_STORE) || (!geteuid() && !access("/var/lib", W_OK))) {
		snprintf(dir, size, "%s", system_store());
		return 0;
	}
	return folder_data("dach/images", dir, size, err);
}

/* 0 for what is none, or larger than max: as if it were not there. */
static uint64_t read_number(const char *value, uint64_t max)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	return !isdigit((unsigned char)*value) || *end || number > max ? 0 : number;
}

static void set_field(struct image *image, const char *key, const char *value)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} field[] = {
		{"dist", image->dist, sizeof image->dist},
		{"hostname", image->hostname, sizeof image->hostname},
		{"created", image->created, sizeof image->created},
		{"cmdline", image->cmdline, sizeof image->cmdline},
	};

	for (size_t i = 0; i < sizeof field / sizeof *field; i++)
		if (!strcmp(key, field[i].key))
			snprintf(field[i].to, field[i].size, "%s", value);
	if (!strcmp(key, "vcpus"))
		image->vcpus = (unsigned)read_number(value, LIMIT_VCPUS);
	if (!strcmp(key, "memory"))
		image->memory = read_number(value, 1u << 20) << 20;
}

/* The description may have come from elsewhere: no control character reaches a terminal. */
static int read_description(struct image *image, struct error *err)
{
	char path[PATH_MAX + 16], line[1024];
	FILE *file;

	snprintf(path, sizeof path, "%s/image.conf", image->path);
	file = fopen(path, "re");
	if (!file)
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, file)) {
		char *value = strchr(line, ' ');

		line[strcspn(line, "\n")] = 0;
		for (char *c = line; *c; c++)
			if ((unsigned char)*c < ' ' || *c == 127)
				*c = '?';
		if (!value)
			continue;
		*value = 0;
		set_field(image, line, value + 1);
	}
	fclose(file);
	return 0;
}

/* NAME.qcow2 or NAME.raw in the image's folder: the first that is there. */
static bool is_there(const struct image *image, const char *name, char *path, size_t size,
	enum disk_format *format)
{
	static const enum disk_format order[] = {DISK_QCOW2, DISK_RAW};

	for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
		int length;

		*format = order[i];
		length = snprintf(path, size, "%s/%s.%s", image->path, name,
			disk_format_name(*format));
		if (length < (int)size && !access(path, F_OK))
			return true;
	}
	return false;
}

bool image_layer(const struct image *image, unsigned n, char *path, size_t size,
	enum disk_format *format)
{
	char name[32];

	snprintf(name, sizeof name, "layer%u", n);
	return is_there(image, name, path, size, format);
}

/* With the layers, though others may have those as well. */
static void count_used(struct image *image)
{
	char path[PATH_MAX + 32];
	enum disk_format format;
	struct stat st;

	if (!stat(image->disk, &st))
		image->used = st.st_blocks * 512ull;
	for (unsigned n = 0; image_layer(image, n, path, sizeof path, &format); n++)
		if (!stat(path, &st))
			image->used += st.st_blocks * 512ull;
}

static int read_image(const char *path, struct image *image, struct error *err)
{
	const char *name;

	memset(image, 0, sizeof *image);
	if (!realpath(path, image->path))
		return error_set(err, errno, "%s: %s", path, strerror(errno));
	name = strrchr(image->path, '/');
	snprintf(image->name, sizeof image->name, "%.*s", IMAGE_NAME_MAX, name ? name + 1 : path);
	if (!is_there(image, "disk", image->disk, sizeof image->disk, &image->format))
		return error_set(err, ENOENT, "%s: not an image of dach: no disk.raw in it", path);
	if (layer_size(image->disk, image->format, &image->size, err))
		return -EINVAL;
	count_used(image);
	return read_description(image, err);
}

/* Store i of those that are searched, in order; false: there are no more. */
static bool store_at(int i, char *dir, size_t size)
{
	/* Without a home, or where it is the system's, there is only one. */
	bool own = !folder_data("dach/images", dir, size, NULL) && strcmp(dir, system_store());

	if (own && i == 0)
		return true;
	snprintf(dir, size, "%s", system_store());
	return i == own;
}

int image_find(const char *name, struct image *image, struct error *err)
{
	char dir[PATH_MAX], path[PATH_MAX + IMAGE_NAME_MAX + 2];
	int r;

	if (disk_is_remote(name))
		return error_set(err, EINVAL, "%s: no image, but a disk on a server (--disk)",
			name);
	if (strchr(name, '/'))
		return read_image(name, image, err);
	r = image_check_name("image", name, err);
	if (r)
		return r;
	for (int i = 0; store_at(i, dir, sizeof dir); i++) {
		snprintf(path, sizeof path, "%s/%s", dir, name);
		if (!access(path, F_OK))
			return read_image(path, image, err);
	}
	return error_set(err, ENOENT, "no image '%s'; 'dach image list' shows those there are",
		name);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int image_list(void (*visit)(void *ctx, const struct image *image), void *ctx, struct error *err)
{
	char dir[PATH_MAX], path[2 * PATH_MAX];
	struct image *image = malloc(sizeof *image);

	if (!image)
		return error_nomem(err);
	for (int i = 0; store_at(i, dir, sizeof dir); i++) {
		struct dirent **entry;
		int count = scandir(dir, &entry, NULL, by_name);

		for (int k = 0; k < count; k++) {
			snprintf(path, sizeof path, "%s/%s", dir, entry[k]->d_name);
			if (!image_check_name("image", entry[k]->d_name, NULL) &&
				!read_image(path, image, NULL))
				visit(ctx, image);
			free(entry[k]);
		}
		if (count >= 0)
			free(entry);
	}
	free(image);
	return 0;
}

/* A running guest holds a lock on its disk. */
int image_check_unused(const char *disk, struct error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(disk, O_RDWR | O_CLOEXEC), r = 0;

	if (fd < 0)
		return error_set(err, errno, "%s: %s", disk, strerror(errno));
	if (fcntl(fd, F_OFD_SETLK, &lock))
		r = error_set(err, EBUSY, "%s: a guest uses it", disk);
	close(fd);
	return r;
}

/* Who has a container on the folder has locked it (daemon/container.c). */
static int delete_root(const char *image, struct error *err)
{
	char path[PATH_MAX + 32];
	int fd, r = 0;

	snprintf(path, sizeof path, "%s/" IMAGE_ROOT, image);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : error_set(err, errno, "%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		r = error_set(err, EBUSY, "%s: a container uses it", path);
	else if (tree_remove(path))
		r = error_set(err, EIO, "%s: cannot be removed", path);
	close(fd);
	return r;
}

int image_delete(const char *name, struct error *err)
{
	static const char *const file[] = {"disk.raw", "disk.qcow2", "vmlinuz", "initrd.img",
		"run.img", "password", "start.json", "image.conf"};
	struct image *image = malloc(sizeof *image);
	char path[PATH_MAX + 32];
	enum disk_format format;
	int r;

	if (!image)
		return error_nomem(err);
	r = image_find(name, image, err);
	if (r)
		goto out;
	r = image_check_unused(image->disk, err);
	if (!r)
		r = delete_root(image->path, err);
	for (size_t i = 0; !r && i < sizeof file / sizeof *file; i++) {
		snprintf(path, sizeof path, "%s/%s", image->path, file[i]);
		if (unlink(path) && errno != ENOENT)
			r = error_set(err, errno, "%s: %s", path, strerror(errno));
	}
	for (unsigned n = 0; !r && image_layer(image, n, path, sizeof path, &format); n++)
		if (unlink(path))
			r = error_set(err, errno, "%s: %s", path, strerror(errno));
	if (!r && rmdir(image->path))
		r = error_set(err, errno, "%s: %s", image->path, strerror(errno));
	snprintf(path, sizeof path, "%s.log", image->path);
	if (!r)
		unlink(path);
out:
	free(image);
	return r;
}
