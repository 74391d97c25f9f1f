/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's file that somebody else has made, and no guest of ours has written to: what it is, as people name it. */
#ifndef DACH_IMAGE_SOURCE_H
#define DACH_IMAGE_SOURCE_H

#include <stdbool.h>
#include <limits.h>

#include "base/error.h"
#include "image/convert.h"
#include "image/ova.h"
#include "protocol/disk.h"

/* Raw and qcow2 are ours, and in spec; everything else is foreign. */
struct image_source {
	bool ours;
	struct disk_spec spec; /* read-only; the file's name also where it is foreign */
	struct convert_foreign foreign;
	char path[PATH_MAX]; /* foreign's */
	struct ova ova;      /* what an OVA says; all 0 for others */
};

/* The endings of such files' names; "": it has none of them. */
const char *source_ending(const char *name);

/*
 * FILE[,format=raw|qcow2]. What its name or format= does not say the file's first bytes do (guess.h). A file below
 * a qcow2 image may only lie in the same folder, since it is somebody else who has named it, and where the format
 * was guessed there may be none. source_free() after success.
 */
int source_open(const char *word, struct image_source *source, struct error *err);
void source_free(struct image_source *source);

/* Its disk to a new file. */
int source_convert(const struct image_source *source, const char *path, enum disk_format format,
	const struct convert_watch *watch, struct error *err);

#endif
