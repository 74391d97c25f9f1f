/* SPDX-License-Identifier: Apache-2.0 */
/* One disk of a guest: what the daemon hands over, what people write behind --disk, what block/ opens. */
#ifndef DACH_PROTOCOL_DISK_H
#define DACH_PROTOCOL_DISK_H

#include <stdbool.h>

#include "base/error.h"
#include "protocol/fields.h"

/* Letters, digits and ._:- that do not begin with a point or a dash; at most LIMIT_CHECKPOINT. */
bool checkpoint_name_valid(const char *name);

#define DISK_SERIAL "dach-disk%u" /* what a guest's disk n calls itself */

enum disk_format { DISK_RAW, DISK_QCOW2, DISK_FORMATS };

/* What the host keeps of a disk in its page cache. */
enum disk_cache {
	DISK_WRITEBACK,    /* reads and writes; a write is stable once the guest has flushed */
	DISK_WRITETHROUGH, /* reads; a write is stable when it is done */
	DISK_DIRECT,       /* nothing ("none"); stable once the guest has flushed */
	DISK_CACHES,
};

/* What comes of a guest's request that the host fails: it is full, or a disk or server has gone. */
enum disk_errors {
	DISK_ERRORS_REPORT, /* the guest gets the error */
	DISK_ERRORS_WAIT, /* the request waits, and is done again until the host does it; virtio's */
	DISK_ERRORS,
};
extern const char *const disk_errors_names[];

/* By what the guest reaches it. The latter two have drives, and are for guests with firmware. */
enum disk_bus { DISK_VIRTIO, DISK_IDE, DISK_AHCI, DISK_BUSES };

/*
 * fd: open already; -1: to be opened by its name, which otherwise is for messages. A name may be one of an NBD server's
 * export (nbd/address.h): fd is then a socket to who connects (block/remote.h), and stands in no description.
 */
struct disk_file {
	enum disk_format format;
	int fd;
	char *name;
};

/* Strings and lists are its own (malloc). */
struct disk_spec {
	/*
	 * The chain: the guest reads and writes the first; what that leaves out is read from the next.
	 * All but the first are only read, and so is the first if the disk is readonly.
	 */
	struct disk_file *file;
	unsigned files;
	bool readonly;
	enum disk_bus bus;
	bool cdrom;            /* of IDE and AHCI: a drive for CDs */
	enum disk_cache cache; /* of all files */
	enum disk_errors errors;
	bool filled;   /* new and empty: what is in it comes with the guest (vmm/arrive.c) */
	bool unlocked; /* block/reader.h: others may write to it meanwhile; in no description */
	bool later;    /* block/handover.h: another process has it until it is taken; likewise */
	bool bare;     /* block/layer.h: what the first file stands on comes later; likewise */
	char *serial;  /* "": DISK_SERIAL */
	char *vdev;    /* what the guest's command line calls it; "" for nothing in particular */
};

/* A CD drive with nothing in it. vdev is its own (malloc). */
struct drive_spec {
	enum disk_bus bus; /* IDE or AHCI */
	char *vdev;
};

extern const struct field disk_spec_fields[], drive_spec_fields[];

/* Whether a disk's name is one of an NBD server's, good or bad: nbd/address.h. */
bool disk_is_remote(const char *name);
const char *disk_format_name(enum disk_format format);
/* Whether block/ reads images of the format of that name. */
bool disk_format_is_there(const char *name);

/*
 * FILE[,ro][,ide|,ahci][,cdrom][,format=raw|qcow2][,cache=writeback|writethrough|none]
 * [,errors=report|wait]. Without a format, a name that ends in
 * .qcow2 is of one and every other of a raw image; what is in the file is never asked, since a guest can
 * write that. A CD drive is one of IDE if nothing else is said. disk_spec_free() after success.
 */
int disk_spec_parse(const char *text, struct disk_spec *spec, struct error *err);
/* Of a path to a raw image. */
int disk_spec_of_file(const char *path, bool readonly, struct disk_spec *spec, struct error *err);
/* Leaves it all zero. No descriptor is touched. */
void disk_spec_free(struct disk_spec *spec);

#endif
