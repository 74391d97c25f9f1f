/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where guest images live. An image is a folder:
 *   disk.raw     the root file system, ext4 in a sparse raw file; or, once it has been cloned,
 *   disk.qcow2   what is written to it since then, and below that
 *   layerN.raw, layerN.qcow2   what never changes: the same files (hard links) in each clone's folder
 *   vmlinuz, initrd.img   what boots it, where its disk has nothing; an imported one has none
 *   run.img      drivers alone, for machines that run one command
 *   image.conf   "key value" lines: what it is
 *   start.json   what a container's image runs, and as whom (protocol/image_start.h)
 *   password     root's password, if it was made up for the user (mode 0600)
 * beside which NAME.log tells how it was made.
 *
 * Folders of images: /var/lib/dach/images for root, else $XDG_DATA_HOME/dach/images
 * (~/.local/share when unset). Looking for one, the user's own come first. $DACH_IMAGES, an
 * absolute path, stands for the first, and is then where everybody's new images go.
 */
#ifndef DACH_IMAGE_STORE_H
#define DACH_IMAGE_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "protocol/disk.h"
#include "protocol/limits.h"

#define IMAGE_ROOT "root" /* a folder with the owners of a root file system, for containers */
#define IMAGE_NAME_MAX 64

struct image {
	char name[IMAGE_NAME_MAX + 1];
	char path[PATH_MAX]; /* the folder */
	char dist[IMAGE_NAME_MAX + 1], hostname[IMAGE_NAME_MAX + 1];
	char created[32]; /* UTC, ISO 8601 */
	char cmdline[512];
	unsigned vcpus;           /* that it wants; 0: it does not say */
	uint64_t memory;          /* bytes, likewise */
	uint64_t size, used;      /* bytes: of the disk, and what it takes on this host's */
	char disk[PATH_MAX + 16]; /* the file that the guest writes to */
	enum disk_format format;
};

#define IMAGE_LAYERS_MAX \
	(LIMIT_CHAIN - 2) /* with the disk on top, and another that is thrown away */
/* The name of layer n in the folder; false: there is none. */
bool image_layer(const struct image *image, unsigned n, char *path, size_t size,
	enum disk_format *format);

/* Letters, digits, '-', '_' and '.', the first a letter or digit. -EINVAL and a sentence. */
int image_check_name(const char *what, const char *name, struct error *err);

/* -EBUSY: a guest uses the disk. */
int image_check_unused(const char *disk, struct error *err);

/* The folder that new images go to. It may not exist yet. */
int image_store_dir(char *dir, size_t size, struct error *err);

/* name: an image of a store, or, if it has a '/', the path of an image's folder. -ENOENT. */
int image_find(const char *name, struct image *image, struct error *err);

/* Calls visit for each image, by name within each store. */
int image_list(void (*visit)(void *ctx, const struct image *image), void *ctx, struct error *err);

/*
 * A new image beside the other, with what that has now, in no time: both go on from layers that neither
 * changes. Not while a guest runs from it (-EBUSY). path: NULL, or where its folder is told (PATH_MAX): by its name
 * alone image_find() may find another, of a store that comes first.
 */
int image_clone(const char *name, const char *clone, char *path, struct error *err);

/* Refuses (-EBUSY) while a guest runs from it, and to remove files it does not know. */
int image_delete(const char *name, struct error *err);

#endif
