/* SPDX-License-Identifier: Apache-2.0 */
/* A container's image in a folder (OCI image specification 1.1, "Image Layout"): whose parts are what. */
#ifndef DACH_IMAGE_OCI_H
#define DACH_IMAGE_OCI_H

#include <jansson.h>

#include "base/error.h"
#include "image/flatten.h"

struct oci {
	char *layer[FLATTEN_LAYERS_MAX]; /* files, the lowest first */
	unsigned layers;
	json_t *config; /* what runs in it, and how */
};

/*
 * place: DIR, or DIR:NAME where there are several in it. The one for amd64. What the files say is not trusted: no
 * name of a part leads out of the folder, and each part is what its digest says.
 */
int oci_open(const char *place, struct oci *oci, struct error *err);
void oci_free(struct oci *oci);

#endif
