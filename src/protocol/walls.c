/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/walls.h"

#include <stddef.h>

const char *const wall_words[] = {
	[WALL_NAMESPACES] = "namespaces",
	[WALL_LANDLOCK] = "landlock",
	[WALLS] = NULL,
};
