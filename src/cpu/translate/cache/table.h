/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of numbers in which a search reads one cache line, as a rule:
 * buckets of eight, an overflow goes on in the next one. Numbers are not
 * compared: what has the tag of the key is a candidate. Memory that is not
 * used costs nothing. Who changes it holds a lock; a search without it may miss
 * what is there, and find what has just been removed. Calls no libc.
 */
#ifndef DACH_CPU_TRANSLATE_TABLE_H
#define DACH_CPU_TRANSLATE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define TABLE_BUCKET 8u
#define TABLE_SLOTS_MIN (1u << 15)

struct table_slot {
	uint32_t tag, number; /* 0: free; TABLE_GONE: was used, the bucket was full */
};
#define TABLE_GONE ~0u

struct hash_table {
	struct table_slot *slot; /* 64-byte aligned */
	uint32_t slots, max;     /* powers of two */
	uint32_t used;           /* free ones are slots - used */
};

/* Where a search is. */
struct table_at {
	uint32_t tag, bucket;
	unsigned in_bucket;
	bool hole;
};

struct table_at table_start(const struct hash_table *t, uint64_t hash);
/* The next candidate, or 0. */
uint32_t table_next(const struct hash_table *t, struct table_at *at);
/* False: it is too full. Make it empty, larger if it can be (table_clear()), and put all back. */
bool table_put(struct hash_table *t, uint64_t hash, uint32_t number);
void table_remove(struct hash_table *t, uint64_t hash, uint32_t number);
/* Empty, with room for at least `numbers`. */
void table_clear(struct hash_table *t, uint32_t numbers);

#endif
