/* SPDX-License-Identifier: Apache-2.0 */
/* What of the walls around a guest's monitor this host gives to processes of ours. */
#ifndef DACH_HOST_WALLS_H
#define DACH_HOST_WALLS_H

/* 1 << WALL_... (protocol/walls.h). Tries it in a process that is gone afterwards; some milliseconds. */
unsigned host_walls(void);

#endif
