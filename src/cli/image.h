/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs of 'dach image' that are about a disk's file. */
#ifndef DACH_CLI_IMAGE_H
#define DACH_CLI_IMAGE_H

#include "cli/cli.h"
#include "image/convert.h"
#include "protocol/disk.h"

extern const struct option_spec image_resize_options[];

int image_info(struct cli *cli);
int image_resize(struct cli *cli);
int image_convert(struct cli *cli);
int image_import(struct cli *cli);
extern const struct option_spec image_import_options[];
#define IMAGE_KEEP_ROOT_IS_ROOTS \
	"--keep-root: only root can make a folder in which files have a root file system's owners"

/* A disk as people name it: an image, or words as of --disk. Its chain is in it. disk_spec_free() after success. */
int image_disk(const char *words, bool readonly, struct disk_spec *spec, struct error *err);

/* Shows at a terminal how far it is. */
extern const struct convert_watch image_progress;

#endif
