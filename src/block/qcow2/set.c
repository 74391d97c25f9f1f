/* SPDX-License-Identifier: Apache-2.0 */
#include "block/qcow2/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FREE (~0ull)

static size_t place(const struct set *set, uint64_t number)
{
	return (size_t)(number * 0x9e3779b97f4a7c15ull >> 20) & (set->slots - 1);
}

/* Where it is, or would be put. */
static size_t find(const struct set *set, uint64_t number)
{
	size_t at = place(set, number);

	while (set->slot[at] != FREE && set->slot[at] != number)
		at = (at + 1) & (set->slots - 1);
	return at;
}

static int enlarge(struct set *set)
{
	struct set larger = {.slots = set->slots ? 2 * set->slots : 64, .used = set->used};

	larger.slot = malloc(larger.slots * sizeof *larger.slot);
	if (!larger.slot)
		return -ENOMEM;
	memset(larger.slot, 0xff, larger.slots * sizeof *larger.slot);
	for (size_t i = 0; i < set->slots; i++)
		if (set->slot[i] != FREE)
			larger.slot[find(&larger, set->slot[i])] = set->slot[i];
	free(set->slot);
	*set = larger;
	return 0;
}

int set_add(struct set *set, uint64_t number)
{
	size_t at;

	if (2 * (set->used + 1) > set->slots && enlarge(set))
		return -ENOMEM;
	at = find(set, number);
	if (set->slot[at] == number)
		return -EEXIST;
	set->slot[at] = number;
	set->used++;
	return 0;
}

bool set_has(const struct set *set, uint64_t number)
{
	return set->slots && set->slot[find(set, number)] == number;
}

/* What stands behind it, and would have stood here, moves up. */
void set_remove(struct set *set, uint64_t number)
{
	size_t at, next;

	if (!set_has(set, number))
		return;
	at = find(set, number);
	set->slot[at] = FREE;
	set->used--;
	for (next = (at + 1) & (set->slots - 1); set->slot[next] != FREE;
		next = (next + 1) & (set->slots - 1)) {
		uint64_t moved = set->slot[next];

		set->slot[next] = FREE;
		set->slot[find(set, moved)] = moved;
	}
}

void set_free(struct set *set)
{
	free(set->slot);
	*set = (struct set){.slot = NULL};
}
