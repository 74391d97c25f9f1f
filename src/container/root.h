/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's root file system: a folder of the host's, or an overlay with what the container writes above it (overlayfs,
 * Documentation/filesystems/overlayfs.rst). The files keep the owners that they have on the disk; what the container sees and
 * writes is mapped to its IDs by the mount (mount_setattr(2), MOUNT_ATTR_IDMAP), so that one root serves containers with any IDs, and
 * machines. A user's own root has the owners of his IDs (own_ids.h) already, and no mapping.
 */
#ifndef DACH_CONTAINER_ROOT_H
#define DACH_CONTAINER_ROOT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "protocol/launch.h"

/* Where it all is, in the mounts of this process alone. */
#define ROOT_PLACE "/run/dach-ct"
#define ROOT_FOLDER ROOT_PLACE "/root"       /* the root file system */
#define ROOT_MOUNT ROOT_PLACE "/mount"       /* where liblxc puts it together */
#define ROOT_LXC ROOT_PLACE "/lxc"           /* what liblxc wants a folder for */
#define ROOT_FSTAB ROOT_PLACE "/fstab"       /* a file with nothing in it */
#define ROOT_NAMES ROOT_PLACE "/resolv.conf" /* of a container with an init of ours */
#define ROOT_HOSTS ROOT_PLACE "/hosts"       /* likewise */
#define ROOT_BEGUN ROOT_PLACE "/begun"       /* there when the container has been started ... */
#define ROOT_AGAIN ROOT_PLACE "/again" /* ... and when it wanted to be again, which is a reboot */

/* Gives this process mounts of its own, with the root at ROOT_FOLDER. As root. */
int root_make(const struct launch_spec *spec, struct error *err);
/*
 * A folder of the host's as a mount that nobody sees yet, with its owners as the container's; a descriptor. moved: this process
 * has other mounts by now than those that it was opened in.
 */
int root_clone_share(const struct launch_spec *spec, const struct launch_file *folder,
	bool read_only, bool moved, struct error *err);
#define ROOT_SHARE ROOT_PLACE "/share%u" /* where those are that come with the start */
/* Of the host's device: a node that the container's root may open; path has room for ROOT_DEVICE_ROOM bytes. */
int root_make_device(const struct launch_spec *spec, unsigned n, dev_t *device, bool *block,
	char *path, struct error *err);
#define ROOT_DEVICE_ROOM 64
/* Is there, in the root, what it is to start? */
int root_check_init(const struct launch_spec *spec, struct error *err);

#endif
