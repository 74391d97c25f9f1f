/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a commit: the disk is the image below its top, which is gone. Which commit is under way stands in
 * RUN/guests/UUID/committing, so that this comes true also where the daemon was killed while its monitor did it.
 */
#ifndef DACH_DAEMON_COMMIT_H
#define DACH_DAEMON_COMMIT_H

#include <jansson.h>

#include "domain/config.h"

struct guest;

/* Before the monitor is asked: what this disk (of the configuration) has comes into base. */
int commit_note(const struct guest *guest, unsigned disk, const char *base,
	enum domain_format format, struct error *err);
/* The monitor has answered: whatever it was. */
void commit_forget(const struct guest *guest);
/* The top is empty, and nobody writes to it any more: the disk is base, and its top is removed. */
int commit_take(struct guest *guest, unsigned disk, const char *base, enum domain_format format,
	struct error *err);
/*
 * A daemon before this one made the note, if there is one. info: what the monitor says, and a commit that it has not
 * done stays noted; NULL: there is none, and what the top has tells.
 */
void commit_settle(struct guest *guest, const json_t *info);

#endif
