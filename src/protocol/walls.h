/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walls around a monitor that a host may lack, by their names: which of them stand, and which have to
 * stand. What no host lacks has no name: a list of system calls for each kind of thread, no
 * capabilities, limits, and, for root's monitors, a user of their own.
 */
#ifndef DACH_PROTOCOL_WALLS_H
#define DACH_PROTOCOL_WALLS_H

#include <jansson.h>

enum wall {
	WALL_NAMESPACES, /* an empty root file system, no other process's IPC; a network of none, where it uses none */
	WALL_LANDLOCK, /* no file can be opened, whatever the file systems allow */
	WALLS,
};

/* Sets of them: 1 << WALL_... */
#define WALLS_ALL ((1u << WALLS) - 1)

extern const char *const wall_words[]; /* a NULL ends them */
/* A list of the names of a set. NULL: out of memory. */
json_t *walls_to_json(unsigned walls);

#endif
