/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DACH_TESTS_LOSSY_DISK_H
#define DACH_TESTS_LOSSY_DISK_H

#include <stdint.h>

#define LOSSY_CRASHED 42 /* the exit status */

/* From now on this file's writes are lost until they are flushed, and the process ends at write number `writes`. */
void lossy_begin(const char *file, unsigned writes, unsigned seed);

#endif
