/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What we put into a Debian root file system to make a guest of it: host name,
 * file systems, console, network, and a script that runs inside once.
 */
#ifndef DACH_IMAGE_OVERLAY_H
#define DACH_IMAGE_OVERLAY_H

#include "base/error.h"

/* All strings are checked: they hold no newline. */
struct overlay {
	const char *dist, *hostname, *password;
	const char *uuid;    /* of the root file system */
	const char *ssh_key; /* the text of a public key, "" for none */
};

/* Where in the guest the set-up script stands and leaves kernel and initrd; removed at the end. */
#define OVERLAY_DIR "/.dach"

/*
 * Write files below dir, as they are to lie below the guest's root: what the
 * packages' set-up already looks at, and what waits until all are there (their
 * set-up still needs the mirror's addresses).
 */
int overlay_write_early(const char *dir, struct error *err);
int overlay_write_late(const char *dir, const struct overlay *overlay, struct error *err);

#endif
