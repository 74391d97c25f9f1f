/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder in which an image is made, beside those that are ready: .NAME.XXXXXX, locked (flock) by
 * its maker for as long as he lives. One that nobody locks was left by a maker that was killed.
 */
#ifndef DACH_IMAGE_WORK_H
#define DACH_IMAGE_WORK_H

#include <stddef.h>

#include "base/error.h"

/*
 * Makes one for name in the folder store and puts its path into work. Returns a descriptor that holds
 * the lock; the caller closes it when the folder is gone or has got its final name. On failure a
 * negative errno, work is "", and nothing is left.
 */
int work_make(const char *store, const char *name, char *work, size_t size, struct error *err);

/* Removes what killed makers left in store. Returns how many folders. */
unsigned work_sweep(const char *store);

#endif
