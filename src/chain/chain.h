/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files a disk is made of: the first names the one below it, and so on. Whoever may open files for
 * the disk's user resolves that once; block/ then gets the whole chain and opens nothing else.
 */
#ifndef DACH_CHAIN_CHAIN_H
#define DACH_CHAIN_CHAIN_H

#include "chain/qcow2_header.h"
#include "protocol/disk.h"

/*
 * Opens file n of the chain; n > 0 is only read, and its name comes out of the image above it, whose
 * descriptor is `above`.
 */
struct chain_opener {
	int (*open)(void *ctx, const char *path, bool writable, unsigned n, int above, int *fd,
		struct error *err);
	void *ctx;
};

/*
 * spec has its first file, whose descriptor may be open already; the rest of the chain is added. A name in an
 * image that has no / in front is meant from that image's folder. Formats are what the image above says, never
 * guessed; without one, and for names that are no files (json:, nbd: and the like), and for chains that come
 * back to a file or are longer than LIMIT_CHAIN, it is refused. keep: each file's descriptor stays open in
 * spec; otherwise only names are. On failure those that were opened here are closed.
 */
int chain_resolve(struct disk_spec *spec, const struct chain_opener *opener, bool keep,
	struct error *err);

/* An opener with this process's own rights. */
extern const struct chain_opener chain_own_rights;

/* The header of an open qcow2 image. */
int chain_read_header(int fd, const char *name, struct qcow2_header *header, struct error *err);

#endif
