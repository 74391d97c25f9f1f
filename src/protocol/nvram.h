/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which a guest's UEFI keeps its variables (its NVRAM), which whoever starts the guest opens. */
#ifndef DACH_PROTOCOL_NVRAM_H
#define DACH_PROTOCOL_NVRAM_H

#include "base/error.h"

/*
 * Opens it, to be read and written, and locks it against other guests for as long as *fd, the caller's, is open. One that
 * is not there, or empty, becomes a copy of `template` (firmware_find()). NULL: one in memory.
 */
int nvram_open(const char *path, const char *template, int *fd, struct error *err);

#endif
