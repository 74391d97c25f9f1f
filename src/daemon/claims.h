/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files the disks of a guest's life are. A monitor locks its disks, and may let the locks go and write
 * on; so the daemon itself gives a file that one guest may write to no other, until that life has ended. It
 * stands in RUN/guests/UUID/disks, where the next daemon finds it.
 */
#ifndef DACH_DAEMON_CLAIMS_H
#define DACH_DAEMON_CLAIMS_H

#include <stdbool.h>

#include "base/error.h"

struct guest;
struct launch_spec;
struct disk_spec;

/*
 * The open files in spec are the guest's. fd: its file, open and empty. -EBUSY and the sentence if another guest has
 * one of them, and one of the two may write.
 */
int claims_take(const struct guest *guest, const struct launch_spec *spec, int fd,
	struct error *err);
/* -EBUSY and the sentence if a disk's file in spec, all open, is another one than the guest has. */
int claims_same(const struct guest *guest, const struct launch_spec *spec, struct error *err);
/* Those of one more disk are the guest's, too: as claims_take(). */
int claims_join(const struct guest *guest, const struct disk_spec *disk, struct error *err);
/*
 * A disk of the guest's has gone. Its monitor could still have its files: other guests of its owner's may have them,
 * but those of others get them when this life has ended.
 */
void claims_leave(const struct guest *guest, const struct disk_spec *disk);
/* The guest's from now on, too, to write to. */
int claims_add(const struct guest *guest, int fd, struct error *err);
/*
 * The guest only reads it from now on. Its monitor could do otherwise: guests of the same owner may read it, too, but
 * those of others get it when this life has ended.
 */
void claims_lower(const struct guest *guest, int fd);
/* It is about to be removed, whatever the guest had it for: its number may be another file's. */
void claims_drop(const struct guest *guest, int fd);

/* Whether this life has written to it, and only reads it now. */
bool claims_is_base(const struct guest *guest, int fd);
/* The guest writes to it again, or for the first time: -EBUSY and the sentence if another guest has it. */
int claims_raise(const struct guest *guest, int fd, const char *name, struct error *err);

#endif
