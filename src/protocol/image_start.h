/* SPDX-License-Identifier: Apache-2.0 */
/* What an image that was a container's runs by itself, and as whom: the file start.json in its folder. */
#ifndef DACH_PROTOCOL_IMAGE_START_H
#define DACH_PROTOCOL_IMAGE_START_H

#include <jansson.h>

#include "base/error.h"

#define IMAGE_START "start.json"

/* Lists end with NULL; "" is what was not said. All of it is json's, or the lists'. */
struct image_start {
	json_t *json;
	const char **argv, **env;
	const char *user, *folder;
};

/*
 * From the file in the image's folder; all empty where there is none. What the file holds is checked: it may be
 * somebody else's.
 */
int image_start_read(const char *image, struct image_start *start, struct error *err);
/* From the file that is open, which stays the caller's; name is for messages. */
int image_start_read_file(int fd, const char *name, struct image_start *start, struct error *err);
void image_start_free(struct image_start *start);
/* The same as JSON, out of a container's configuration (OCI image specification 1.1, "config"). NULL: out of memory. */
json_t *image_start_of(const json_t *config);

#endif
