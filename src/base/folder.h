/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders that the daemon and its clients share, and where the programs of the house lie.
 * As root the host's, for everybody else their own (XDG Base Directory Specification 0.8).
 */
#ifndef DACH_BASE_FOLDER_H
#define DACH_BASE_FOLDER_H

#include <stddef.h>

#include "base/error.h"

/* What is gone after a boot: $DACH_RUN, /run/dach, or $XDG_RUNTIME_DIR/dach (/tmp/dach-UID). */
int folder_run(char *buf, size_t size, struct error *err);
/*
 * What users keep: $XDG_DATA_HOME/below, or ~/.local/share/below. Without HOME, as in a container or under
 * cron, their home is what the host's list of users says.
 */
int folder_data(const char *below, char *buf, size_t size, struct error *err);
/* What lasts: $DACH_STATE, /var/lib/dach, or folder_data("dach"). */
int folder_state(char *buf, size_t size, struct error *err);
/*
 * Makes the folder with its parents. It must be ours, or root's, and nobody else's to write to:
 * what lies in it is trusted.
 */
int folder_make(const char *path, unsigned mode, struct error *err);
/* name beside this program, or else at the path installed, relative to this program's folder. */
int folder_program(const char *name, const char *installed, char *buf, size_t size);

#endif
