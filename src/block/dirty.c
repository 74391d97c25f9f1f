/* SPDX-License-Identifier: Apache-2.0 */
#include "block/dirty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t units_of(uint64_t size, unsigned bits)
{
	return (size + (1ull << bits) - 1) >> bits;
}

static size_t words_of(uint64_t units)
{
	return (size_t)((units + 63) / 64);
}

struct dirty_map *dirty_new(const char *name, unsigned bits, uint64_t size)
{
	struct dirty_map *map = calloc(1, sizeof *map);

	if (!map)
		return NULL;
	map->bits = bits ? bits : DIRTY_BITS;
	while (!bits && units_of(size, map->bits) / 8 >= DIRTY_BYTES_MAX)
		map->bits++;
	map->units = units_of(size, map->bits);
	snprintf(map->name, sizeof map->name, "%s", name);
	if (dirty_bytes(map) <= DIRTY_BYTES_MAX)
		map->word = calloc(words_of(map->units) + 1, sizeof *map->word);
	if (!map->word) {
		free(map);
		return NULL;
	}
	return map;
}

struct dirty_map *dirty_copy(const struct dirty_map *map)
{
	struct dirty_map *copy = malloc(sizeof *copy);

	if (!copy)
		return NULL;
	*copy = *map;
	copy->word = malloc((words_of(map->units) + 1) * sizeof *copy->word);
	if (!copy->word) {
		free(copy);
		return NULL;
	}
	memcpy(copy->word, map->word, words_of(map->units) * sizeof *copy->word);
	return copy;
}

void dirty_free(struct dirty_map *map)
{
	if (!map)
		return;
	free(map->word);
	free(map);
}

struct dirty_map *dirty_find(const struct dirty_set *set, const char *name)
{
	for (unsigned i = 0; i < set->count; i++)
		if (!strcmp(set->map[i]->name, name))
			return set->map[i];
	return NULL;
}

void dirty_put(struct dirty_set *set, struct dirty_map *map)
{
	set->map[set->count++] = map;
}

void dirty_drop(struct dirty_set *set, struct dirty_map *map)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (set->map[i] != map)
			continue;
		set->count--;
		memmove(&set->map[i], &set->map[i + 1], (set->count - i) * sizeof *set->map);
		dirty_free(map);
		return;
	}
}

void dirty_clear(struct dirty_set *set)
{
	while (set->count)
		dirty_free(set->map[--set->count]);
}

static bool is_marked(const struct dirty_map *map, uint64_t unit)
{
	return __atomic_load_n(&map->word[unit / 64], __ATOMIC_RELAXED) >> unit % 64 & 1;
}

void dirty_mark(const struct dirty_map *map, uint64_t offset, uint64_t length)
{
	const uint64_t last = (offset + length - 1) >> map->bits;

	if (map->lost)
		return;
	for (uint64_t unit = offset >> map->bits; unit <= last && unit < map->units;) {
		const uint64_t left = last - unit + 1;
		uint64_t mask = 1ull << unit % 64;

		if (unit % 64 == 0 && left >= 64)
			mask = ~0ull;
		if ((__atomic_load_n(&map->word[unit / 64], __ATOMIC_RELAXED) & mask) != mask)
			__atomic_fetch_or(&map->word[unit / 64], mask, __ATOMIC_RELAXED);
		unit += mask == ~0ull ? 64 : 1;
	}
}

void dirty_mark_all(const struct dirty_set *set, uint64_t offset, uint64_t length)
{
	for (unsigned i = 0; i < set->count; i++)
		dirty_mark(set->map[i], offset, length);
}

void dirty_lose(struct dirty_map *map)
{
	free(map->word);
	map->word = NULL;
	map->units = 0;
	map->lost = true;
}

static void resize(struct dirty_map *map, uint64_t size)
{
	const uint64_t units = units_of(size, map->bits), old = map->units;
	uint64_t *word;

	if (map->lost)
		return;
	word = (units + 7) / 8 > DIRTY_BYTES_MAX
		? NULL
		: realloc(map->word, (words_of(units) + 1) * sizeof *word);
	if (!word) {
		dirty_lose(map);
		return;
	}
	map->word = word;
	map->units = units;
	if (units > old) {
		memset(&word[words_of(old)], 0, (words_of(units) - words_of(old)) * sizeof *word);
		dirty_mark(map, old << map->bits, (units - old) << map->bits);
	} else if (units % 64) {
		word[units / 64] &= (1ull << units % 64) - 1;
	}
	/* The last one before was not all there. */
	if (old && old <= units)
		dirty_mark(map, (old - 1) << map->bits, 1);
}

void dirty_resize(struct dirty_set *set, uint64_t size)
{
	for (unsigned i = 0; i < set->count; i++)
		resize(set->map[i], size);
}

bool dirty_at(const struct dirty_map *map, uint64_t offset, uint64_t *length)
{
	const uint64_t first = offset >> map->bits, last = (offset + *length - 1) >> map->bits;
	const bool marked = is_marked(map, first);
	uint64_t unit = first + 1;

	while (unit <= last && is_marked(map, unit) == marked) {
		const uint64_t word = __atomic_load_n(&map->word[unit / 64], __ATOMIC_RELAXED);

		unit += unit % 64 == 0 && word == (marked ? ~0ull : 0) ? 64 : 1;
	}
	if (unit <= last)
		*length = (unit << map->bits) - offset;
	return marked;
}

uint64_t dirty_count(const struct dirty_map *map)
{
	uint64_t count = 0;

	for (size_t i = 0; i < words_of(map->units); i++)
		count += (uint64_t)__builtin_popcountll(
			__atomic_load_n(&map->word[i], __ATOMIC_RELAXED));
	return count;
}
