/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of a container's image become one root (OCI image specification 1.1, "Image Layer Filesystem Changeset"):
 * archives, the lowest first, of which each adds files to those below it, replaces them, and takes them away by
 * names that begin with ".wh.".
 *
 * Archives are not trusted. What comes out has each name once, none that leads out of the root or through a link,
 * no devices, and hard links only to files that are in it; so tar can unpack it with nothing to fear.
 */
#ifndef DACH_IMAGE_FLATTEN_H
#define DACH_IMAGE_FLATTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define FLATTEN_LAYERS_MAX 256u /* more than any engine makes */

struct flatten {
	const char *const *layer; /* files' names */
	unsigned layers;
	bool whiteouts; /* such names mean something */
	uint64_t most;  /* bytes of files in all */
};

/* Writes the archive into out. The caller's process reads hostile bytes here. */
int flatten_write(const struct flatten *flatten, int out, struct error *err);

#endif
