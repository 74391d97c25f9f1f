/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of the host's for a guest: what people write, what the API and the store have, what the daemon hands over. */
#ifndef DACH_PROTOCOL_SHARE_H
#define DACH_PROTOCOL_SHARE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "protocol/fields.h"

#define SHARE_TAG "dach%u" /* what a guest mounts the first (0) by, and the others */

/* Strings are its own (malloc). */
struct share_spec {
	int fd; /* of the folder, by O_PATH; -1: it is to be opened by its name. In no configuration */
	char *folder; /* an absolute path */
	char *path;   /* where our agent in the guest mounts it; NULL: the guest does that itself */
	bool read_only;
	bool overlay; /* read-only, and what the guest writes stays in its memory: made by the agent */
};

/* As a configuration has it; and as a launch description does, with the descriptor. */
extern const struct field share_spec_fields[];
extern const struct field share_launch_fields[];

/*
 * DIR[:PATH][,ro|,overlay]; PATH begins with a slash, DIR may have colons, too. DIR stays as it is written.
 * share_spec_free() after success.
 */
int share_spec_parse(const char *text, struct share_spec *spec, struct error *err);
/* Nothing of it is opened. The sentence begins with what. */
int share_spec_check(const char *what, const struct share_spec *spec, struct error *err);
/* Do two of them go to the same place in the guest? -EINVAL and which. */
int share_specs_check(const char *what, const struct share_spec *spec, unsigned count,
	struct error *err);
/*
 * The next name of a path: *path is moved to it, over slashes and names that are ".", and its length is returned; 0: there is none
 * any more. Two paths of the same names are the same place, however they are written.
 */
size_t share_path_next(const char **path);
bool share_path_same(const char *one, const char *other);
/* Leaves it all zero. No descriptor is touched. */
void share_spec_free(struct share_spec *spec);

#endif
