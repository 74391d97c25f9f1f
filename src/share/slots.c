/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "share/internal.h"

#define FIRST 64u

static bool grow(struct slots *slots)
{
	uint64_t size = slots->size ? 2 * slots->size : FIRST;
	void **at;

	if (size > slots->max)
		size = slots->max;
	if (size == slots->size)
		return false;
	at = realloc(slots->at, size * sizeof *at);
	if (!at)
		return false;
	memset(at + slots->size, 0, (size - slots->size) * sizeof *at);
	slots->at = at;
	slots->size = size;
	return true;
}

uint64_t slots_add(struct slots *slots, void *what)
{
	if (slots->used == slots->size && !grow(slots))
		return 0;
	while (slots->at[slots->hint])
		slots->hint++;
	slots->at[slots->hint] = what;
	slots->used++;
	return ++slots->hint;
}

void *slots_get(const struct slots *slots, uint64_t id)
{
	return id && id <= slots->size ? slots->at[id - 1] : NULL;
}

void slots_remove(struct slots *slots, uint64_t id)
{
	slots->at[id - 1] = NULL;
	slots->used--;
	if (slots->hint > id - 1)
		slots->hint = id - 1;
}
