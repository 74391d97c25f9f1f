/* SPDX-License-Identifier: Apache-2.0 */
/* What the image that a container's root is of runs by itself, and as whom (protocol/image_start.h). */
#ifndef DACH_DAEMON_CONTAINER_START_H
#define DACH_DAEMON_CONTAINER_START_H

#include "base/error.h"
#include "protocol/container_spec.h"
#include "protocol/launch.h"

struct guest;

/*
 * Fills in what the configuration leaves open: nothing where that has an init, or where beside the root, which is open,
 * there is no such file of root's or the guest's owner's.
 */
int container_take_start(const struct guest *guest, const struct launch_file *root,
	struct container_spec *spec, struct error *err);

#endif
