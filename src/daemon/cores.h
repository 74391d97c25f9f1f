/* SPDX-License-Identifier: Apache-2.0 */
/* Core files of guests that crashed, in the daemon's folder: few of each guest, and never the last of the disk. */
#ifndef DACH_DAEMON_CORES_H
#define DACH_DAEMON_CORES_H

#include <limits.h>

#include "base/error.h"

struct guest;

#define CORES_KEPT 3 /* of a guest; the oldest make room for the next */
#define CORES_PATH_MAX (PATH_MAX + 200)

/*
 * Opens a file for the guest's core, whose path is written to `path`. The descriptor is the caller's.
 * -ENOSPC if the file system could not hold it and keep a tenth free.
 */
int cores_open(const struct guest *guest, char path[CORES_PATH_MAX], int *fd, struct error *err);

/* -ENOSPC: a file with all of the guest's memory would not leave a tenth of the folder's file system. */
int cores_check_space(const struct guest *guest, const char *folder, struct error *err);

#endif
