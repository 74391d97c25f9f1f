/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/walls.h"

#include <stddef.h>

const char *const wall_words[] = {
	[WALL_NAMESPACES] = "namespaces",
	[WALL_LANDLOCK] = "landlock",
	[WALLS] = NULL,
};

json_t *walls_to_json(unsigned walls)
{
	json_t *list = json_array();

	for (unsigned wall = 0; wall < WALLS; wall++)
		if (walls & 1u << wall)
			json_array_append_new(list, json_string(wall_words[wall]));
	return list;
}
