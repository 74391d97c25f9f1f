/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of a guest that runs goes on in another file (op_move.c). Its monitor copies it and keeps it in step there; then the
 * store has the new file, and last the monitor lets go of the old one. So whatever is killed when, the file that the store
 * names has all that the guest was told is written. RUN/guests/UUID/moving names both until it is done.
 */
#ifndef DACH_DAEMON_MOVE_H
#define DACH_DAEMON_MOVE_H

#include <jansson.h>

struct guest;

/*
 * A daemon before this one made the note, if there is one: the store follows the monitor, and a file that came to nothing
 * goes. info: what the monitor says; NULL: there is none, and the store is right.
 */
void move_settle(struct guest *guest, const json_t *info);

#endif
