/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has a disk's file already. A monitor's lock on the file decides (block/); this is for the sentence,
 * since a lock does not tell whose it is.
 */
#ifndef DACH_DAEMON_HOLDER_H
#define DACH_DAEMON_HOLDER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"

struct guest;
struct launch_spec;
struct disk_spec;

/*
 * -EBUSY if a disk of spec, whose files are open, is another one of the same guest, or one of another
 * guest that runs and has the same owner, unless both only read.
 */
int holder_check(const struct guest *guest, const struct launch_spec *spec, struct error *err);
/* The same of one more disk, beside those that the guest has. */
int holder_check_disk(const struct guest *guest, const struct disk_spec *disk, struct error *err);

#endif
