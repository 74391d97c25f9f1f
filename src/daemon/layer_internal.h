/* SPDX-License-Identifier: Apache-2.0 */
/* For the files that make up layer.h. */
#ifndef DACH_DAEMON_LAYER_INTERNAL_H
#define DACH_DAEMON_LAYER_INTERNAL_H

#include <limits.h>

#include "daemon/layer.h"
#include "daemon/policy.h"

/* "disk" of /vm/disk.img and of /vm/disk.3.qcow2. */
void layer_stem(const char *path, char stem[NAME_MAX + 1]);
/* folder, or, if that is NULL, the path's. */
void layer_folder(const char *path, const char *folder, char place[PATH_MAX]);
/* Which disks get images: those of these names, or all that the guest may write to. */
int layer_choose(const struct domain_config *config, char *const *vdev, unsigned vdevs,
	struct layer_set *set, struct error *err);
/* A name that nothing has, for an image over the disk; folder NULL: beside it. */
int layer_find_name(const struct caller *owner, const struct domain_disk *disk, const char *folder,
	const struct layer_set *set, struct layer_disk *to, struct error *err);
/* An open, empty file becomes an image over the disk; beside: they are in one folder, and go together if that is moved. */
int layer_fill(const struct caller *owner, const struct domain_disk *disk, bool beside,
	const struct layer_disk *to, struct error *err);
/* It and its name in the folder last also if the host goes: not for what is gone then anyway. */
int layer_stabilize(const struct caller *owner, char *folder, const struct layer_disk *to,
	struct error *err);

#endif
