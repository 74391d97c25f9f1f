/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes in the folder of a guest's life (RUN/guests/UUID): what is being done to its disks and devices, so that the next
 * daemon puts it right should this one be killed meanwhile. What each says is told where it is written.
 */
#ifndef DACH_DAEMON_NOTE_H
#define DACH_DAEMON_NOTE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

struct guest;

enum note {
	NOTE_LAYERING,   /* layer.c */
	NOTE_COMMITTING, /* commit.c */
	NOTE_MOVING,     /* op_move.c */
	NOTE_PLUGGING,   /* plug.c */
	NOTE_ARRIVING,   /* op_migrate.c, and the next */
	NOTE_DEPARTING,
	NOTE_UPDATING, /* live_update.c */
	NOTES,
};

/* Takes what it is to say. */
int note_write(const struct guest *guest, enum note note, json_t *says, struct error *err);
bool note_is_there(const struct guest *guest, enum note note);
/* NULL: there is none. A half of one was written before anything had begun: that is an empty object. */
json_t *note_read(const struct guest *guest, enum note note);
void note_forget(const struct guest *guest, enum note note);

#endif
