/* SPDX-License-Identifier: Apache-2.0 */
/* Images of the store out of roots that others have made: archives of tar, folders, containers' images. */
#ifndef DACH_IMAGE_IMPORT_ROOT_H
#define DACH_IMAGE_IMPORT_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/store.h"

enum root_kind { ROOT_TAR, ROOT_FOLDER, ROOT_OCI };

struct root_request {
	enum root_kind kind;
	const char *from;   /* a file, or "-" for standard input; a folder; as oci.h has it */
	const char *name;   /* NULL: one that is made of from's */
	const char *kernel; /* the image whose kernel it gets; NULL: the first that has one */
	uint64_t size;      /* bytes of its disk */
	bool keep_root;     /* as image_request's */
	void (*progress)(void *ctx, const char *line);
	void *ctx;
};

/*
 * The root gets a disk of its own and a copy of the kernel; what a container runs is kept (protocol/image_start.h). Signals and
 * failures as image_create()'s. log: of PATH_MAX bytes.
 */
int import_root(const struct root_request *request, struct image *image, char *log,
	struct error *err);

#endif
